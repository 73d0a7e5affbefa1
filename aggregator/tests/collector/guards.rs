//! What stands beside figures: alarms at planted faults and at nothing else, and what is left out.

use std::fs;
use std::process::{Command, Output};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use deniable::{DeviceSecret, Encoder, Epoch, Randomness, SystemEntropy, Value as Answered, WriteKey};
use deniable_aggregator::catalog::Catalog;
use deniable_aggregator::collect::{Access, Collector, Project, Settings, Token};
use deniable_aggregator::guard::{Guard, Volume};
use deniable_aggregator::store::{Accepted, Aside, DiskStore, MemoryStore, Registries, Selection, Store};
use deniable_aggregator::survey::{Omitted, Survey, held, omitted, set_aside};
use serde_json::{Value, json};

use crate::http::{Answer, send, text_of, under};
use crate::support::{Section, batch, check, metric, today};

/// Wide enough for improbable numbers of ones.
const METRICS: &str = r#"
[metrics.wide]
version = 1
question = "Which of 32?"
report = { encoding = "unary", bits = 32, cohorts = 4, instantaneous = { zero = 0.2, one = 0.5 } }
"#;

fn catalog() -> Catalog {
    Catalog::parse(METRICS).unwrap()
}

/// What a report says: cohort and bits.
type Drawn = (u16, Vec<u8>);

/// The reports of `devices` devices that answer honestly.
fn honest(seed: u8, devices: u32) -> Vec<Drawn> {
    let catalog = catalog();
    let params = *catalog.definitions().next().unwrap().params();
    let mut randomness = Randomness::from_seed([seed; 32]);
    let report = |device: u32| {
        let mut secret = [seed; 32];
        secret[..4].copy_from_slice(&device.to_le_bytes());
        let encoder = Encoder::new(metric("wide"), 1, params, &DeviceSecret::from_bytes(secret));
        let value = Answered::Choice(device as usize % 3);
        let report = encoder.encode(value, Epoch(1), &mut randomness).unwrap();
        let mut bytes = vec![0; 4];
        report.bits().iter_ones().for_each(|bit| bytes[bit / 8] |= 1 << (bit % 8));
        (report.cohort(), bytes)
    };
    (0..devices).map(report).collect()
}

fn section(epoch: u32, reports: &[Drawn]) -> Section {
    let catalog = catalog();
    let stream = catalog.definitions().next().unwrap().stream().clone();
    Section {
        metric: "wide".into(),
        version: 1,
        epoch,
        fingerprint: stream.fingerprint().0,
        registry: [0; 8],
        tags: Vec::new(),
        bits: 32,
        records: reports.to_vec(),
    }
}

fn accepted(id: u64, epoch: u32, source: &str, reports: &[Drawn]) -> Accepted {
    check(&batch(id, &[section(epoch, reports)]), &catalog(), &Registries::default(), source).accepted
}

/// Commits the reports of epochs and sources to each store, and asks something of it.
fn of_each(sent: &[(u32, &str, &[Drawn])], ask: impl Fn(&dyn Store)) {
    let dir = tempfile::tempdir().unwrap();
    let disk = DiskStore::create(dir.path()).unwrap();
    for store in [&disk as &dyn Store, &MemoryStore::default()] {
        store.declare(&catalog()).unwrap();
        for (id, (epoch, source, reports)) in (0..).zip(sent) {
            store.commit(&[accepted(id, *epoch, source, reports)], Epoch(0)).unwrap();
        }
        ask(store);
    }
    assert!(disk.verify().unwrap().reports > 0);
}

fn survey(store: &dyn Store) -> Survey {
    let selection = Selection::all().without(store.left_out().unwrap());
    Survey::of(store, &metric("wide"), 1, &selection).unwrap()
}

/// The guard, the epoch and the source of each alarm.
fn alarms(survey: &Survey) -> Vec<(Guard, u32, &str)> {
    survey.alarms.iter().map(|alarm| (alarm.guard, alarm.epoch.0, alarm.source.as_str())).collect()
}

fn source(name: &str) -> Aside {
    Aside::Source { source: name.to_owned() }
}

fn epoch_of(epoch: u32) -> Aside {
    Aside::Epoch { metric: metric("wide"), epoch: Epoch(epoch) }
}

#[test]
fn volumes_and_improbable_reports_are_counted_by_epoch_and_source() {
    let two = vec![(0, vec![0xFF; 4]), (1, vec![1, 2, 0, 8])];
    let sent = [(7, "web", &two[..]), (7, "web", &two[1..]), (7, "", &two[..1]), (9, "web", &two[..])];
    of_each(&sent, |store| {
        let volumes = store.volumes(&metric("wide"), 1).unwrap();
        let volume = |source: &str, epoch| volumes[source][&Epoch(epoch)];
        assert_eq!(volume("web", 7), Volume { reports: 3, improbable: 1 });
        assert_eq!(volume("", 7), Volume { reports: 1, improbable: 1 });
        assert_eq!(volume("web", 9), Volume { reports: 2, improbable: 1 });
        assert_eq!((volumes.len(), volumes["web"].len()), (2, 2));
        assert_eq!(survey(store).improbable, 3);
        assert!(store.volumes(&metric("wide"), 2).is_err());
        // A batch that is sent again changes nothing.
        store.commit(&[accepted(0, 7, "web", &two)], Epoch(0)).unwrap();
        assert_eq!(store.volumes(&metric("wide"), 1).unwrap(), volumes);
    });
}

#[test]
fn honest_devices_raise_no_alarm_and_planted_faults_do_beside_their_source() {
    let days: Vec<Vec<Drawn>> = (0..10).map(|day| honest(day, 400)).collect();
    let mut sent: Vec<(u32, &str, &[Drawn])> = Vec::new();
    for (epoch, reports) in (100..).zip(&days) {
        sent.extend([(epoch, "web", &reports[..]), (epoch, "app", &reports[..200])]);
    }
    of_each(&sent, |store| assert_eq!(alarms(&survey(store)), []));

    // One key forges reports of all ones, in one epoch.
    let forged = vec![(2, vec![0xFF; 4]); 30];
    of_each(&[&sent[..], &[(105, "web", &forged)]].concat(), |store| {
        let survey = survey(store);
        assert_eq!(alarms(&survey)[0], (Guard::ImprobableReports, 105, "web"));
        assert!(alarms(&survey).iter().all(|alarm| (alarm.1, alarm.2) == (105, "web")), "{survey:?}");
        assert_eq!((survey.alarms[0].value, survey.improbable), (30.0, 30));
    });

    // One key stuffs a cohort with what looks honest.
    let stuffed: Vec<Drawn> = days[0][..120].iter().map(|(_, bits)| (3, bits.clone())).collect();
    of_each(&[&sent[..], &[(104, "app", &stuffed)]].concat(), |store| {
        let survey = survey(store);
        assert_eq!(alarms(&survey)[0], (Guard::CohortTotal, 104, "app"), "{survey:?}");
        assert!(survey.alarms[0].found.starts_with("cohort 3 has"));
    });

    // One key sends ten times as much as on the days before.
    let many = honest(99, 4000);
    of_each(&[&sent[..], &[(110, "web", &many), (110, "app", &many[..200])]].concat(), |store| {
        let found = survey(store);
        assert_eq!(alarms(&found), [(Guard::Volume, 110, "web")]);
        assert!(found.alarms[0].to_string().contains("set the source or the epoch aside"));
        // Set aside, it alarms no more, and is no past to compare with.
        store.set_aside(&source("web")).unwrap();
        assert_eq!(survey(store).alarms, []);
    });
}

#[test]
fn what_is_set_aside_is_left_out_and_told_until_it_is_taken_back() {
    let reports = honest(1, 30);
    let sent = [(7, "web", &reports[..20]), (8, "web", &reports[..5]), (7, "app", &reports[..3])];
    of_each(&sent, |store| {
        let total = || {
            let selection = Selection::all().without(store.left_out().unwrap());
            store.counts(&metric("wide"), 1, &selection).unwrap().total()
        };
        let told = |what: &Aside, reports| Omitted { what: what.clone(), reports };
        let (web, epoch) = (source("web"), epoch_of(7));
        assert_eq!((total(), survey(store).left_out), (28, vec![]));
        assert!(store.set_aside(&epoch).unwrap() && !store.set_aside(&epoch).unwrap());
        assert_eq!((total(), survey(store).left_out), (5, vec![told(&epoch, 23)]));
        assert!(store.set_aside(&web).unwrap());
        // What both set aside is told once, with the source.
        assert_eq!((total(), survey(store).left_out), (0, vec![told(&web, 25), told(&epoch, 3)]));
        assert_eq!(set_aside(store).unwrap(), [told(&web, 25), told(&epoch, 23)]);
        assert_eq!(omitted(store, &source("none")).unwrap().reports, 0);
        let rows = held(store, &Selection::all()).unwrap();
        let of_epoch = |epoch| rows.iter().find(|row| row.holding.epoch == Epoch(epoch)).unwrap();
        assert_eq!((of_epoch(7).holding.reports, of_epoch(7).left_out), (23, 23));
        assert_eq!((of_epoch(8).holding.reports, of_epoch(8).left_out), (5, 5));
        assert!(store.take_back(&epoch).unwrap() && !store.take_back(&epoch).unwrap());
        assert_eq!((total(), survey(store).left_out), (3, vec![told(&web, 25)]));
        assert!(store.take_back(&web).unwrap());
        assert_eq!((total(), survey(store).left_out), (28, vec![]));
    });
}

#[test]
fn what_is_set_aside_survives_and_more_reports_join_it() {
    let dir = tempfile::tempdir().unwrap();
    let reports = honest(1, 10);
    let store = DiskStore::create(dir.path()).unwrap();
    store.declare(&catalog()).unwrap();
    store.set_aside(&source("")).unwrap();
    store.set_aside(&epoch_of(7)).unwrap();
    drop(store);
    let store = DiskStore::open(dir.path()).unwrap();
    store.commit(&[accepted(1, 6, "", &reports), accepted(2, 7, "web", &reports)], Epoch(0)).unwrap();
    let left_out = survey(&store).left_out;
    assert_eq!(left_out.iter().map(|omitted| omitted.reports).collect::<Vec<_>>(), [10, 10]);
    assert_eq!(left_out.iter().map(|omitted| &omitted.what).collect::<Vec<_>>(), [&source(""), &epoch_of(7)]);
    assert_eq!(left_out[0].to_string(), "left out: 10 reports of source \"\"");
}

const KEY: WriteKey = WriteKey([5; 16]);

/// A collector of `wide`, with the tokens of a reader and of an admin.
fn collector(dir: &std::path::Path) -> (Collector, [Token; 2]) {
    let tokens = [(); 2].map(|()| Token::draw(&mut SystemEntropy).unwrap());
    let text = format!(
        "[[key]]\nname = \"web page\"\nkey = \"{KEY}\"\n[[token]]\nname = \"a\"\nsha256 = \"{}\"\n[[token]]\nname = \"b\"\nsha256 = \"{}\"\nrole = \"admin\"\n",
        tokens[0].sha256(),
        tokens[1].sha256()
    );
    let store = Arc::new(DiskStore::create(dir).unwrap());
    let project = Project::alone(store, catalog(), Access::parse(&text).unwrap());
    (Collector::new(vec![project], Settings::default()).unwrap(), tokens)
}

async fn ask(app: &Router, method: &str, address: &str, token: &Token) -> Answer {
    let bearer = format!("Bearer {}", token.reveal());
    let request = Request::builder().method(method).uri(address).header(header::AUTHORIZATION, bearer);
    send(app, request.body(Body::empty()).unwrap()).await
}

/// What 40 forged reports look like to who sends them.
fn forged() -> Vec<u8> {
    under(KEY, batch(1, &[section(today(), &vec![(2, vec![0xFF; 4]); 40])]))
}

#[tokio::test]
async fn alarms_are_read_beside_counts_and_an_admin_sets_their_source_aside() {
    let dir = tempfile::tempdir().unwrap();
    let (collector, [reader, admin]) = collector(dir.path());
    let app = collector.router();
    let request = Request::post("/v1/reports").body(Body::from(forged())).unwrap();
    assert_eq!(send(&app, request).await.body["reports"], 40);

    let counts = async || ask(&app, "GET", "/v1/counts?metric=wide&version=1", &reader).await.body;
    let before = counts().await;
    assert_eq!((&before["improbable"], &before["left_out"]), (&json!(40), &json!([])));
    let names: Vec<&Value> =
        before["alarms"].as_array().unwrap().iter().map(|alarm| &alarm["guard"]).collect();
    assert!(
        names.contains(&&json!("improbable-reports")) && names.contains(&&json!("cohort-total")),
        "{before}"
    );
    let first = &before["alarms"][0];
    assert_eq!(
        (&first["source"], &first["epoch"], &first["value"]),
        (&json!("web page"), &json!(today()), &json!(40.0))
    );
    assert!(first["limit"].is_number() && first["remedy"].as_str().unwrap().contains("quarantine"));

    let metrics = async || {
        let bearer = format!("Bearer {}", admin.reveal());
        let request = Request::get("/metrics").header(header::AUTHORIZATION, bearer);
        text_of(&app, request.body(Body::empty()).unwrap()).await
    };
    let text = metrics().await;
    let place = format!("metric=\"wide\",version=\"1\",epoch=\"{}\",source=\"web page\"}} 40.0", today());
    let value = format!("deniable_alarm_value{{project=\"default\",guard=\"improbable-reports\",{place}");
    assert!(text.lines().any(|line| line == value), "{value} is missing in {text}");
    assert!(
        text.contains("deniable_improbable_reports{project=\"default\",metric=\"wide\",version=\"1\"} 40")
    );

    const ADDRESS: &str = "/v1/admin/quarantine";
    let of_web = format!("{ADDRESS}?source=web%20page");
    assert_eq!(ask(&app, "POST", &of_web, &reader).await.status, StatusCode::FORBIDDEN);
    for bad in ["", "?metric=wide", "?source=a&epoch=7", "?sources=a"] {
        let answer = ask(&app, "POST", &format!("{ADDRESS}{bad}"), &admin).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    let answer = ask(&app, "POST", &of_web, &admin).await.body;
    assert_eq!(answer, json!({ "changed": true, "source": "web page", "reports": 40 }));
    assert_eq!(ask(&app, "POST", &of_web, &admin).await.body["changed"], false);
    let after = counts().await;
    assert_eq!((&after["alarms"], &after["improbable"]), (&json!([]), &json!(0)));
    assert_eq!(after["left_out"], json!([{ "source": "web page", "reports": 40 }]));
    assert_eq!(after["cohorts"][2]["reports"], 0);
    assert_eq!(ask(&app, "GET", ADDRESS, &reader).await.body, after["left_out"]);
    let list = ask(&app, "GET", "/v1/counts", &reader).await.body;
    assert_eq!((&list[0]["reports"], &list[0]["left_out"]), (&json!(40), &json!(40)));

    let epoch = format!("{ADDRESS}?metric=wide&epoch={}", today());
    assert_eq!(ask(&app, "POST", &epoch, &admin).await.body["changed"], true);
    assert_eq!(ask(&app, "DELETE", &of_web, &admin).await.body["changed"], true);
    assert_eq!(counts().await["left_out"], json!([{ "metric": "wide", "epoch": today(), "reports": 40 }]));
    assert_eq!(ask(&app, "DELETE", &epoch, &admin).await.body["changed"], true);
    assert_eq!(counts().await, before);
    collector.finish().await.unwrap();
}

fn deniable(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_deniable")).args(arguments).env_remove("RUST_LOG").output().unwrap()
}

/// What a command prints.
fn said(arguments: &[&str]) -> String {
    let output = deniable(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_command_sets_aside_in_a_folder_and_figures_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("store");
    let store = DiskStore::create(&folder).unwrap();
    store.declare(&catalog()).unwrap();
    let (good, bad) = (honest(1, 3000), vec![(1, vec![0xFF; 4]); 100]);
    store.commit(&[accepted(1, 7, "app", &good), accepted(2, 7, "web", &bad)], Epoch(0)).unwrap();
    drop(store);
    let (place, list) = (folder.to_str().unwrap(), dir.path().join("list.txt"));
    fs::write(&list, (0..32).map(|n| format!("{n}\n")).collect::<String>()).unwrap();
    let decode = ["decode", "--store", place, "--metric", "wide", "--candidates", list.to_str().unwrap()];
    let quarantine =
        |command: &str, rest: &[&str]| said(&[&["quarantine", command, "--store", place], rest].concat());

    assert_eq!(quarantine("list", &[]), "nothing is set aside\n");
    let counts = said(&["counts", "--store", place, "--metric", "wide"]);
    assert!(
        counts.contains("alarm improbable-reports: epoch 7, source \"web\": 100 of 100 reports"),
        "{counts}"
    );
    let failed = deniable(&decode);
    let reason = String::from_utf8(failed.stderr).unwrap();
    assert!(reason.contains("alarm cohort-total: epoch 7, source \"web\""), "{reason}");

    let web = ["--source", "web"];
    assert_eq!(quarantine("add", &web), "left out: 100 reports of source \"web\"\n");
    assert_eq!(quarantine("add", &web), "left out: 100 reports of source \"web\" was set aside before\n");
    assert_eq!(quarantine("list", &[]), "left out: 100 reports of source \"web\"\n");
    let table = said(&decode);
    assert!(table.contains("left out: 100 reports of source \"web\"") && !table.contains("alarm"), "{table}");
    assert!(table.contains("among 3000 reports"));
    let figures: Value = serde_json::from_str(&said(&[&decode[..], &["--format", "json"]].concat())).unwrap();
    assert_eq!((&figures["reports"], &figures["alarms"]), (&json!(3000), &json!([])));
    assert_eq!(figures["left_out"], json!([{ "source": "web", "reports": 100 }]));

    assert_eq!(quarantine("remove", &web), "counted again: 100 reports of source \"web\"\n");
    let epoch = ["--metric", "wide", "--epoch", "7"];
    assert_eq!(quarantine("add", &epoch), "left out: 3100 reports of epoch 7 of metric wide\n");
    assert!(said(&["counts", "--store", place, "--format", "csv"]).contains("wide,1,7,3100,3100"));
    assert_eq!(quarantine("remove", &epoch), "counted again: 3100 reports of epoch 7 of metric wide\n");
    for wrong in [&["--source", "web", "--metric", "wide", "--epoch", "7"][..], &["--metric", "wide"], &[]] {
        assert!(!deniable(&[&["quarantine", "add", "--store", place], wrong].concat()).status.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_sets_aside_at_a_running_collector() {
    let dir = tempfile::tempdir().unwrap();
    let (collector, tokens) = collector(&dir.path().join("store"));
    let request = Request::post("/v1/reports").body(Body::from(forged())).unwrap();
    assert_eq!(send(&collector.router(), request).await.status, StatusCode::OK);
    let files = ["reader", "admin"].map(|name| dir.path().join(name));
    files
        .iter()
        .zip(&tokens)
        .for_each(|(file, token)| fs::write(file, format!("{}\n", token.reveal())).unwrap());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(collector.serve(listener, async { stopped.await.unwrap_or_default() }));
    let checked = tokio::task::spawn_blocking(move || {
        let [reader, admin] = files.each_ref().map(|file| file.to_str().unwrap());
        let at = |token| ["--collector", address.as_str(), "--token", token];
        let web = ["--source", "web page"];
        let add = said(&[&["quarantine", "add"], &at(admin)[..], &web].concat());
        assert_eq!(add, "left out: 40 reports of source \"web page\"\n");
        assert_eq!(said(&[&["quarantine", "list"], &at(reader)[..]].concat()), add);
        let refused = deniable(&[&["quarantine", "remove"], &at(reader)[..], &web].concat());
        let reason = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && reason.contains("forbidden"), "{reason}");
        let remove = said(&[&["quarantine", "remove"], &at(admin)[..], &web].concat());
        assert_eq!(remove, "counted again: 40 reports of source \"web page\"\n");
    });
    checked.await.unwrap();
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
}
