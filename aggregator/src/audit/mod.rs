//! The privacy audit: it tries to falsify ε₁ and ε∞ by watching what a mechanism reports.
//!
//! A mechanism is ε-private if no event is more than e^ε times likelier under one value than under another. The audit
//! looks for a pair of values and an event for which it is, and proves what it found to a stated confidence. It sees
//! a mechanism only through [`Subject`]: devices that start with a secret and report values.
//!
//! # Method
//! - ε₁: every trial is one report of a fresh device with fresh coins.
//! - ε∞: every trial is a device that reports one value many times over several runs of its program. What its bits say
//!   on average is the permanent response, since the instantaneous noise averages out, and is looked at instead of a
//!   report. All such reports together cost ε∞, however many they are.
//! - Half of the trials choose an event for each pair and direction: a threshold of the log-likelihood ratio learnt
//!   from single bits, from the bits in which the two signals differ, and from the cohort; one such bit or two
//!   together; or one exact report. The other half bounds the ratio of that event's two probabilities, as Ding, Wang,
//!   Wang, Zhang and Kifer do (*Detecting Violations of Differential Privacy*, 2018, section 5), so that the bound
//!   does not suffer from the choice. With a score that grows with the likelihood ratio a threshold is the best event
//!   (Bichsel, Steffen, Bogunovic, Vechev, *DP-Sniper*, 2021, section 4).
//! - The bound is ln(lower bound of the larger probability / upper bound of the smaller), each by Clopper and Pearson
//!   (*The Use of Confidence or Fiducial Limits*, 1934), as in Jagielski, Ullman and Oprea (*Auditing Differentially
//!   Private Machine Learning*, 2020, section 4). The chance of error is shared equally by all bounds of
//!   the audit (Bonferroni): an audit of a mechanism that keeps its claims fails at most with chance 1 − confidence.
//!
//! # Power
//! The loss at stake is reached by an event whose smaller probability is about e^−ε/2 (one hash) or e^−ε times the
//! share of the sharpest outcome. With 100,000 trials and the confidence of 0.999 a mechanism that keeps ε₁ = 1 exactly
//! is bounded at 0.9 and more, one of ε₁ = 4 at 3.5 and more. No audit can bound beyond about
//! ln(trials / 25), 8 for 100,000 trials; claims above it can only be refuted by faults that reveal more. The direct
//! encoding of many values says each value rarely, and needs trials in proportion to them. An audit that passes is no
//! proof: it shows that these events of these pairs do not contradict the claim.

mod bound;
mod event;
mod pair;
mod sample;
mod subject;

use std::ops::Range;

use deniable::{EncodeError, EntropyError, Params};
use serde::Serialize;

pub use subject::{Observed, Shipped, Subject};

use bound::Bound;
use event::Event;
use pair::Pair;
use sample::Trials;

/// How many lifetimes are watched for ε∞ per trial for ε₁: each is many reports.
const TRIALS_PER_LIFETIME: usize = 5;

/// How much to try, and how sure to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    trials: usize,
    confidence: f64,
    seed: u64,
}

impl Plan {
    /// The trials for each value of a pair if nothing is asked.
    pub const TRIALS: usize = 100_000;
    /// The confidence if nothing is asked: one audit in a thousand fails without cause.
    pub const CONFIDENCE: f64 = 0.999;
    /// The fewest and the most trials.
    pub const LIMITS: (usize, usize) = (1000, 1_000_000);

    /// Makes a plan of `trials` devices for each value of a pair, 1000 to 1,000,000, and a fifth as many watched for
    /// a lifetime; of a `confidence` of at least 0.5 and below 1 for the audit as a whole; and of a `seed`, which
    /// makes the audit repeatable.
    ///
    /// Memory in use is about `trials` times ⌈k/8⌉ + 32 bytes.
    ///
    /// # Errors
    /// [`AuditError::Trials`] or [`AuditError::Confidence`] with the limits.
    pub fn new(trials: usize, confidence: f64, seed: u64) -> Result<Self, AuditError> {
        let (least, most) = Self::LIMITS;
        if !(least..=most).contains(&trials) {
            return Err(AuditError::Trials { trials, least, most });
        }
        if !(0.5..1.0).contains(&confidence) {
            return Err(AuditError::Confidence { confidence });
        }
        Ok(Self { trials, confidence, seed })
    }

    fn trials_of(&self, loss: Loss) -> usize {
        match loss {
            Loss::One => self.trials,
            Loss::Infinity => self.trials / TRIALS_PER_LIFETIME,
        }
    }
}

/// Which privacy loss is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Loss {
    /// ε₁, of one report.
    One,
    /// ε∞, of all reports of one value.
    Infinity,
}

impl Loss {
    /// Its symbol.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::One => "ε₁",
            Self::Infinity => "ε∞",
        }
    }
}

/// How often an event came in the trials of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// The trials in which it came.
    pub hits: usize,
    /// All trials.
    pub trials: usize,
}

/// What was found for one loss and one pair of values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The loss.
    pub loss: Loss,
    /// The pair of values.
    pub pair: String,
    /// What is claimed of it: 0 if the two values have one signal.
    pub claim: f64,
    /// The lower confidence bound, at least 0.
    pub bound: f64,
    /// The event that the bound is proved by.
    pub event: String,
    /// How often it came under the value that it speaks for.
    pub likelier: Rate,
    /// How often it came under the other value.
    pub rarer: Rate,
}

impl Finding {
    /// Says whether the claim is refuted.
    pub fn refutes(&self) -> bool {
        self.bound > self.claim
    }
}

/// The outcome of an audit.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Audit {
    /// The confidence in all bounds together.
    pub confidence: f64,
    /// The seed that repeats it.
    pub seed: u64,
    /// What was found, ε₁ first.
    pub findings: Vec<Finding>,
}

impl Audit {
    /// The findings that refute their claim.
    pub fn refutations(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.refutes())
    }

    /// The largest bound on a loss, 0 if it was not audited.
    pub fn bound(&self, loss: Loss) -> f64 {
        self.findings.iter().filter(|f| f.loss == loss).map(|f| f.bound).fold(0.0, f64::max)
    }
}

/// An audit of one set of parameters, ready to run.
pub struct Auditor {
    params: Params,
    plan: Plan,
    pairs: Vec<Pair>,
}

impl Auditor {
    /// Looks for the pairs of values that lie at the edges: neighbours at both ends, first and last, signals
    /// far apart and equal ones.
    pub fn new(params: Params, plan: Plan) -> Self {
        Self { params, plan, pairs: pair::pairs(&params) }
    }

    /// The devices that a run will start: what its progress adds up to.
    pub fn devices(&self) -> u64 {
        let per_value: usize = self.losses().map(|(loss, _)| self.plan.trials_of(loss)).sum();
        (self.pairs.len() * 2 * per_value) as u64
    }

    /// Watches `subject` and bounds its losses. It tells `progress` of devices as they are done.
    ///
    /// # Errors
    /// [`AuditError::Encode`] or [`AuditError::Entropy`] if the subject refuses a value or does not start.
    pub fn run<S: Subject>(&self, subject: &S, progress: &(dyn Fn(u64) + Sync)) -> Result<Audit, AuditError> {
        // Each loss and pair is bounded in both directions.
        // Each loss and pair is bounded in both directions.
        let bounds = self.losses().count() * self.pairs.len() * 2;
        let bound = Bound::new((1.0 - self.plan.confidence) / bounds as f64);
        let mut findings = Vec::new();
        for (loss, claim) in self.losses() {
            for (number, pair) in self.pairs.iter().enumerate() {
                let claim = if pair.is_equal() { 0.0 } else { claim };
                let trials = Trials::new(subject, &self.params, loss, pair, self.plan.seed, number);
                let count = self.plan.trials_of(loss);
                let proof = prove(&trials, &bound, count, progress)?;
                findings.push(proof.finding(loss, pair, claim));
            }
        }
        Ok(Audit { confidence: self.plan.confidence, seed: self.plan.seed, findings })
    }

    /// The losses that are claimed to be bounded, with their claims.
    fn losses(&self) -> impl Iterator<Item = (Loss, f64)> + use<> {
        let losses =
            [(Loss::One, self.params.epsilon_one()), (Loss::Infinity, self.params.epsilon_infinity())];
        losses.into_iter().filter(|(_, claim)| claim.is_bounded()).map(|(loss, claim)| (loss, claim.get()))
    }
}

/// An event, how often it came on trials that it was not chosen by, and the bound that follows.
struct Proof {
    bound: f64,
    event: Event,
    likelier: Rate,
    rarer: Rate,
}

impl Proof {
    fn finding(self, loss: Loss, pair: &Pair, claim: f64) -> Finding {
        Finding {
            loss,
            pair: pair.name().to_owned(),
            claim,
            bound: self.bound,
            event: self.event.to_string(),
            likelier: self.likelier,
            rarer: self.rarer,
        }
    }
}

/// Chooses an event for each direction by the first half of `count` trials, and bounds it by the others.
fn prove<S: Subject>(
    trials: &Trials<'_, S>,
    bound: &Bound,
    count: usize,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Proof, AuditError> {
    let half = count / 2;
    let draw = |range: Range<usize>| {
        Ok::<_, AuditError>([trials.draw(0, range.clone(), progress)?, trials.draw(1, range, progress)?])
    };
    let view = trials.view();
    let [first, second] = draw(0..half)?;
    let forward = event::choose(view, &first, &second, bound);
    let backward = event::choose(view, &second, &first, bound);
    let [first, second] = draw(half..count)?;
    let prove = |event: Event, likelier: &[Observed], rarer: &[Observed]| {
        let (likelier, rarer) = (event.rate(view, likelier), event.rate(view, rarer));
        Proof { bound: bound.log_ratio(likelier, rarer), event, likelier, rarer }
    };
    let (forward, backward) = (prove(forward, &first, &second), prove(backward, &second, &first));
    Ok(if forward.bound >= backward.bound { forward } else { backward })
}

/// An audit that cannot be done.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// Too few trials to say anything, or too many to hold.
    #[error("{trials} trials cannot be run: give {least} to {most}")]
    Trials {
        /// What was given.
        trials: usize,
        /// The fewest.
        least: usize,
        /// The most.
        most: usize,
    },
    /// A confidence that is none.
    #[error("a confidence of {confidence} cannot be reached for: give 0.5 or more, and less than 1")]
    Confidence {
        /// What was given.
        confidence: f64,
    },
    /// The subject refused a value that the parameters have a place for.
    #[error("the audited encoder refused a value")]
    Encode(#[from] EncodeError),
    /// The subject did not start.
    #[error("the audited encoder did not start")]
    Entropy(#[from] EntropyError),
}
