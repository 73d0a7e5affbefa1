//! The definitions of metrics, read from `metrics.toml`: what is asked, and how an answer is randomized.
//!
//! ```toml
//! [events.rp_signin]
//! properties = { host = "text" }
//!
//! [metrics.relying_party]
//! version = 2
//! question = "Which site did the last sign-in of the week belong to?"
//! source = { last = { events = ["rp_signin"], property = "host", window = "week" } }
//! kind = "string"
//! every = "week"
//! epsilon = 2.0
//!
//! # A version that devices may still send. It is counted for itself.
//! [[metrics.relying_party.older]]
//! version = 1
//! report = { encoding = "bloom", bits = 64, hashes = 2, cohorts = 64, instantaneous = { zero = 0.25, one = 0.75 } }
//! ```
//!
//! The collector alone reads `keep_reports = true` of a metric: it keeps the metric's reports beside their sums, for
//! decoding by likelihood. It is no part of the registry that devices receive, so that it can be changed at any time.
//!
//! A change of what a report means needs a new `version`: reports of different parameters are never counted together. What may
//! stand in the file is declared by [`deniable::registry::Declared`]; a metric that the program answers by itself has no
//! `source`, and may state its parameters in `report`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use deniable::registry::{Declared, Fault, Metric, Place, Problem, Registry};
use deniable::{MetricId, Params, Stream};
use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error as TomlError, ValueDeserializer};

use crate::guard::Ones;

/// One version of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    stream: Stream,
    question: Box<str>,
    params: Params,
    keeps_reports: bool,
    ones: Ones,
}

impl Definition {
    fn new(metric: &Metric, version: u32, params: Params, keeps_reports: bool) -> Arc<Self> {
        let stream = Stream::new(metric.id().clone(), version, &params);
        let (question, ones) = (metric.question().into(), Ones::of(&params));
        Arc::new(Self { stream, question, params, keeps_reports, ones })
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

    /// How many ones its reports have, but for improbable ones.
    pub fn ones(&self) -> Ones {
        self.ones
    }

    /// Whether the collector keeps its reports beside their sums.
    pub fn keeps_reports(&self) -> bool {
        self.keeps_reports
    }
}

/// The metrics that are asked, each in its current version and perhaps some older ones.
#[derive(Clone, Debug)]
pub struct Catalog {
    declared: Declared,
    registry: Registry,
    definitions: BTreeMap<MetricId, BTreeMap<u32, Arc<Definition>>>,
}

impl Catalog {
    /// Reads the file of metrics.
    ///
    /// # Errors
    /// A [`CatalogError`] that names the file, and each line where the file is at fault.
    pub fn load(path: &Path) -> Result<Self, CatalogError> {
        let text = fs::read_to_string(path)
            .map_err(|source| CatalogError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|faults| CatalogError::Invalid { path: path.to_owned(), faults })
    }

    /// Reads the file of metrics again, and compares it with what it was.
    ///
    /// # Errors
    /// As [`Catalog::load`], and the changes that need a new version.
    pub fn load_after(path: &Path, earlier: &Self) -> Result<Self, CatalogError> {
        let text = fs::read_to_string(path)
            .map_err(|source| CatalogError::Unreadable { path: path.to_owned(), source })?;
        let read = Self::parse(&text).and_then(|catalog| catalog.follows(&text, earlier).map(|()| catalog));
        read.map_err(|faults| CatalogError::Invalid { path: path.to_owned(), faults })
    }

    /// Reads the text of a file of metrics.
    ///
    /// # Errors
    /// All faults at once, each with its line, its field, what was found and what is allowed.
    pub fn parse(text: &str) -> Result<Self, LineFaults> {
        let (root, faults) = DeTable::parse_recoverable(text);
        let mut faults: Vec<LineFault> = faults.iter().map(|fault| LineFault::of(text, "", fault)).collect();
        let mut root = root.into_inner();
        let keeping = keeping(text, &mut root, &mut faults);
        if !faults.is_empty() {
            return Err(LineFaults(faults));
        }
        let Some((declared, left_out)) = declared(text, &root, &mut faults) else {
            return Err(LineFaults(faults));
        };
        let registry = Registry::new(&declared).map_err(|found| found.0);
        let registry = match registry {
            Ok(registry) if faults.is_empty() => registry,
            read => {
                // What was left out is missed by what names it, which is no fault of its own.
                let found =
                    read.err().unwrap_or_default().into_iter().filter(|fault| !left_out.explain(fault));
                return Err(LineFaults::at(text, &root, found, faults));
            }
        };
        let definitions = registry.metrics().map(|metric| {
            let current = (metric.version(), metric.params());
            let keeps = keeping.contains(metric.id().as_str());
            let versions = [current].into_iter().chain(metric.older());
            let versions =
                versions.map(|(version, params)| (version, Definition::new(metric, version, *params, keeps)));
            (metric.id().clone(), versions.collect())
        });
        Ok(Self { definitions: definitions.collect(), declared, registry })
    }

    /// Compares with an earlier text: what changed without a new version.
    ///
    /// # Errors
    /// The changes, by the lines of `text`, which is that of this catalog.
    pub fn follows(&self, text: &str, earlier: &Self) -> Result<(), LineFaults> {
        let faults = self.registry.unversioned_since(&earlier.registry);
        if faults.is_empty() {
            return Ok(());
        }
        let (root, _) = DeTable::parse_recoverable(text);
        Err(LineFaults::at(text, root.get_ref(), faults, Vec::new()))
    }

    /// What the file declares.
    pub fn declared(&self) -> &Declared {
        &self.declared
    }

    /// The questions as they were compiled.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The definition of a metric in one of its versions.
    pub fn get(&self, metric: &MetricId, version: u32) -> Option<&Arc<Definition>> {
        self.definitions.get(metric)?.get(&version)
    }

    /// The versions of a metric, in ascending order; none if the metric is unknown.
    pub fn versions(&self, metric: &MetricId) -> impl Iterator<Item = u32> {
        self.definitions.get(metric).into_iter().flat_map(|versions| versions.keys().copied())
    }

    /// Every version of every metric.
    pub fn definitions(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.definitions.values().flat_map(BTreeMap::values)
    }
}

/// The tables whose entries have names, each read for itself so that one fault does not hide another.
const NAMED: [&str; 6] = ["events", "dimensions", "segments", "funnels", "experiments", "metrics"];

/// The field of a metric that is the collector's alone.
const KEEP_REPORTS: &str = "keep_reports";

/// Takes out which metrics keep their reports, as the registry has no such field.
fn keeping(text: &str, root: &mut DeTable<'_>, faults: &mut Vec<LineFault>) -> BTreeSet<String> {
    let metrics = root.get_mut("metrics").map(Spanned::get_mut);
    let Some(DeValue::Table(metrics)) = metrics else { return BTreeSet::new() };
    let mut keeping = BTreeSet::new();
    for (name, metric) in metrics.iter_mut() {
        let DeValue::Table(metric) = metric.get_mut() else { continue };
        let Some(keep) = metric.remove(KEEP_REPORTS) else { continue };
        let field = format!("metrics.{}.{KEEP_REPORTS}", name.get_ref());
        if read::<bool>(text, &field, keep, faults) == Some(true) {
            keeping.insert(name.get_ref().to_string());
        }
    }
    keeping
}

/// The names of entries that could not be read.
#[derive(Default)]
struct LeftOut(BTreeSet<String>);

impl LeftOut {
    /// Whether a fault comes of nothing but what was left out.
    fn explain(&self, fault: &Fault) -> bool {
        match &fault.problem {
            Problem::Unknown { name, .. } => self.0.contains(name.split('.').next().unwrap_or(name)),
            Problem::Missing { .. } => fault.place.keys().eq(["metrics"]) && !self.0.is_empty(),
            _ => false,
        }
    }
}

/// Reads what is declared. Entries with faults are left out, and their faults noted.
fn declared(text: &str, root: &DeTable<'_>, faults: &mut Vec<LineFault>) -> Option<(Declared, LeftOut)> {
    let named = |name: &str| NAMED.contains(&name);
    let top = root.iter().filter(|(name, _)| !named(name.get_ref()));
    let top: DeTable<'_> = top.map(|(name, value)| (name.clone(), value.clone())).collect();
    let top = read::<Declared>(text, "", Spanned::new(0..0, DeValue::Table(top)), faults)?;
    let mut left_out = LeftOut::default();
    let declared = Declared {
        events: entries(text, root, "events", faults, &mut left_out),
        dimensions: entries(text, root, "dimensions", faults, &mut left_out),
        segments: entries(text, root, "segments", faults, &mut left_out),
        funnels: entries(text, root, "funnels", faults, &mut left_out),
        experiments: entries(text, root, "experiments", faults, &mut left_out),
        metrics: entries(text, root, "metrics", faults, &mut left_out),
        ..top
    };
    Some((declared, left_out))
}

fn entries<'i, K: TryFrom<String, Error: fmt::Display> + Ord, T: Deserialize<'i>>(
    text: &str,
    root: &DeTable<'i>,
    table: &str,
    faults: &mut Vec<LineFault>,
    left_out: &mut LeftOut,
) -> BTreeMap<K, T> {
    let mut found = BTreeMap::new();
    let Some(value) = root.get(table) else { return found };
    let Some(named) = value.get_ref().as_table() else {
        let message = format!("a table with names is wanted, [{table}.NAME]");
        faults.push(LineFault { line: line(text, value.span().start), field: table.to_owned(), message });
        return found;
    };
    for (key, value) in named {
        let field = format!("{table}.{}", key.get_ref());
        match K::try_from(key.get_ref().to_string()) {
            Ok(name) => {
                let before = faults.len();
                let entry = read(text, &field, value.clone(), faults).filter(|_| faults.len() == before);
                if entry.is_none() {
                    left_out.0.insert(key.get_ref().to_string());
                }
                found.extend(entry.map(|entry| (name, entry)));
            }
            Err(error) => {
                left_out.0.insert(key.get_ref().to_string());
                let line = line(text, key.span().start);
                faults.push(LineFault { line, field, message: error.to_string() });
            }
        }
    }
    found
}

/// Reads what stands in a table. Every fault in it is noted: what the reader stumbles over is taken out, so that it comes to the
/// next, and what is given has no such fields.
fn read<'i, T: Deserialize<'i>>(
    text: &str,
    field: &str,
    value: Spanned<DeValue<'i>>,
    faults: &mut Vec<LineFault>,
) -> Option<T> {
    let mut rest = value;
    let mut taken: Vec<(usize, String)> = Vec::new();
    loop {
        let error = match T::deserialize(ValueDeserializer::from(rest.clone())) {
            Ok(read) => return Some(read),
            Err(error) => error,
        };
        let span = error.span().unwrap_or_default();
        let comes_of = |(at, key): &(usize, String)| {
            span.contains(at) || error.message() == format!("missing field `{key}`")
        };
        if !taken.iter().any(comes_of) {
            faults.push(LineFault::of(text, field, &error));
        }
        let at = span.start;
        taken.push((at, take_out(rest.get_mut(), at)?));
    }
}

/// Takes the innermost field out that lies at `at`, and says its name.
fn take_out(value: &mut DeValue<'_>, at: usize) -> Option<String> {
    match value {
        DeValue::Table(table) => {
            let lies = |name: &Spanned<_>, value: &Spanned<_>| {
                name.span().contains(&at) || value.span().contains(&at)
            };
            let key = table.iter().find(|(name, value)| lies(name, value))?.0.get_ref().to_string();
            let inner = take_out(table.get_mut(key.as_str())?.get_mut(), at);
            inner.or_else(|| table.remove(key.as_str()).map(|_| key))
        }
        DeValue::Array(items) => items
            .iter_mut()
            .find(|item| item.span().contains(&at))
            .and_then(|item| take_out(item.get_mut(), at)),
        _ => None,
    }
}

/// Something wrong in the text of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFault {
    line: usize,
    field: String,
    message: String,
}

impl LineFault {
    pub(crate) fn of(text: &str, field: &str, error: &TomlError) -> Self {
        let line = line(text, error.span().map_or(0, |span| span.start));
        Self { line, field: field.to_owned(), message: error.message().to_owned() }
    }

    /// The line, from 1.
    pub fn line(&self) -> usize {
        self.line
    }
}

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong in the text of a file, by line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFaults(pub Vec<LineFault>);

impl LineFaults {
    /// Faults of what was read, together with `faults` of what could not be.
    fn at(
        text: &str,
        root: &DeTable<'_>,
        found: impl IntoIterator<Item = Fault>,
        mut faults: Vec<LineFault>,
    ) -> Self {
        faults.extend(found.into_iter().map(|fault| LineFault {
            line: line(text, start(root, &fault.place)),
            field: fault.place.to_string(),
            message: fault.problem.to_string(),
        }));
        faults.sort_by_key(|fault| fault.line);
        faults.dedup();
        Self(faults)
    }
}

impl fmt::Display for LineFaults {
    /// Each fault on a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl std::error::Error for LineFaults {}

/// The line, from 1, that holds the byte at `at`.
fn line(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// Where a place begins in the text, or the nearest place around it that is there.
fn start(root: &DeTable<'_>, place: &Place) -> usize {
    let mut at = 0;
    let mut inside: Option<&DeValue<'_>> = None;
    for key in place.keys() {
        let table = inside.map_or(Some(root), DeValue::as_table);
        let array = inside.and_then(DeValue::as_array);
        let found = match (table, array, key.parse::<usize>()) {
            (Some(table), _, _) => table
                .iter()
                .find(|(name, _)| name.get_ref() == key)
                .map(|(name, value)| (name.span().start, value.get_ref())),
            (_, Some(array), Ok(index)) => {
                array.get(index).map(|value: &Spanned<DeValue<'_>>| (value.span().start, value.get_ref()))
            }
            _ => None,
        };
        let Some((begins, value)) = found else { break };
        (at, inside) = (begins, Some(value));
    }
    at
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
        faults: LineFaults,
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
            ("version = 3", "version = 0", &["line 3", "metrics.host", "0", "nonzero"][..]),
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

    /// Six faults of four kinds: two of them in one entry, and what they hide, but not what only misses a faulty entry.
    #[test]
    fn no_fault_hides_another() {
        let text = r#"
session_gap_minutes = 0
lookback = 3

[events.seen.properties]
x = "numbr"

[events.heard]

[metrics.a]
version = 0
question = "?"
knd = "boolean"
source = { any = { events = ["seen"], window = "day" } }
every = "day"
epsilon = 1.0

[metrics.b]
version = 1
question = "?"
kind = "boolean"
source = { any = { events = ["felt"], window = "day" } }
every = "day"
epsilon = 1.0

[metrics.c]
version = 1
question = "?"
kind = "boolean"
source = { any = { events = ["heard"], window = "dy" } }
every = "day"
epsilon = 99.0
"#;
        let faults = Catalog::parse(text).unwrap_err();
        let found: Vec<(usize, String)> =
            faults.0.iter().map(|fault| (fault.line, format!("{fault}"))).collect();
        let expected = [
            (2, "session_gap_minutes"),
            (3, "lookback"),
            (6, "numbr"),
            (11, "nonzero"),
            (13, "knd"),
            (22, "\"felt\" is no event"),
            (30, "dy"),
        ];
        assert_eq!(found.len(), expected.len(), "{faults}");
        for ((line, message), (expected, part)) in found.iter().zip(expected) {
            assert!(*line == expected && message.contains(part), "{line} {message}: {expected} {part}");
        }
    }

    /// Each segment names the one before in two rules, so that reading the last would take 2⁶⁰ looks.
    #[test]
    fn a_chain_of_segments_is_refused_with_its_line_its_steps_and_the_limit() {
        let segment = |level: usize| {
            let (name, label) =
                if level == 0 { ("seen".into(), "yes") } else { (format!("s{:02}", level - 1), "in") };
            let rule =
                format!("{{ when = {{ is = {{ name = '{name}', labels = ['{label}'] }} }}, label = 'in' }}");
            format!("[segments.s{level:02}.rules]\notherwise = 'out'\nrules = [{rule}, {rule}]\n")
        };
        let head = "events.seen = {}\n[dimensions]\nseen = { source = { any = { events = ['seen'], window = 'ever' } }, kind = 'boolean' }\n";
        let tail = "[metrics.m]\nversion = 1\nquestion = '?'\nsource = { named = 's00' }\nkind = 'category'\nevery = 'week'\nepsilon = 1.0\n";
        let text = |levels| [head, &(0..levels).map(segment).collect::<String>(), tail].concat();
        assert!(Catalog::parse(&text(7)).is_ok());
        let error = Catalog::parse(&text(60)).unwrap_err().to_string();
        // The eighth begins in line 4 + 3·7. The first takes 64 + 2·193 steps, and each further one 2·(64 + 1) + 64 and twice those before.
        let said = ["line 25: segments.s07", "82238 steps", "limit of 65536", "name fewer questions"];
        assert!(said.iter().all(|part| error.contains(part)), "{error}");
    }

    #[test]
    fn a_file_without_metrics_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Catalog::load(file.path()).unwrap_err();
        assert!(error.to_string().contains(&*file.path().to_string_lossy()));
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("[metrics.NAME]"));
        assert!(matches!(error, CatalogError::Invalid { .. }));
        assert!(matches!(Catalog::load(Path::new("/no/metrics.toml")), Err(CatalogError::Unreadable { .. })));
    }
}
