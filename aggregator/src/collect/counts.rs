//! What the store holds, for those who may read it.
//!
//! `GET /v1/counts` lists what is held; with `?metric=…&version=…` it gives the counts of a metric version, without what
//! is set aside, and beside them the alarms of the guards and what is left out. `from` and `to`
//! choose epochs, each `tag=NAME=LABEL` a label of a public tag, and `by=NAME` splits the counts by the labels of one.

use std::str::FromStr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use deniable::{Epoch, MetricId};
use serde::Serialize;

use super::access::Role;
use super::directory::Found;
use super::http::{App, query};
use super::problem::{Kind, Problem};
use super::writer::WriterError;
use crate::decode::Counts;
use crate::store::{Selection, Store, Tag, TagError};
use crate::survey::{Survey, held};

/// Which counts an analyst wants; without a metric the list of all.
#[derive(Debug, Default)]
struct Wanted {
    metric: Option<MetricId>,
    version: Option<u32>,
    from: Option<u32>,
    to: Option<u32>,
    tags: Vec<Tag>,
    by: Option<String>,
}

impl Wanted {
    fn parse(fields: Vec<(String, String)>) -> Result<Self, Problem> {
        let mut wanted = Self::default();
        for (name, value) in fields {
            match name.as_str() {
                "metric" => set(&mut wanted.metric, &name, MetricId::new(&value))?,
                "version" => set(&mut wanted.version, &name, u32::from_str(&value))?,
                "from" => set(&mut wanted.from, &name, u32::from_str(&value))?,
                "to" => set(&mut wanted.to, &name, u32::from_str(&value))?,
                "by" => set(&mut wanted.by, &name, Ok::<_, TagError>(value))?,
                "tag" => wanted.tags.push(value.parse()?),
                _ => {
                    let detail = format!(
                        "{name:?} is no part of a question; those are metric, version, from, to, tag, by"
                    );
                    return Err(Problem::new(Kind::BadQuery, detail));
                }
            }
        }
        Ok(wanted)
    }
}

fn set<T, E: std::fmt::Display>(
    field: &mut Option<T>,
    name: &str,
    value: Result<T, E>,
) -> Result<(), Problem> {
    let value = value.map_err(|error| Problem::new(Kind::BadQuery, format!("{name}: {error}")))?;
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(Problem::new(Kind::BadQuery, format!("{name} stands twice"))),
    }
}

impl From<TagError> for Problem {
    fn from(error: TagError) -> Self {
        Self::new(Kind::BadQuery, error.to_string())
    }
}

/// An answer with what stands beside it.
#[derive(Serialize)]
struct Surveyed<T> {
    #[serde(flatten)]
    answer: T,
    #[serde(flatten)]
    beside: Survey,
}

/// The counts of a metric version: the reports of each cohort, and of those that set each bit.
#[derive(Serialize)]
struct Sums {
    cohorts: Vec<Cohort>,
}

#[derive(Serialize)]
struct Cohort {
    reports: u64,
    ones: Vec<u64>,
}

/// The same for each label of a tag.
#[derive(Serialize)]
struct ByLabel {
    labels: Vec<Labelled>,
}

#[derive(Serialize)]
struct Labelled {
    /// Null for reports without that tag.
    label: Option<String>,
    #[serde(flatten)]
    sums: Sums,
}

impl From<&Counts> for Sums {
    fn from(counts: &Counts) -> Self {
        let cohort = |(cohort, reports): (usize, &u64)| Cohort {
            reports: *reports,
            ones: counts.ones(cohort).to_vec(),
        };
        Self { cohorts: counts.reports().iter().enumerate().map(cohort).collect() }
    }
}

pub(super) async fn answer(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let Found { project, .. } = app.reader(request.headers(), Role::Read)?;
    let wanted = Wanted::parse(query(&request)?)?;
    let store = Arc::clone(&project.store);
    // Reading may wait for the disk, and must not keep requests waiting.
    let read = tokio::task::spawn_blocking(move || read(&*store, wanted)).await;
    read.map_err(|_| Problem::from(WriterError::Stopped))?
}

fn read(store: &dyn Store, wanted: Wanted) -> Result<Response, Problem> {
    let epochs = Epoch(wanted.from.unwrap_or(0))..=Epoch(wanted.to.unwrap_or(u32::MAX));
    let registries = store.registries()?;
    let selection = Selection::of_epochs(epochs).with_tags(&wanted.tags, &registries)?;
    let (metric, version) = match wanted {
        Wanted { metric: None, version: None, by: None, .. } => {
            return Ok(Json(held(store, &selection)?).into_response());
        }
        Wanted { metric: Some(metric), version: Some(version), .. } => (metric, version),
        _ => return Err(Problem::new(Kind::BadQuery, "give both metric and version, or neither and no by")),
    };
    let selection = selection.without(store.left_out()?);
    let beside = Survey::of(store, &metric, version, &selection)?;
    let Some(tag) = wanted.by else {
        let answer = Sums::from(&store.counts(&metric, version, &selection)?);
        return Ok(Json(Surveyed { answer, beside }).into_response());
    };
    registries.check_tag(&tag)?;
    let labelled = |(label, counts): (Option<String>, Counts)| Labelled { label, sums: Sums::from(&counts) };
    let labels = store.counts_by(&metric, version, &selection, &tag)?.into_iter().map(labelled).collect();
    Ok(Json(Surveyed { answer: ByLabel { labels }, beside }).into_response())
}
