//! Sources, public tags and reports that are kept: what is counted by them is what a naive list of reports says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use deniable::{Epoch, SystemEntropy, WriteKey};
use deniable_aggregator::catalog::Catalog;
use deniable_aggregator::collect::{Access, Collector, Project, Settings, Token};
use deniable_aggregator::decode::Counts;
use deniable_aggregator::store::{
    Accepted, Aside, DiskStore, MemoryStore, Outcome, Reason, Registries, Selection, Store, StoreError, Tags,
};

use redb::TableDefinition;
use serde_json::json;

use crate::http::{post, send, under as sent_under};
use crate::store::{REPORTS, dump, verify_changed};
use crate::support::{Choices, Section, batch, check, metric, today};

/// Two metrics that everybody answers under tags, and one beside which nothing is shown.
const METRICS: &str = r#"
[events.start]
properties = { os = { labels = ["ios", "web"] }, plan = { labels = ["free", "pro"] } }

[dimensions.os]
source = { first = { events = ["start"], property = "os", window = "ever" } }
kind = "category"

[dimensions.plan]
source = { first = { events = ["start"], property = "plan", window = "ever" } }
kind = "category"

[metrics.host]
version = 2
question = "Which host?"
keep_reports = true
report = { encoding = "bloom", bits = 12, hashes = 2, cohorts = 4, instantaneous = { zero = 0.25, one = 0.75 } }

[[metrics.host.older]]
version = 1
report = { encoding = "bloom", bits = 8, hashes = 2, cohorts = 4, instantaneous = { zero = 0.25, one = 0.75 } }

[metrics.pick]
version = 1
question = "Which one?"
sensitive = true
report = { encoding = "direct", bits = 256, cohorts = 64, instantaneous = { zero = 0.001953125, one = 0.501953125 } }
"#;

/// The catalog with these lines at its head.
fn catalog(head: &str) -> Catalog {
    Catalog::parse(&format!("{head}\n{METRICS}")).unwrap_or_else(|faults| panic!("{faults}"))
}

/// The same tags in another order, with other labels.
fn catalogs() -> [Catalog; 2] {
    let renamed = METRICS.replace(r#"["free", "pro"]"#, r#"["team", "free", "pro", "trial"]"#);
    let other =
        Catalog::parse(&format!("tags = [\"plan\", \"os\"]\nprivacy = {{ public_bits = 8.0 }}\n{renamed}"));
    [catalog("tags = [\"os\", \"plan\"]"), other.unwrap_or_else(|faults| panic!("{faults}"))]
}

/// Asks something of each store, new and knowing the catalogs.
fn of_each(ask: impl Fn(&dyn Store)) {
    let dir = tempfile::tempdir().unwrap();
    let disk = DiskStore::create(dir.path()).unwrap();
    for store in [&disk as &dyn Store, &MemoryStore::default()] {
        catalogs().iter().for_each(|catalog| store.declare(catalog).unwrap());
        ask(store);
    }
    disk.verify().unwrap();
}

/// The section with the tags at these places of a registry.
fn under(catalog: &Catalog, places: &[u16], section: Section) -> Section {
    Section { registry: catalog.registry().hash().0, tags: places.to_vec(), ..section }
}

/// The tags that stand at these places, read from the registry itself.
fn labels(catalog: &Catalog, places: &[u16]) -> BTreeMap<String, String> {
    let label = |((name, labels), place): ((&str, &[String]), &u16)| {
        (name.to_owned(), labels[usize::from(*place)].clone())
    };
    catalog.registry().tags().zip(places).map(label).collect()
}

/// A report to `host` as it was sent.
struct Sent {
    version: u32,
    epoch: u32,
    source: &'static str,
    tags: BTreeMap<String, String>,
    cohort: u16,
    bits: Vec<u8>,
}

const SOURCES: [&str; 3] = ["", "web", "app"];

/// Commits random batches, and gives back the reports that they hold.
fn fill(store: &dyn Store, choices: &mut Choices) -> Vec<Sent> {
    let (catalogs, registries) = (catalogs(), store.registries().unwrap());
    let mut sent = Vec::new();
    for group in 0..60 {
        let mut batches = Vec::new();
        for n in 0..choices.below(5) {
            let source = SOURCES[choices.below(3) as usize];
            let mut sections = Vec::new();
            for _ in 0..=choices.below(3) {
                let (version, bits) = if choices.below(4) == 0 { (1, 8) } else { (2, 12) };
                let epoch = 100 + choices.below(6) as u32;
                // Few different reports, so that equal ones meet.
                let reports: Vec<(u16, Vec<usize>)> = (0..=choices.below(4))
                    .map(|_| (choices.below(4) as u16, vec![choices.below(bits) as usize]))
                    .collect();
                let borrowed: Vec<_> = reports.iter().map(|(c, ones)| (*c, ones.as_slice())).collect();
                let section = Section::of("host", version, epoch, &borrowed);
                let (section, tags) = match choices.below(5) {
                    0 => (section, BTreeMap::new()),
                    chosen => {
                        let catalog = &catalogs[chosen as usize % 2];
                        let lists = catalog.registry().tags();
                        let places: Vec<u16> =
                            lists.map(|(_, labels)| choices.below(labels.len() as u64) as u16).collect();
                        (under(catalog, &places, section), labels(catalog, &places))
                    }
                };
                sent.extend(section.records.iter().map(|(cohort, bits)| {
                    let (tags, bits) = (tags.clone(), bits.clone());
                    Sent { version, epoch, source, tags, cohort: *cohort, bits }
                }));
                sections.push(section);
            }
            let body = batch(group * 10 + n, &sections);
            let checked = check(&body, &catalogs[0], &registries, source);
            assert_eq!(checked.refused.first(), None);
            batches.push(checked.accepted);
        }
        let outcomes = store.commit(&batches, Epoch(0)).unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Counted));
    }
    sent
}

/// Counts one report after another.
fn recount<'a>(bits: usize, sent: impl Iterator<Item = &'a Sent>) -> Counts {
    let (mut reports, mut ones) = (vec![0; 4], vec![0; 4 * bits]);
    for report in sent {
        let cohort = usize::from(report.cohort);
        reports[cohort] += 1;
        (0..bits)
            .filter(|bit| report.bits[bit / 8] >> (bit % 8) & 1 == 1)
            .for_each(|bit| ones[cohort * bits + bit] += 1);
    }
    Counts::new(bits, reports, ones).unwrap()
}

/// A selection at random, and what it takes in a notation of its own.
fn choose(choices: &mut Choices) -> (Selection, impl Fn(&Sent) -> bool + use<>) {
    let first = 99 + choices.below(6) as u32;
    let epochs = first..=first + choices.below(6) as u32;
    let mut selection = Selection::of_epochs(Epoch(*epochs.start())..=Epoch(*epochs.end()));
    let mut wanted = BTreeMap::<&str, BTreeSet<&str>>::new();
    for (name, labels) in [("os", &["ios", "web"][..]), ("plan", &["free", "pro", "team", "nobody"])] {
        for _ in 0..choices.below(3) {
            let label = labels[choices.below(labels.len() as u64) as usize];
            selection = selection.with_tag(name, label);
            wanted.entry(name).or_default().insert(label);
        }
    }
    let sources: BTreeSet<&str> = SOURCES.into_iter().filter(|_| choices.below(4) == 0).collect();
    let without = (choices.below(2) == 0).then(|| 100 + choices.below(6) as u32);
    let of_sources = sources.iter().map(|source| Aside::Source { source: (*source).to_owned() });
    let of_epochs = without.iter().map(|epoch| Aside::Epoch { metric: metric("host"), epoch: Epoch(*epoch) });
    let selection = selection.without(of_sources.chain(of_epochs).collect());
    let takes = move |sent: &Sent| {
        epochs.contains(&sent.epoch)
            && wanted.iter().all(|(name, labels)| {
                sent.tags.get(*name).is_some_and(|label| labels.contains(label.as_str()))
            })
            && !sources.contains(sent.source)
            && without != Some(sent.epoch)
    };
    (selection, takes)
}

#[test]
fn every_selection_counts_what_a_naive_list_counts() {
    of_each(|store| {
        let mut choices = Choices(3);
        let sent = fill(store, &mut choices);
        let mut taken_in_all = 0;
        for _ in 0..300 {
            let (selection, takes) = choose(&mut choices);
            for (version, bits) in [(1, 8), (2, 12)] {
                let of = |sent: &&Sent| sent.version == version && takes(sent);
                let expected = recount(bits, sent.iter().filter(of));
                taken_in_all += expected.total();
                assert_eq!(store.counts(&metric("host"), version, &selection).unwrap(), expected);
                let kept = store.reports(&metric("host"), version, &selection).unwrap();
                assert_eq!(kept.counts(), expected);
                for tag in ["os", "plan", "size"] {
                    let labels: BTreeSet<Option<String>> =
                        sent.iter().filter(of).map(|sent| sent.tags.get(tag).cloned()).collect();
                    let by = store.counts_by(&metric("host"), version, &selection, tag).unwrap();
                    assert!(by.keys().eq(&labels));
                    for (label, counts) in by {
                        let labelled = |sent: &&Sent| of(sent) && sent.tags.get(tag) == label.as_ref();
                        assert_eq!(counts, recount(bits, sent.iter().filter(labelled)), "{tag} {label:?}");
                    }
                }
            }
            let mut held = BTreeMap::<(u32, Epoch), u64>::new();
            for sent in sent.iter().filter(|sent| takes(sent)) {
                *held.entry((sent.version, Epoch(sent.epoch))).or_default() += 1;
            }
            let holdings = store.holdings(&selection).unwrap();
            assert!(holdings.iter().map(|h| ((h.version, h.epoch), h.reports)).eq(held));
        }
        assert!(taken_in_all > 3000, "the test tried too little: {taken_in_all}");
        // The twin: a selection that is ignored is noticed.
        let web = Selection::all().with_tag("os", "web");
        let all = store.counts(&metric("host"), 2, &Selection::all()).unwrap();
        assert_ne!(store.counts(&metric("host"), 2, &web).unwrap(), all);
    });
}

/// The same places say other labels under another registry.
#[test]
fn the_tags_of_a_registry_are_read_by_its_own_lists_alone() {
    of_each(|store| {
        let (catalogs, registries) = (catalogs(), store.registries().unwrap());
        let section = || Section::of("host", 2, 100, &[(0, &[1])]);
        for (n, catalog) in catalogs.iter().enumerate() {
            let body = batch(n as u64, &[under(catalog, &[1, 0], section())]);
            // Whichever registry is the collector's own now.
            let accepted = check(&body, &catalogs[n ^ 1], &registries, "").accepted;
            store.commit(&[accepted], Epoch(0)).unwrap();
        }
        let mut found = Vec::new();
        store
            .each_row(&metric("host"), 2, &Selection::all(), &mut |place, _| found.push(place.tags.clone()))
            .unwrap();
        let expected: BTreeSet<Tags> =
            catalogs.iter().map(|catalog| labels(catalog, &[1, 0]).into_iter().collect()).collect();
        assert_eq!(expected.len(), 2);
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    });
}

fn reasons(checked: &deniable_aggregator::store::Checked) -> Vec<(Reason, usize)> {
    checked.refused.counts().collect()
}

#[test]
fn tags_that_no_registry_gives_a_meaning_are_refused_one_by_one() {
    let [own, other] = catalogs();
    let store = MemoryStore::default();
    store.declare(&own).unwrap();
    let registries = store.registries().unwrap();
    let host = || Section::of("host", 2, 100, &[(0, &[1]), (1, &[2])]);
    let pick = || Section::of("pick", 1, 100, &[(0, &[1])]);
    let refused = |section: Section| {
        let all = section.records.len() + host().records.len();
        let checked = check(&batch(1, &[section, host()]), &own, &registries, "");
        let refused: usize = checked.refused.counts().map(|(_, reports)| reports).sum();
        assert_eq!(checked.accepted.report_count(), all - refused);
        let words = checked.refused.first().map(ToString::to_string).unwrap_or_default();
        (reasons(&checked), words)
    };
    let sizes: Vec<u16> = own.registry().tags().map(|(_, labels)| labels.len() as u16).collect();
    // Known to nobody, and to another collector.
    for registry in [[9; 8], other.registry().hash().0] {
        let (counted, words) = refused(Section { registry, tags: vec![0, 0], ..host() });
        assert_eq!(counted, [(Reason::UnknownRegistry, 2)]);
        assert!(words.contains("host") && words.contains("never served here"), "{words}");
        assert_eq!(refused(Section { registry, ..host() }).0, [(Reason::UnknownRegistry, 2)]);
    }
    for (places, said) in [
        (vec![], "0 tags, but"),
        (vec![0], "1 tags"),
        (vec![0, 0, 0], "3 tags"),
        (vec![sizes[0], 0], "\"os\""),
        (vec![0, sizes[1]], "\"plan\""),
        (vec![0, u16::MAX], "65535"),
    ] {
        let (counted, words) = refused(under(&own, &places, host()));
        assert_eq!(counted, [(Reason::ImpossibleTags, 2)], "{places:?}");
        assert!(words.contains(said) && words.contains(&own.registry().hash().to_string()), "{words}");
    }
    assert_eq!(refused(under(&own, &[sizes[0] - 1, sizes[1] - 1], host())).0.len(), 0);
    // Beside what is sensitive nothing is shown.
    assert_eq!(refused(under(&own, &[0, 0], pick())).0, [(Reason::ImpossibleTags, 1)]);
    assert_eq!(refused(under(&own, &[], pick())).0.len(), 0);
}

/// A report that waited on its device while the collector's registry changed is counted under the registry that asked.
#[test]
fn a_registry_of_before_is_known_after_a_restart_with_another() {
    let [before, now] = catalogs();
    let dir = tempfile::tempdir().unwrap();
    let body = batch(1, &[under(&before, &[0, 1], Section::of("host", 2, 100, &[(0, &[1])]))]);
    let accepted =
        |store: &DiskStore| -> Accepted { check(&body, &now, &store.registries().unwrap(), "").accepted };
    DiskStore::create(dir.path()).unwrap().declare(&before).unwrap();
    let store = DiskStore::open(dir.path()).unwrap();
    store.declare(&now).unwrap();
    store.commit(&[accepted(&store)], Epoch(0)).unwrap();
    let expected: Tags = labels(&before, &[0, 1]).into_iter().collect();
    let label = expected.label("plan").unwrap();
    let selection = Selection::all().with_tag("plan", label);
    assert_eq!(store.counts(&metric("host"), 2, &selection).unwrap().total(), 1);
    assert_eq!(store.registries().unwrap().names(), BTreeSet::from(["os", "plan"]));
    assert!(check(&body, &now, &Registries::default(), "").accepted.is_empty());
}

/// The registry that devices know is the same, whether or not the collector keeps reports.
#[test]
fn keeping_reports_is_the_collectors_alone() {
    let kept = catalog("");
    let without = Catalog::parse(&METRICS.replace("keep_reports = true\n", "")).unwrap();
    assert_eq!(kept.registry().hash(), without.registry().hash());
    let keeps = |catalog: &Catalog| -> Vec<_> {
        let keeping = catalog.definitions().filter(|definition| definition.keeps_reports());
        keeping.map(|definition| definition.stream().to_owned()).collect()
    };
    assert_eq!((keeps(&kept).len(), keeps(&without).len()), (2, 0));
    let faults = Catalog::parse(&METRICS.replace("keep_reports = true", "keep_reports = 1")).unwrap_err();
    assert!(faults.to_string().contains("metrics.host.keep_reports"), "{faults}");
    let dir = tempfile::tempdir().unwrap();
    let store = DiskStore::create(dir.path()).unwrap();
    for (n, catalog) in [&without, &kept].into_iter().enumerate() {
        store.declare(catalog).unwrap();
        let body = batch(n as u64, &[Section::of("host", 2, 100, &[(0, &[1]), (3, &[])])]);
        let accepted = check(&body, catalog, &store.registries().unwrap(), "").accepted;
        store.commit(&[accepted], Epoch(0)).unwrap();
    }
    let kept = store.reports(&metric("host"), 2, &Selection::all()).unwrap().counts();
    let all = store.counts(&metric("host"), 2, &Selection::all()).unwrap();
    assert_eq!((kept.total(), all.total()), (2, 4));
    assert_eq!(store.verify().unwrap().kept, 2);
}

/// Reports that are kept lie in one order, however they came and with what.
#[test]
fn kept_reports_do_not_tell_which_came_together_or_in_what_order() {
    let catalog = catalogs().into_iter().next().unwrap();
    let reports: Vec<(usize, u16, usize)> = (0..24).map(|n| (n % 3, (n % 2) as u16, n % 5)).collect();
    let content = |groups: &[Vec<usize>]| {
        let dir = tempfile::tempdir().unwrap();
        let store = DiskStore::create(dir.path()).unwrap();
        store.declare(&catalog).unwrap();
        let registries = store.registries().unwrap();
        for (id, group) in groups.iter().enumerate() {
            let section = |n: &usize| {
                let (place, cohort, bit) = reports[*n];
                under(&catalog, &[place as u16, 0], Section::of("host", 2, 100, &[(cohort, &[bit])]))
            };
            let body = batch(id as u64, &group.iter().map(section).collect::<Vec<_>>());
            let accepted = check(&body, &catalog, &registries, "web").accepted;
            store.commit(&[accepted], Epoch(0)).unwrap();
        }
        drop(store);
        dump(dir.path())
    };
    let one = content(&[(0..8).collect(), (8..16).collect(), (16..24).collect()]);
    let other = content(&[vec![23, 3], (4..23).rev().collect(), vec![2, 0, 1]]);
    assert!(one == other && one.iter().any(|(entry, _)| entry.starts_with("report ")));
}

/// What `verify` says of a store with kept reports, changed behind its back.
#[test]
fn verify_finds_kept_reports_that_are_not_in_the_rows_and_catalogs_that_are_not_their_own() {
    const REGISTRIES: TableDefinition<'_, &[u8; 8], (&[u8], &str)> = TableDefinition::new("registries");
    let catalog = catalog("");
    let verify = |change: &dyn Fn(&redb::WriteTransaction)| {
        let dir = tempfile::tempdir().unwrap();
        let store = DiskStore::create(dir.path()).unwrap();
        store.declare(&catalog).unwrap();
        let body = batch(1, &[Section::of("host", 2, 100, &[(0, &[1]), (0, &[1]), (3, &[0, 11])])]);
        let accepted = check(&body, &catalog, &Registries::default(), "").accepted;
        store.commit(&[accepted], Epoch(0)).unwrap();
        drop(store);
        verify_changed(dir.path(), change)
    };
    assert_eq!(verify(&|_| ()).unwrap().kept, 3);
    let damaged = |change: &dyn Fn(&redb::WriteTransaction), said: &str| {
        let error = verify(change).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }) && error.to_string().contains(said), "{error}");
    };
    let insert = |metric, cohort, bits: &'static [u8], times: u64| {
        move |txn: &redb::WriteTransaction| {
            let key = (metric, 2, 100, "", "{}", cohort, bits);
            txn.open_table(REPORTS).unwrap().insert(key, times).unwrap();
        }
    };
    // One more than the row has, one of another bit, one of a cohort without row, and what no report can be.
    damaged(&insert("host", 0, &[2, 0], 3), "not in its rows");
    damaged(&insert("host", 0, &[4, 0], 1), "not in its rows");
    damaged(&insert("host", 1, &[2, 0], 1), "not in its rows");
    damaged(&insert("host", 4, &[2, 0], 1), "report that is kept");
    damaged(&insert("host", 0, &[2, 16], 1), "report that is kept");
    damaged(&insert("guest", 0, &[2, 0], 1), "not declared");
    damaged(
        &|txn| {
            let mut table = txn.open_table(REGISTRIES).unwrap();
            let shown = r#"{"tags":[],"untagged":[]}"#;
            table.insert(&catalog.registry().hash().0, (&b"another catalog"[..], shown)).unwrap();
        },
        "catalog of registry",
    );
    damaged(
        &|txn| {
            let mut table = txn.open_table(REGISTRIES).unwrap();
            table.insert(&catalog.registry().hash().0, (&catalog.registry().catalog()[..], "{}")).unwrap();
        },
        "registry",
    );
}

/// The whole way: a batch under a key, refusals by their names, and counts by tag for who has a token.
#[tokio::test]
async fn tags_and_sources_are_counted_over_http() {
    let [own, other] = catalogs();
    let (key, token) = (WriteKey([1; 16]), Token::draw(&mut SystemEntropy).unwrap());
    let access = Access::parse(&format!(
        "[[key]]\nname = \"web\"\nkey = \"{key}\"\n[[token]]\nname = \"me\"\nsha256 = \"{}\"\nrole = \"read\"",
        token.sha256()
    ));
    let store = Arc::new(MemoryStore::default());
    let projects = vec![Project::alone(store.clone(), own.clone(), access.unwrap())];
    let collector = Collector::new(projects, Settings::default()).unwrap();
    let app = collector.router();
    let host = || Section::of("host", 2, today(), &[(0, &[1])]);
    let sections = [
        host(),
        under(&own, &[0, 1], host()),
        under(&own, &[1, 0], host()),
        under(&own, &[1, 99], host()),
        under(&other, &[0, 0], host()),
    ];
    let answer = post(&app, sent_under(key, batch(1, &sections))).await;
    assert_eq!(answer.body["reports"], 3);
    assert_eq!(answer.body["refused"], json!({ "impossible-tags": 1, "unknown-registry": 1 }));
    for (section, status, name) in [
        (&sections[3], StatusCode::BAD_REQUEST, "impossible-tags"),
        (&sections[4], StatusCode::CONFLICT, "unknown-registry"),
    ] {
        let answer = post(&app, sent_under(key, batch(2, std::slice::from_ref(section)))).await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.body["type"], format!("urn:deniable:problem:{name}"));
    }

    let read = async |question: &str| {
        let request = Request::get(format!("/v1/counts?{question}"));
        let request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.reveal()));
        send(&app, request.body(Body::empty()).unwrap()).await
    };
    let [first, second] = [[0, 1], [1, 0]].map(|places| labels(&own, &places)["os"].clone());
    let of = "metric=host&version=2";
    let reports = async |question: &str| read(question).await.body["cohorts"][0]["reports"].clone();
    assert_eq!(reports(of).await, 3);
    assert_eq!(reports(&format!("{of}&tag=os%3D{first}")).await, 1);
    assert_eq!(reports(&format!("{of}&tag=os={first}&tag=os={second}")).await, 2);
    assert_eq!(reports(&format!("{of}&tag=os={first}&to={}", today() - 1)).await, 0);
    assert_eq!(read(&format!("tag=os={first}")).await.body[0]["reports"], 1);
    let by = read(&format!("{of}&by=os")).await.body["labels"].clone();
    let by: BTreeMap<String, u64> = by
        .as_array()
        .unwrap()
        .iter()
        .map(|part| (part["label"].to_string(), part["cohorts"][0]["reports"].as_u64().unwrap()))
        .collect();
    let expected = ["null".to_owned(), format!("{first:?}"), format!("{second:?}")].map(|label| (label, 1));
    assert_eq!(by, BTreeMap::from(expected));
    for (question, said) in [
        (format!("{of}&tag=os"), "plan=free"),
        (format!("{of}&tag=size=s"), "os, plan"),
        (format!("{of}&by=size"), "os, plan"),
        (format!("{of}&tag=os=amiga"), &first),
        ("by=os".to_owned(), "metric and version"),
        (format!("{of}&version=2"), "version stands twice"),
        (format!("{of}&tags=os"), "tags"),
    ] {
        let answer = read(&question).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{question}");
        assert!(answer.body["detail"].as_str().unwrap().contains(said), "{question}: {}", answer.body);
    }
    let mut sources = BTreeSet::new();
    let mut show = |source: &str| _ = sources.insert(source.to_owned());
    store.each_row(&metric("host"), 2, &Selection::all(), &mut |place, _| show(place.source)).unwrap();
    assert_eq!(sources, BTreeSet::from(["web".to_owned()]));
    drop(app);
    collector.finish().await.unwrap();
}
