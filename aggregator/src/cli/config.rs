//! The settings of a collector, resolved once from flags, environment and file, each with where it was set.
//!
//! ```toml
//! listen = "127.0.0.1:8080"
//! metrics = "metrics.toml"    # places are meant from this file's directory
//! access = "access.toml"
//! store = "store"
//! lake = "lake"               # may be left out
//!
//! [limits]
//! key_rate = 5000             # also --key-rate, and DENIABLE_LIMITS_KEY_RATE
//! ```
//!
//! A collector of several projects has tables `[projects.NAME]` with `metrics`, `access`, `store` and `lake` in place of those
//! at the top. No setting is a secret: secrets stand in files that settings name.

mod sources;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use deniable::calendar::Day;
use deniable_aggregator::collect::{
    AccessFault, DEFAULT_OPEN_DAYS, Limits, Origin, Origins, ProjectName, Rates, Settings, Tls, Window,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use tracing_subscriber::EnvFilter;

use self::sources::{Environment, File, Key, Sources, Told};

/// What can be set by flags.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Flags {
    /// File of settings, which `deniable init` makes. A flag goes before the environment, which goes before the file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of the counts; made if it does not exist. One process at a time can use it
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// File that defines the metrics [default: metrics.toml]
    #[arg(long, value_name = "FILE")]
    metrics: Option<PathBuf>,
    /// File of write keys and analysts' tokens, which `deniable init` makes. Without one, batches of any key are taken,
    /// so only this machine may reach the collector, and nobody reads
    #[arg(long, value_name = "FILE")]
    access: Option<PathBuf>,
    /// Lake that closed epochs are moved to: a folder, made if it does not exist, or s3://BUCKET/PREFIX with the settings of
    /// the environment, AWS_ACCESS_KEY_ID and the like. Without one, epochs stay in the store
    #[arg(long, value_name = "PLACE")]
    lake: Option<PathBuf>,
    /// Address and port to listen on; port 0 takes a free one. Put a TLS proxy in front of any but the loopback, or
    /// give a certificate [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Days after its first for which an epoch takes reports. Longer for longer epochs, or devices that are off for long
    /// [default: 45]
    #[arg(long, value_name = "DAYS")]
    open_days: Option<u32>,
    /// Accept a clock that is far ahead of the store, up to this day
    #[arg(long, value_name = "DATE")]
    accept_date: Option<Day>,
    /// Page that may read answers, as https://app.example, or * for all; may be given several times. The pages of write
    /// keys may anyway
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<Page>,
    /// File with the TLS certificate, and those that it depends on, as PEM
    #[arg(long, value_name = "FILE")]
    tls_certificate: Option<PathBuf>,
    /// File with the private key of the certificate, as PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// The most requests a second, lasting, of 256 neighbouring addresses (a /56 of IPv6). A proxy on this machine is
    /// not limited [default: 50]
    #[arg(long, value_name = "RATE")]
    address_rate: Option<NonZeroU32>,
    /// The most batches a second, lasting, under one write key [default: 5000]
    #[arg(long, value_name = "RATE")]
    key_rate: Option<NonZeroU32>,
    /// The most requests a second, lasting, with one token [default: 20]
    #[arg(long, value_name = "RATE")]
    token_rate: Option<NonZeroU32>,
}

/// The settings of a collector.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    /// As `RUST_LOG` has it.
    pub(crate) log: String,
    pub(crate) projects: Vec<Places>,
    open_days: u32,
    accept_date: Option<Day>,
    allow_origins: Pages,
    /// Certificate and key.
    tls: Option<(PathBuf, PathBuf)>,
    limits: Limits,
    rates: Rates,
    told: Vec<Told>,
    /// Variables that are called like settings and are none.
    unknown: Vec<String>,
}

/// Where a project has what it needs.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) name: ProjectName,
    pub(crate) store: PathBuf,
    pub(crate) metrics: PathBuf,
    pub(crate) access: Option<PathBuf>,
    pub(crate) lake: Option<PathBuf>,
}

impl Config {
    /// Resolves the settings from flags, the process's environment and the file that they name.
    pub(crate) fn load(flags: Flags) -> anyhow::Result<Self> {
        let environment: Environment = std::env::vars_os()
            .filter_map(|(name, text)| Some((name.into_string().ok()?, text.into_string().ok()?)))
            .collect();
        let path = flags.config.clone().or_else(|| environment.get("DENIABLE_CONFIG").map(PathBuf::from));
        let text = path
            .as_deref()
            .map(|path| {
                fs::read_to_string(path).with_context(|| {
                    format!(
                        "cannot read the settings in {}: check the path and its permissions",
                        path.display()
                    )
                })
            })
            .transpose()?;
        let file = path.as_deref().zip(text.as_deref()).map(|(path, text)| File { path, text });
        Self::resolve(flags, &environment, file)
    }

    fn resolve(flags: Flags, environment: &Environment, file: Option<File<'_>>) -> anyhow::Result<Self> {
        let mut from = Sources::new(file, environment);
        let top = |path, allowed| Key { path, allowed };
        const ADDRESS: &str = "an address and a port, as 127.0.0.1:8080";
        const RATE: &str = "a whole number from 1";
        let listen = from.get(top(&["listen"], ADDRESS), flags.listen, ([127, 0, 0, 1], 8080).into());
        let log = from.get(top(&["log"], FILTER), None, Filter("info".to_owned())).0;
        let open_days = from.get(top(&["open_days"], "a number of days"), flags.open_days, DEFAULT_OPEN_DAYS);
        let accept_date =
            from.get_optional(top(&["accept_date"], "a date like \"2027-01-31\""), flags.accept_date);
        let pages = Some(Pages(flags.allow_origin)).filter(|pages| !pages.0.is_empty());
        let allow_origins = from.get(top(&["allow_origins"], PAGES), pages, Pages::default());
        let certificate = from.get_path(top(&["tls", "certificate"], FILE), flags.tls_certificate, None);
        let key = from.get_path(top(&["tls", "key"], FILE), flags.tls_key, None);
        if certificate.is_some() != key.is_some() {
            from.fault(&["tls"], "tls.certificate and tls.key are needed together, or neither");
        }
        let limits = limits(&mut from);
        let default = Rates::default();
        let rates = Rates {
            neighbourhood: from.get(
                top(&["limits", "address_rate"], RATE),
                flags.address_rate,
                default.neighbourhood,
            ),
            key: from.get(top(&["limits", "key_rate"], RATE), flags.key_rate, default.key),
            token: from.get(top(&["limits", "token_rate"], RATE), flags.token_rate, default.token),
        };
        let projects = projects(&mut from, [flags.store, flags.metrics, flags.access, flags.lake]);
        if let Some(open) = projects.iter().find(|project| project.access.is_none())
            && !listen.ip().is_loopback()
        {
            let name = &open.name;
            from.fault(&["listen"], &format!(
                "whoever reaches {listen} could send batches to project {name}: give write keys with --access FILE (`deniable init DIR` makes one), or listen on the loopback"
            ));
        }
        let told = match from.finish() {
            Ok(told) => told,
            Err(faults) => bail!("the settings cannot be used:\n  {}", faults.join("\n  ")),
        };
        let unknown = sources::unknown_variables(environment, &told)
            .filter(|name| !OTHER_VARIABLES.contains(name))
            .map(str::to_owned)
            .collect();
        let tls = certificate.zip(key);
        Ok(Self {
            listen,
            log,
            projects,
            open_days,
            accept_date,
            allow_origins,
            tls,
            limits,
            rates,
            told,
            unknown,
        })
    }

    /// What the collector takes of them. Reads the certificate.
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        let tls = self.tls.as_ref().map(|(certificate, key)| Tls::load(certificate, key)).transpose()?;
        Ok(Settings {
            window: Window::new(self.open_days).accepting(self.accept_date),
            limits: self.limits,
            rates: self.rates,
            origins: self.allow_origins.origins(),
            tls,
        })
    }

    /// Writes the settings as a file has them, each with where it was set.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        // Dotted keys need no tables, and so stand in any order.
        for Told { key, value, origin } in &self.told {
            match value {
                Some(value) => writeln!(out, "{key} = {value} # {origin}")?,
                None => writeln!(out, "# {key} is not set")?,
            }
        }
        Ok(())
    }

    /// Logs the settings.
    pub(crate) fn log(&self) {
        for Told { key, value, origin } in &self.told {
            let value = value.as_deref().unwrap_or("not set");
            tracing::info!(%key, %value, %origin, "setting");
        }
        // Not an error: Kubernetes sets variables that are called after services.
        for name in &self.unknown {
            tracing::warn!(variable = %name, "this variable is called like a setting, but is none");
        }
    }
}

/// Variables with our prefix that are no settings of the collector.
const OTHER_VARIABLES: [&str; 2] = ["DENIABLE_CONFIG", "DENIABLE_TOKEN"];
const FILE: &str = "the path of a file";
const FILTER: &str = "a level (error, warn, info, debug, trace), or directives as for RUST_LOG";
const PAGES: &str = "a list of pages, as [\"https://app.example\"], or [\"*\"] for all";

fn limits(from: &mut Sources<'_>) -> Limits {
    const COUNT: &str = "a whole number from 1 to 65535";
    const MEGABYTES: &str = "a whole number from 1 to 65535, in MiB";
    const SECONDS: &str = "a whole number from 1 to 65535, in seconds";
    let default = Limits::default();
    let mut get = |name, allowed, default: u64| {
        let default = u16::try_from(default).ok().and_then(NonZeroU16::new).expect("the defaults are small");
        from.get(Key { path: &["limits", name], allowed }, None, default).get()
    };
    Limits {
        connections: get("connections", COUNT, default.connections as u64).into(),
        memory_bytes: usize::from(get("memory_megabytes", MEGABYTES, (default.memory_bytes >> 20) as u64))
            << 20,
        head_timeout: Duration::from_secs(
            get("head_seconds", SECONDS, default.head_timeout.as_secs()).into(),
        ),
        body_timeout: Duration::from_secs(
            get("body_seconds", SECONDS, default.body_timeout.as_secs()).into(),
        ),
    }
}

/// The projects of the file, or the only one.
fn projects(from: &mut Sources<'_>, flags: [Option<PathBuf>; 4]) -> Vec<Places> {
    let names = from.names("projects");
    if names.is_empty() {
        return vec![places(from, ProjectName::sole(), &[], flags)];
    }
    if flags.iter().any(Option::is_some) {
        from.fault(
            &["projects"],
            "--store, --metrics, --access and --lake are for a collector without [projects]: leave them out",
        );
    }
    let mut found = Vec::new();
    for name in &names {
        match ProjectName::try_from(name.clone()) {
            Ok(project) => found.push(places(from, project, &["projects", name], [None, None, None, None])),
            Err(error) => from.fault(&["projects", name], &error.to_string()),
        }
    }
    found
}

/// The places of one project, whose settings stand in the table at `path`.
fn places(from: &mut Sources<'_>, name: ProjectName, path: &[&str], flags: [Option<PathBuf>; 4]) -> Places {
    const FOLDER: &str = "the path of a directory";
    let [store, metrics, access, lake] = flags;
    let is_sole = path.is_empty();
    let mut get = |name, allowed, flag, default| {
        from.get_path(Key { path: &[path, &[name]].concat(), allowed }, flag, default)
    };
    let store = get("store", FOLDER, store, None);
    let metrics = get("metrics", FILE, metrics, is_sole.then(|| PathBuf::from("metrics.toml")));
    let access = get("access", FILE, access, None);
    let lake = get("lake", "the path of a directory, or s3://BUCKET/PREFIX", lake, None);
    let mut need = |name, value: &Option<PathBuf>, otherwise| {
        if value.is_none() {
            let name = [path, &[name]].concat().join(".");
            from.fault(path, &format!("{name} is not set: {otherwise}set it in the file of settings"));
        }
    };
    need("store", &store, if is_sole { "give --store DIR or DENIABLE_STORE, or " } else { "" });
    if !is_sole {
        need("metrics", &metrics, "");
        need("access", &access, "");
    }
    // What is missing was noted as a fault.
    Places { name, store: store.unwrap_or_default(), metrics: metrics.unwrap_or_default(), access, lake }
}

/// Pages that may read answers.
#[derive(Clone, Debug, Default, Serialize)]
struct Pages(Vec<Page>);

#[derive(Clone, Debug)]
enum Page {
    Any,
    Of(Origin),
}

impl Pages {
    fn origins(&self) -> Origins {
        let listed = self.0.iter().map(|page| match page {
            Page::Any => None,
            Page::Of(origin) => Some(origin.clone()),
        });
        listed.collect::<Option<_>>().map_or(Origins::Any, Origins::Listed)
    }
}

impl FromStr for Page {
    type Err = AccessFault;

    fn from_str(text: &str) -> Result<Self, AccessFault> {
        if text == "*" { Ok(Self::Any) } else { text.parse().map(Self::Of) }
    }
}

impl Serialize for Page {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any => serializer.serialize_str("*"),
            Self::Of(origin) => origin.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Pages {
    /// A list in a file, or in a variable with commas between.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Pages;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of pages")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Pages, E> {
                let pages = text.split(',').map(|page| page.trim().parse().map_err(E::custom));
                pages.collect::<Result<_, _>>().map(Pages)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Pages, A::Error> {
                let mut pages = Vec::new();
                while let Some(page) = list.next_element::<String>()? {
                    pages.push(page.parse().map_err(de::Error::custom)?);
                }
                Ok(Pages(pages))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// What is logged, in the words of `tracing`.
#[derive(Serialize)]
struct Filter(String);

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        EnvFilter::try_new(&text).map_err(de::Error::custom)?;
        Ok(Self(text))
    }
}
