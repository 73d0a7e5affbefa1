//! The definitions of metrics, read from `metrics.toml`: what is asked, and how an answer is randomized.
//!
//! ```toml
//! [metrics.relying_party]
//! version = 2
//! question = "Which site did a sign-in belong to?"
//! report = { encoding = "bloom", bits = 128, hashes = 2, cohorts = 64, permanent = { zero = 0.25, one = 0.75 }, instantaneous = { zero = 0.25, one = 0.75 } }
//!
//! # A version that devices may still send. It is counted for itself.
//! [[metrics.relying_party.older]]
//! version = 1
//! report = { encoding = "bloom", bits = 64, hashes = 2, cohorts = 64, instantaneous = { zero = 0.25, one = 0.75 } }
//! ```
//!
//! A change of `report` needs a new `version`: reports of different parameters are never counted together.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use deniable::{MetricId, Params, Stream};
use serde::Deserialize;
use thiserror::Error;

/// One version of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    stream: Stream,
    question: Box<str>,
    params: Params,
}

impl Definition {
    fn new(metric: &MetricId, version: NonZeroU32, question: &str, params: Params) -> Arc<Self> {
        let stream = Stream::new(metric.clone(), version.get(), &params);
        Arc::new(Self { stream, question: question.into(), params })
    }

    /// The metric, its version and the fingerprint of its parameters.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// What is asked, in words.
    pub fn question(&self) -> &str {
        &self.question
    }

    /// How an answer is randomized.
    pub fn params(&self) -> &Params {
        &self.params
    }
}

/// The metrics that are asked, each in its current version and perhaps some older ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Catalog(BTreeMap<MetricId, BTreeMap<u32, Arc<Definition>>>);

impl Catalog {
    /// Reads the file of metrics.
    ///
    /// # Errors
    /// A [`CatalogError`] that names the file, and the line where the file is at fault.
    pub fn load(path: &Path) -> Result<Self, CatalogError> {
        let text = fs::read_to_string(path)
            .map_err(|source| CatalogError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|fault| CatalogError::Invalid { path: path.to_owned(), fault })
    }

    /// Reads the text of a file of metrics.
    ///
    /// # Errors
    /// A [`CatalogFault`] that gives the value at fault and what is allowed.
    pub fn parse(text: &str) -> Result<Self, CatalogFault> {
        let raw: RawCatalog = toml::from_str(text)?;
        if raw.metrics.is_empty() {
            return Err(CatalogFault::NoMetric);
        }
        raw.metrics
            .into_iter()
            .map(|(metric, raw)| Ok((metric.clone(), raw.versions(&metric)?)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The definition of a metric in one of its versions.
    pub fn get(&self, metric: &MetricId, version: u32) -> Option<&Arc<Definition>> {
        self.0.get(metric)?.get(&version)
    }

    /// The versions of a metric, in ascending order; none if the metric is unknown.
    pub fn versions(&self, metric: &MetricId) -> impl Iterator<Item = u32> {
        self.0.get(metric).into_iter().flat_map(|versions| versions.keys().copied())
    }

    /// Every version of every metric.
    pub fn definitions(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.0.values().flat_map(BTreeMap::values)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCatalog {
    #[serde(default)]
    metrics: BTreeMap<MetricId, RawMetric>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMetric {
    version: NonZeroU32,
    question: Box<str>,
    report: Params,
    #[serde(default)]
    older: Vec<RawOlder>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOlder {
    version: NonZeroU32,
    report: Params,
}

impl RawMetric {
    fn versions(self, metric: &MetricId) -> Result<BTreeMap<u32, Arc<Definition>>, CatalogFault> {
        let current = Definition::new(metric, self.version, &self.question, self.report);
        let mut versions = BTreeMap::from([(self.version.get(), current)]);
        for older in self.older {
            let version = older.version.get();
            if older.version >= self.version || versions.contains_key(&version) {
                let (metric, current) = (metric.clone(), self.version.get());
                return Err(CatalogFault::Older { metric, version, current });
            }
            versions.insert(version, Definition::new(metric, older.version, &self.question, older.report));
        }
        Ok(versions)
    }
}

/// A file of metrics that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// The file cannot be read.
    #[error("cannot read the metrics in {}: check the path and its permissions", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file does not define metrics.
    #[error("the metrics in {} cannot be used", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        fault: CatalogFault,
    },
}

/// What is wrong in the text of a file of metrics.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CatalogFault {
    /// A value, a name or the notation is wrong; the message gives the line.
    #[error(transparent)]
    Text(#[from] toml::de::Error),
    /// The file is empty.
    #[error("no metric is defined: add a table [metrics.NAME] with `version`, `question` and `report`")]
    NoMetric,
    /// An older version is not older, or is given twice.
    #[error(
        "metric {metric} lists {version} among its older versions, but each must be below its current version {current} and be listed once"
    )]
    Older {
        /// The metric.
        metric: MetricId,
        /// The version listed.
        version: u32,
        /// Its current version.
        current: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[metrics.host]
version = 3
question = "Which host?"
report = { encoding = "bloom", bits = 16, hashes = 2, cohorts = 8, instantaneous = { zero = 0.25, one = 0.75 } }

[[metrics.host.older]]
version = 1
report = { encoding = "unary", bits = 4, instantaneous = { zero = 0.25, one = 0.5 } }
"#;

    #[test]
    fn every_version_keeps_its_own_parameters() {
        let catalog = Catalog::parse(GOOD).unwrap();
        let host = MetricId::new("host").unwrap();
        assert_eq!(catalog.versions(&host).collect::<Vec<_>>(), [1, 3]);
        assert_eq!(catalog.get(&host, 1).unwrap().params().bits(), 4);
        let current = catalog.get(&host, 3).unwrap();
        assert_eq!((current.params().bits(), current.question()), (16, "Which host?"));
        assert_eq!(current.stream().fingerprint(), current.params().fingerprint());
        assert!(catalog.get(&host, 2).is_none());
        assert!(catalog.get(&MetricId::new("hosts").unwrap(), 3).is_none());
    }

    /// Each fault, and what its message must contain: the line, the value and what is allowed.
    #[test]
    fn faults_are_named_with_line_value_and_limit() {
        for (from, to, said) in [
            ("version = 3", "version = 0", &["line 3", "0", "nonzero"][..]),
            ("version = 3", "version = -1", &["line 3", "-1"]),
            ("version = 3", "versions = 3", &["line 3", "versions", "version"]),
            ("bits = 16", "bits = 5000", &["line 5", "5000", "4096"]),
            ("zero = 0.25, one = 0.75", "zero = 0.75, one = 0.25", &["line 5", "0.75", "below"]),
            ("one = 0.75", "one = 1.5", &["line 5", "1.5", "between 0 and 1"]),
            ("bloom", "flower", &["line 5", "flower", "`direct`"]),
            ("cohorts = 8", "cohort = 8", &["line 5", "cohort"]),
            ("question = \"Which host?\"", "", &["line 2", "question"]),
            ("[metrics.host]", "[metrics.Host]", &["\"Host\"", "lower-case"]),
            ("version = 1\n", "version = 3\n", &["older", "3"]),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD);
            let message = Catalog::parse(&text).unwrap_err().to_string();
            assert!(said.iter().all(|part| message.contains(part)), "{to}: {message}");
        }
    }

    #[test]
    fn a_file_without_metrics_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Catalog::load(file.path()).unwrap_err();
        assert!(error.to_string().contains(&*file.path().to_string_lossy()));
        assert!(matches!(error, CatalogError::Invalid { fault: CatalogFault::NoMetric, .. }));
        assert!(matches!(Catalog::load(Path::new("/no/metrics.toml")), Err(CatalogError::Unreadable { .. })));
    }
}
