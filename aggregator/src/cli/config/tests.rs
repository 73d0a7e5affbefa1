//! Where settings come from, and what is said of bad ones.

use std::path::Path;

use clap::{CommandFactory, Parser};

use super::*;
use crate::cli::init::SETTINGS;

/// Flags as they are typed.
#[derive(Parser)]
struct Line {
    #[command(flatten)]
    flags: Flags,
}

fn flags(words: &[&str]) -> Flags {
    Line::try_parse_from(["serve"].iter().chain(words)).unwrap().flags
}

fn resolve(words: &[&str], variables: &[(&str, &str)], text: Option<&str>) -> anyhow::Result<Config> {
    let environment: Environment =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let file = text.map(|text| File { path: Path::new("etc/deniable.toml"), text });
    Config::resolve(flags(words), &environment, file)
}

fn written(config: &Config) -> String {
    let mut out = Vec::new();
    config.write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_flag_goes_before_a_variable_before_the_file_before_the_default() {
    let file = "listen = \"127.0.0.1:1\"\nopen_days = 1\nstore = \"data\"\nlog = \"warn\"\n[limits]\nkey_rate = 1\nhead_seconds = 3\n";
    let variables = [
        ("DENIABLE_LISTEN", "127.0.0.1:2"),
        ("DENIABLE_OPEN_DAYS", "2"),
        ("DENIABLE_LIMITS_KEY_RATE", "2"),
        ("DENIABLE_ALLOW_ORIGINS", "https://a.example, https://b.example"),
        ("RUST_LOG", "debug"),
        ("PATH", "/bin"),
    ];
    let words = ["--listen", "127.0.0.1:3", "--access", "keys.toml", "--accept-date", "2027-01-31"];
    let config = resolve(&words, &variables, Some(file)).unwrap();
    assert_eq!((config.listen.port(), config.open_days, config.rates.key.get()), (3, 2, 2));
    assert_eq!((config.log.as_str(), config.limits.head_timeout.as_secs()), ("debug", 3));
    assert!(matches!(config.allow_origins.origins(), Origins::Listed(pages) if pages.len() == 2));
    let [project] = &config.projects[..] else { panic!("one project") };
    // A place in the file is meant from the file's directory, one in a flag from that of the process.
    assert_eq!(project.store, Path::new("etc/data"));
    assert_eq!(
        (project.access.as_deref(), &*project.metrics),
        (Some(Path::new("keys.toml")), Path::new("metrics.toml"))
    );
    let text = written(&config);
    for line in [
        "listen = \"127.0.0.1:3\" # --listen",
        "open_days = 2 # DENIABLE_OPEN_DAYS",
        "accept_date = \"2027-01-31\" # --accept-date",
        "limits.head_seconds = 3 # etc/deniable.toml line 7",
        "limits.body_seconds = 30 # default",
        "store = \"etc/data\" # etc/deniable.toml line 3",
        "metrics = \"metrics.toml\" # default",
        "# tls.key is not set",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in:\n{text}");
    }
}

#[test]
fn what_is_printed_is_a_file_that_sets_the_same() {
    let config = resolve(&["--store", "/data", "--allow-origin", "*"], &[], None).unwrap();
    let printed = written(&config);
    let again = resolve(&[], &[], Some(&printed)).unwrap();
    let values = |config: &Config| config.told.iter().map(|told| told.value.clone()).collect::<Vec<_>>();
    let mut expected = values(&config);
    // But that places are now meant from the file's directory.
    let metrics = config.told.iter().position(|told| told.key == "metrics").unwrap();
    expected[metrics] = Some("\"etc/metrics.toml\"".to_owned());
    assert_eq!(values(&again), expected);
}

#[test]
fn all_faults_are_told_at_once_with_line_key_value_and_what_is_allowed() {
    let file = "listen = \"nowhere\"\nopen_dais = 3\nlog = \"a=b=c\"\n[limits]\nconnections = 0\nkeyrate = 2\n[tls]\nkey = \"k\"\n[other]\nx = 1\n";
    let variables = [("DENIABLE_LIMITS_TOKEN_RATE", "-1"), ("DENIABLE_ACCEPT_DATE", "tomorrow")];
    let message = resolve(&[], &variables, Some(file)).unwrap_err().to_string();
    for parts in [
        &[
            "etc/deniable.toml line 1: listen is \"nowhere\"",
            "socket address",
            "allowed: an address and a port",
        ][..],
        &["line 2: open_dais is no setting", "open_days"],
        &["line 3: log is \"a=b=c\"", "allowed: a level"],
        &["line 5: limits.connections is 0", "from 1 to 65535"],
        &["line 6: limits.keyrate is no setting", "key_rate"],
        &["line 7: tls.certificate and tls.key"],
        &["line 9: other is no setting"],
        &["DENIABLE_LIMITS_TOKEN_RATE is \"-1\"", "from 1"],
        &["DENIABLE_ACCEPT_DATE is \"tomorrow\"", "2027-01-31"],
        &["store is not set: give --store DIR"],
    ] {
        let found = message.lines().any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(found, "{parts:?} is missing in:\n{message}");
    }
    assert_eq!(message.lines().count(), 11, "{message}");
    let lines: Vec<_> = message.lines().filter_map(|line| line.split(" line ").nth(1)).collect();
    assert!(lines.is_sorted(), "{message}");
    let broken = resolve(&[], &[], Some("listen = \n")).unwrap_err().to_string();
    assert!(broken.contains("etc/deniable.toml line 1"), "{broken}");
}

#[test]
fn projects_have_places_of_their_own() {
    let shop = "[projects.shop]\nmetrics = \"m\"\naccess = \"a\"\nstore = \"/s\"\n";
    let file = format!("{shop}[projects.blog]\nmetrics = \"n\"\naccess = \"b\"\nstore = \"t\"\n");
    let config = resolve(&[], &[("DENIABLE_PROJECTS_BLOG_STORE", "/v")], Some(&file)).unwrap();
    let names: Vec<_> = config.projects.iter().map(|project| project.name.as_str()).collect();
    assert_eq!(names, ["blog", "shop"]);
    assert_eq!([&*config.projects[0].store, &*config.projects[1].store], [Path::new("/v"), Path::new("/s")]);
    assert_eq!(config.projects[0].metrics, Path::new("etc/n"));

    let fault = |words: &[&str], file: &str| resolve(words, &[], Some(file)).unwrap_err().to_string();
    assert!(fault(&["--store", "x"], shop).contains("without [projects]"));
    assert!(fault(&[], &format!("store = \"x\"\n{shop}")).contains("line 1: store is no setting"));
    let message = fault(&[], "[projects.shop]\nstore = \"s\"\n[projects.Blog]\n");
    for part in
        ["line 1: projects.shop.metrics is not set", "projects.shop.access is not set", "line 3", "Blog"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(fault(&[], "projects = 3\nstore = \"s\"").contains("[projects.NAME]"));
}

#[test]
fn a_lake_is_a_place_beside_the_file_or_a_url() {
    let lake = |words: &[&str], line: &str| {
        let file = format!("store = \"s\"\n{line}");
        resolve(words, &[], Some(&file)).unwrap().projects.remove(0).lake
    };
    assert_eq!(lake(&[], ""), None);
    assert_eq!(lake(&[], "lake = \"lake\""), Some("etc/lake".into()));
    assert_eq!(lake(&[], "lake = \"s3://bucket/lake\""), Some("s3://bucket/lake".into()));
    assert_eq!(lake(&["--lake", "x"], "lake = \"lake\""), Some("x".into()));
}

#[test]
fn without_keys_only_the_loopback_is_listened_on() {
    let message = resolve(&["--store", "s", "--listen", "0.0.0.0:1"], &[], None).unwrap_err().to_string();
    assert!(message.contains("0.0.0.0:1") && message.contains("--access"), "{message}");
    resolve(&["--store", "s", "--listen", "0.0.0.0:1", "--access", "a"], &[], None).unwrap();
    resolve(&["--store", "s", "--listen", "[::1]:1"], &[], None).unwrap();
}

#[test]
fn variables_that_set_nothing_are_told_of_but_do_no_harm() {
    // As Kubernetes sets beside a service called deniable.
    let variables =
        [("DENIABLE_PORT", "tcp://10.0.0.1:80"), ("DENIABLE_STORE", "s"), ("DENIABLE_TOKEN", "t")];
    let config = resolve(&[], &variables, None).unwrap();
    assert_eq!(config.unknown, ["DENIABLE_PORT"]);
}

/// The file that `deniable init` makes names every setting, and what is commented out is the default.
#[test]
fn the_first_file_has_every_setting_at_its_default() {
    let config = resolve(&[], &[], Some(SETTINGS)).unwrap();
    let unset = |told: &&Told| told.value.is_none() || told.origin == sources::Origin::Default;
    for told in config.told.iter().filter(unset) {
        let value = told.value.as_deref().unwrap_or_default();
        let line = format!("# {} = {value}", told.key);
        assert!(SETTINGS.contains(&line), "{line} is missing");
    }
    let settings = SETTINGS.split("# Several projects").next().unwrap();
    let is_setting =
        |line: &&str| line.strip_prefix("# ").is_some_and(|line| line.split(' ').nth(1) == Some("="));
    let uncommented: String = settings
        .lines()
        .map(|line| if is_setting(&line) { &line[2..] } else { line })
        .flat_map(|line| [line, "\n"])
        .collect();
    let all = resolve(&[], &[], Some(&uncommented)).unwrap();
    assert!(all.told.iter().all(|told| matches!(told.origin, sources::Origin::Line(..))), "{:?}", all.told);
}

#[test]
fn the_defaults_that_flags_tell_are_those_that_hold() {
    let config = resolve(&["--store", "s"], &[], None).unwrap();
    let mut found = 0;
    for flag in Line::command().get_arguments() {
        let help = flag.get_help().unwrap().to_string();
        let Some((_, default)) = help.split_once("[default: ") else { continue };
        let (default, name) = (default.trim_end_matches(']'), flag.get_id().as_str());
        let told = config.told.iter().find(|told| told.key.rsplit('.').next() == Some(name)).unwrap();
        assert_eq!(told.value.as_deref().unwrap().trim_matches('"'), default, "{name}");
        found += 1;
    }
    assert_eq!(found, 6);
}
