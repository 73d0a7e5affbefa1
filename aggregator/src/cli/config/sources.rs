//! Where a setting comes from: a flag, else the environment, else the file, else its default.
//!
//! All sources of a setting are read, also those that another overrides, so that every fault is told at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::value::{Error as ValueError, I64Deserializer, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer};
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

/// What the names of variables begin with.
const PREFIX: &str = "DENIABLE_";

/// The environment, as far as it may hold settings.
pub(super) type Environment = BTreeMap<String, String>;

/// A file of settings.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

/// A setting: where it stands in the file, and what it may be.
#[derive(Clone, Copy)]
pub(super) struct Key<'k> {
    pub(super) path: &'k [&'k str],
    pub(super) allowed: &'static str,
}

impl Key<'_> {
    fn name(&self) -> String {
        self.path.join(".")
    }

    /// Its variable: `limits.key_rate` is set by `DENIABLE_LIMITS_KEY_RATE`. What is logged has a variable that many
    /// programs know.
    fn variable(&self) -> String {
        match self.path {
            ["log"] => "RUST_LOG".to_owned(),
            path => format!("{PREFIX}{}", path.join("_").to_uppercase()),
        }
    }
}

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Flag(String),
    Variable(String),
    Line(PathBuf, usize),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Variable(name) => f.write_str(name),
            Self::Line(file, line) => write!(f, "{} line {line}", file.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A setting as it was resolved. The value is written as in the file; none if it is not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(super) key: String,
    pub(super) value: Option<String>,
    pub(super) origin: Origin,
}

/// The sources, and what was found in them.
pub(super) struct Sources<'a> {
    file: Option<(File<'a>, DeTable<'a>)>,
    environment: &'a Environment,
    known: BTreeSet<Vec<String>>,
    told: Vec<Told>,
    faults: Vec<Fault>,
}

/// What is wrong, and in which line if it is the file's.
struct Fault {
    line: Option<usize>,
    message: String,
}

impl<'a> Sources<'a> {
    /// Takes the sources. A file that is no TOML is a fault, and not looked at further.
    pub(super) fn new(file: Option<File<'a>>, environment: &'a Environment) -> Self {
        let mut faults = Vec::new();
        let file = file.and_then(|file| {
            let (root, found) = DeTable::parse_recoverable(file.text);
            faults.extend(found.iter().map(|error| {
                let at = error.span().map_or(0, |span| span.start);
                file.fault(at, error.message())
            }));
            found.is_empty().then(|| (file, root.into_inner()))
        });
        Self { file, environment, known: BTreeSet::new(), told: Vec::new(), faults }
    }

    /// The value of a setting that always has one.
    pub(super) fn get<T: Value>(&mut self, key: Key<'_>, flag: Option<T>, default: T) -> T {
        let found = self.look(key, flag);
        let (value, origin) = found.unwrap_or((default, Origin::Default));
        self.tell(key, Some(&value), origin);
        value
    }

    /// The value of a setting that may have none.
    pub(super) fn get_optional<T: Value>(&mut self, key: Key<'_>, flag: Option<T>) -> Option<T> {
        let found = self.look(key, flag);
        let (value, origin) = found.map_or((None, Origin::Default), |(value, origin)| (Some(value), origin));
        self.tell(key, value.as_ref(), origin);
        value
    }

    /// As [`Sources::get_optional`], of a place: in the file it is meant from the file's directory, unless it is a URL.
    pub(super) fn get_path(
        &mut self,
        key: Key<'_>,
        flag: Option<PathBuf>,
        default: Option<PathBuf>,
    ) -> Option<PathBuf> {
        let found = self.look(key, flag).map(|(path, origin)| match &origin {
            Origin::Line(file, _) if !path.to_string_lossy().contains("://") => {
                (file.parent().unwrap_or(Path::new("")).join(path), origin)
            }
            _ => (path, origin),
        });
        let default = || default.map(|path| (path, Origin::Default));
        let (value, origin) =
            found.or_else(default).map_or((None, Origin::Default), |(path, origin)| (Some(path), origin));
        self.tell(key, value.as_ref(), origin);
        value
    }

    /// The names of the tables that stand in a table of the file.
    pub(super) fn names(&mut self, table: &'static str) -> Vec<String> {
        let Some((file, root)) = &self.file else { return Vec::new() };
        let Some(found) = root.get(table) else { return Vec::new() };
        if let Some(entries) = found.get_ref().as_table() {
            return entries.keys().map(|name| name.get_ref().to_string()).collect();
        }
        let message = format!("{table} is no table: write [{table}.NAME]");
        self.faults.push(file.fault(found.span().start, &message));
        Vec::new()
    }

    /// Adds a fault of no single value, at the line of what stands at `path`, if the file has it.
    pub(super) fn fault(&mut self, path: &[&str], message: &str) {
        let found = self.file.as_ref().and_then(|(file, root)| Some((file, find(root, path)?)));
        self.faults.push(match found {
            Some((file, value)) => file.fault(value.span().start, message),
            None => Fault { line: None, message: message.to_owned() },
        });
    }

    /// What was resolved, if nothing was at fault in any source. What the file has beyond is a fault.
    /// Faults are in the order of the file's lines.
    pub(super) fn finish(mut self) -> Result<Vec<Told>, Vec<String>> {
        if let Some((file, root)) = &self.file {
            unknown(file, root, &mut Vec::new(), &self.known, &mut self.faults);
        }
        self.faults.sort_by_key(|fault| fault.line.unwrap_or(usize::MAX));
        let faults: Vec<String> = self.faults.into_iter().map(|fault| fault.message).collect();
        if faults.is_empty() { Ok(self.told) } else { Err(faults) }
    }

    fn look<T: Value>(&mut self, key: Key<'_>, flag: Option<T>) -> Option<(T, Origin)> {
        self.known.insert(key.path.iter().map(|&part| part.to_owned()).collect());
        let flag = flag.map(|value| (value, Origin::Flag(flag_name(key.path))));
        let variable = self.look_variable(key);
        let line = self.look_file(key);
        flag.or(variable).or(line)
    }

    fn look_variable<T: Value>(&mut self, key: Key<'_>) -> Option<(T, Origin)> {
        let name = key.variable();
        let text = self.environment.get(&name)?;
        let read: Result<T, ValueError> = match text.parse::<i64>() {
            Ok(number) => T::deserialize(I64Deserializer::new(number)),
            Err(_) => T::deserialize::<StrDeserializer<'_, ValueError>>(text.as_str().into_deserializer()),
        };
        match read {
            Ok(value) => Some((value, Origin::Variable(name))),
            Err(error) => {
                let message = format!("{name} is {text:?}: {error}; allowed: {}", key.allowed);
                self.faults.push(Fault { line: None, message });
                None
            }
        }
    }

    fn look_file<T: Value>(&mut self, key: Key<'_>) -> Option<(T, Origin)> {
        let (file, root) = self.file.as_ref()?;
        let value = find(root, key.path)?;
        let span = value.span();
        match T::deserialize(ValueDeserializer::from(value.clone())) {
            Ok(read) => Some((read, Origin::Line(file.path.to_owned(), file.line(span.start)))),
            Err(error) => {
                let found = file.text.get(span.clone()).unwrap_or_default();
                let (name, why, allowed) = (key.name(), error.message(), key.allowed);
                let message = format!("{name} is {found}: {why}; allowed: {allowed}");
                self.faults.push(file.fault(span.start, &message));
                None
            }
        }
    }

    fn tell<T: Value>(&mut self, key: Key<'_>, value: Option<&T>, origin: Origin) {
        self.told.push(Told { key: key.name(), value: value.map(written), origin });
    }
}

/// What a setting can be.
pub(super) trait Value: DeserializeOwned + Serialize {}

impl<T: DeserializeOwned + Serialize> Value for T {}

impl File<'_> {
    /// The line, from 1, that holds the byte at `at`.
    fn line(&self, at: usize) -> usize {
        1 + self.text.bytes().take(at).filter(|byte| *byte == b'\n').count()
    }

    fn fault(&self, at: usize, message: &str) -> Fault {
        let line = self.line(at);
        Fault { line: Some(line), message: format!("{} line {line}: {message}", self.path.display()) }
    }
}

/// The variables that are called like settings and are none.
pub(super) fn unknown_variables<'e>(
    environment: &'e Environment,
    told: &'e [Told],
) -> impl Iterator<Item = &'e str> {
    let known = |name: &str| {
        told.iter().any(|told| {
            let path: Vec<&str> = told.key.split('.').collect();
            Key { path: &path, allowed: "" }.variable() == name
        })
    };
    let names = environment.keys().map(String::as_str);
    names.filter(move |name| name.starts_with(PREFIX) && !known(name))
}

/// The flag of a setting: its own name, but for two whose flags are older than the file.
fn flag_name(path: &[&str]) -> String {
    match path {
        ["allow_origins"] => "allow-origin".to_owned(),
        ["tls", name] => format!("tls-{name}"),
        path => path.last().copied().unwrap_or_default().replace('_', "-"),
    }
}

fn written<T: Serialize + ?Sized>(value: &T) -> String {
    let value = toml::Value::try_from(value).expect("a setting has a TOML form");
    value.to_string()
}

fn find<'t, 'i>(root: &'t DeTable<'i>, path: &[&str]) -> Option<&'t Spanned<DeValue<'i>>> {
    let (name, tables) = path.split_last()?;
    let table = tables.iter().try_fold(root, |table, name| table.get(*name)?.get_ref().as_table())?;
    table.get(*name)
}

/// Finds the keys of the file that nobody asked for.
fn unknown(
    file: &File<'_>,
    table: &DeTable<'_>,
    path: &mut Vec<String>,
    known: &BTreeSet<Vec<String>>,
    faults: &mut Vec<Fault>,
) {
    for (name, value) in table {
        path.push(name.get_ref().to_string());
        let is_table_of_known = known.iter().any(|key| key.len() > path.len() && key.starts_with(path));
        match value.get_ref().as_table() {
            Some(inner) if is_table_of_known => unknown(file, inner, path, known, faults),
            _ if known.contains(path) => {}
            _ => {
                let depth = path.len();
                let beside: BTreeSet<&str> = known
                    .iter()
                    .filter(|key| key.len() >= depth && key[..depth - 1] == path[..depth - 1])
                    .map(|key| key[depth - 1].as_str())
                    .collect();
                let allowed = beside.into_iter().collect::<Vec<_>>().join(", ");
                let message = format!("{} is no setting; allowed here: {allowed}", path.join("."));
                faults.push(file.fault(name.span().start, &message));
            }
        }
        path.pop();
    }
}
