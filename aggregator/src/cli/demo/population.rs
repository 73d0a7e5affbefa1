//! The demo's people: drawn from the workload file of a sign-in dialog, with a seed, so that the truth is known.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use serde::Deserialize;

/// The workload: how the people of a sign-in dialog behave.
const WORKLOAD: &str = include_str!("../../../data/persona-signin.json");

/// The last step of the dialog, after which a relying party was signed in to.
const SIGNED_IN: &str = "signed_in";

/// Draws, for each device, the relying party that it signed in to, if it got that far.
pub(crate) struct Population {
    user_kind: Categorical,
    variant: Categorical,
    deepest_step: BTreeMap<String, Categorical>,
    hosts: Vec<String>,
    /// The share of the first hosts together, for each number of them.
    host_shares: Vec<f64>,
}

impl Population {
    /// Reads the workload.
    pub(crate) fn load() -> Result<Self> {
        let workload: Workload = serde_json::from_str(WORKLOAD).context("the demo's workload")?;
        let node = |id: &str| {
            let found = workload.nodes.iter().find(|node| node.id == id);
            found.with_context(|| format!("the demo's workload has no node {id:?}"))
        };
        let table = node("deepest_step")?.table.as_ref().context("deepest_step has no table")?;
        let deepest_step = serde_json::from_value::<BTreeMap<String, Categorical>>(table.clone())?;
        let host = node("relying_party")?;
        let (Some(items), Some(exponent), Some(label)) = (host.items, host.exponent, host.label.as_ref())
        else {
            bail!("relying_party is no Zipf distribution");
        };
        Ok(Self {
            user_kind: node("user_kind")?.weights()?,
            variant: node("variant")?.weights()?,
            deepest_step,
            hosts: (1..=items).map(|rank| label.replace("{rank:03}", &format!("{rank:03}"))).collect(),
            host_shares: cumulative((1..=items).map(|rank| f64::from(rank).powf(-exponent))),
        })
    }

    /// The hosts that can be signed in to, the most popular first.
    pub(crate) fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// The place in [`Population::hosts`] that each of `devices` devices signed in to, if any.
    pub(crate) fn draw(&self, devices: usize, seed: u64) -> Result<Vec<Option<usize>>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        (0..devices).map(|_| self.draw_one(&mut rng)).collect()
    }

    fn draw_one(&self, rng: &mut ChaCha8Rng) -> Result<Option<usize>> {
        let given = format!("{}|{}", self.user_kind.draw(rng), self.variant.draw(rng));
        let steps =
            self.deepest_step.get(&given).with_context(|| format!("deepest_step has no row {given:?}"))?;
        if steps.draw(rng) != SIGNED_IN {
            return Ok(None);
        }
        let share = rng.random::<f64>();
        Ok(Some(self.host_shares.partition_point(|&below| below <= share).min(self.hosts.len() - 1)))
    }
}

/// Running totals of weights, scaled to end at 1.
fn cumulative(weights: impl Iterator<Item = f64>) -> Vec<f64> {
    let running: Vec<f64> = weights
        .scan(0.0, |total, weight| {
            *total += weight;
            Some(*total)
        })
        .collect();
    let total = running.last().copied().unwrap_or(1.0);
    running.into_iter().map(|sum| sum / total).collect()
}

/// Labels with weights in parts per million.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
struct Categorical(BTreeMap<String, u32>);

impl Categorical {
    fn draw(&self, rng: &mut ChaCha8Rng) -> &str {
        let mut left = rng.random_range(0..self.0.values().sum::<u32>());
        for (label, &weight) in &self.0 {
            if left < weight {
                return label;
            }
            left -= weight;
        }
        unreachable!("the draw is below the sum of the weights")
    }
}

#[derive(Deserialize)]
struct Workload {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    weights: Option<Categorical>,
    table: Option<serde_json::Value>,
    items: Option<u32>,
    exponent: Option<f64>,
    label: Option<String>,
}

impl Node {
    fn weights(&self) -> Result<Categorical> {
        self.weights.clone().with_context(|| format!("{} has no weights", self.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The workload's own truth: 54.6 % sign in, and 20.2746 % of those to the first host, 1.6105 % to the tenth.
    /// The tolerance is five standard errors of a share among n.
    #[test]
    fn the_drawn_people_have_the_shares_of_the_workload() {
        let people = Population::load().unwrap().draw(100_000, 1).unwrap();
        let signed_in: Vec<usize> = people.iter().flatten().copied().collect();
        let share = |count: usize, of: usize| count as f64 / of as f64;
        let near = |found: f64, truth: f64, n: usize| {
            let error = (truth * (1.0 - truth) / n as f64).sqrt();
            assert!((found - truth).abs() < 5.0 * error, "{found} against {truth} ± {error}");
        };
        near(share(signed_in.len(), people.len()), 0.546, people.len());
        for (rank, truth) in [(1, 0.202_746), (10, 0.016_105)] {
            let visits = signed_in.iter().filter(|&&host| host == rank - 1).count();
            near(share(visits, signed_in.len()), truth, signed_in.len());
        }
    }

    #[test]
    fn a_seed_gives_one_population() {
        let population = Population::load().unwrap();
        let draw = |seed| population.draw(1000, seed).unwrap();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_eq!(population.hosts()[6], "rp-007.example");
    }
}
