//! Where the questions come from, and how they change.

use super::super::testing::answer;
use super::*;
use crate::registry::RegistryHash;

/// Makes the kept catalog so old that it is asked for again.
fn grow_old(home: &Path) {
    let file = std::fs::File::options().append(true).open(home.join("state/catalog")).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(7 * 3600)).unwrap();
}

fn is_young(home: &Path) -> bool {
    let changed = std::fs::metadata(home.join("state/catalog")).unwrap().modified().unwrap();
    changed.elapsed().unwrap() < Duration::from_secs(3600)
}

/// A collector whose catalog has this tag and these words.
fn offering(collector: &Collector, tag: &'static str, words: &'static str) {
    collector.answers(move |head, body| {
        let head = head.to_lowercase();
        Some(if head.starts_with("post") {
            receipt(body)
        } else if head.contains(&format!("if-none-match: \"{tag}\"")) {
            answer("304 Not Modified", "", b"")
        } else {
            answer("200 OK", &format!("etag: \"{tag}\"\r\n"), &catalog(words))
        })
    });
}

fn open(home: &Path, url: &str, catalog: Catalog) -> Result<NativeClient, OpenError> {
    super::open(&Options { catalog, ..options(home, url) })
}

fn hash(client: &NativeClient) -> RegistryHash {
    client.status().client.registry
}

#[test]
fn a_fetched_catalog_is_kept_and_renewed_when_it_changed() {
    let (home, collector) = (tempfile::tempdir().unwrap(), Collector::counting());
    offering(&collector, "one", "First?");
    let client = open(home.path(), &collector.url, Catalog::Fetched).unwrap();
    assert_eq!(hash(&client), registry("First?").hash());
    record(&client);
    assert_eq!(client.flush(LONG), Flushed::Done);
    drop(client);

    // A young one is not asked for again.
    offering(&collector, "two", "Second?");
    let client = open(home.path(), &collector.url, Catalog::Fetched).unwrap();
    record(&client);
    assert_eq!(client.flush(LONG), Flushed::Done);
    assert_eq!(hash(&client), registry("First?").hash());
    drop(client);

    // Without the collector the last one is used.
    grow_old(home.path());
    collector.answers(|_, _| Some(answer("503 Busy", "", b"")));
    let client = open(home.path(), &collector.url, Catalog::Fetched).unwrap();
    assert_eq!(hash(&client), registry("First?").hash());
    until(|| client.status().catalog == Some(CatalogFault::NoCatalog(503)));
    drop(client);

    // Where nothing changed only that is said.
    let kept = std::fs::read(home.path().join("state/catalog")).unwrap();
    assert_eq!(kept, [&b"\"one\"\n"[..], &catalog("First?")].concat());
    offering(&collector, "one", "Never sent");
    let client = open(home.path(), &collector.url, Catalog::Fetched).unwrap();
    until(|| is_young(home.path()));
    assert_eq!(hash(&client), registry("First?").hash());
    drop(client);

    grow_old(home.path());
    offering(&collector, "two", "Second?");
    let client = open(home.path(), &collector.url, Catalog::Fetched).unwrap();
    until(|| hash(&client) == registry("Second?").hash());
    assert_eq!(client.close(LONG), Closed::Written);
    assert_eq!(client.ledger().metrics.iter().map(|spent| spent.reports).sum::<u64>(), 2);
    // The next start begins with it.
    let client = open(home.path(), NOBODY, Catalog::Fetched).unwrap();
    assert_eq!(hash(&client), registry("Second?").hash());
}

#[test]
fn without_any_catalog_the_reason_is_told() {
    let (home, collector) = (tempfile::tempdir().unwrap(), Collector::counting());
    for (given, fault) in [
        (answer("404 Not Found", "", b""), "status 404"),
        (answer("200 OK", "", b"<html>"), "no catalog"),
        (answer("301 Moved", "location: /elsewhere\r\n", b""), "status 301"),
    ] {
        collector.answers(move |_, _| Some(given.clone()));
        let error = open(home.path(), &collector.url, Catalog::Fetched).unwrap_err();
        assert!(matches!(error, OpenError::NoCatalog(_)) && error.to_string().contains(fault), "{error}");
    }
    let error = open(home.path(), NOBODY, Catalog::Fetched).unwrap_err();
    assert!(
        matches!(error, OpenError::NoCatalog(CatalogFault::Network(NetworkFault::Unreachable))),
        "{error}"
    );
    let error = open(home.path(), NOBODY, Catalog::BuiltIn(b"no catalog".to_vec())).unwrap_err();
    assert!(matches!(error, OpenError::Catalog(_)), "{error}");
}

#[test]
fn a_built_in_catalog_gives_way_to_the_collectors() {
    let (home, collector) = (tempfile::tempdir().unwrap(), Collector::counting());
    let built_in = || Catalog::BuiltInThenFetched(catalog("Built in?"));
    // What is no catalog changes nothing.
    collector.answers(|_, _| Some(answer("200 OK", "", b"<html>")));
    let client = open(home.path(), &collector.url, built_in()).unwrap();
    until(|| matches!(client.status().catalog, Some(CatalogFault::Unusable(_))));
    assert_eq!(hash(&client), registry("Built in?").hash());
    drop(client);
    offering(&collector, "one", "Fetched?");
    let client = open(home.path(), &collector.url, built_in()).unwrap();
    until(|| hash(&client) == registry("Fetched?").hash());
    assert_eq!(client.close(LONG), Closed::Written);
    let client = open(home.path(), NOBODY, built_in()).unwrap();
    assert_eq!(hash(&client), registry("Fetched?").hash());
    drop(client);
    // A program with newer questions of its own asks those, until the collector says that its own are still the same.
    grow_old(home.path());
    let newer = Catalog::BuiltInThenFetched(catalog("Newer?"));
    let client = open(home.path(), &collector.url, newer).unwrap();
    until(|| hash(&client) == registry("Fetched?").hash());
}

#[test]
fn a_catalog_that_changes_while_reports_wait_loses_none() {
    let (home, collector) = (tempfile::tempdir().unwrap(), Collector::counting());
    let mut options = options(home.path(), &collector.url);
    options.client.delay = Duration::from_secs(600);
    let client = NativeClient::open(options).unwrap();
    record(&client);
    assert_eq!(client.catalog(&catalog("Other?")), client::Taken::Changed);
    record(&client);
    assert_eq!(client.catalog(b"no catalog"), client.catalog(b"no catalog"));
    assert_eq!(client.flush(LONG), Flushed::Done);
    let batches = collector.batches();
    let parsed: Vec<_> = batches.iter().map(|body| Batch::parse(body).unwrap()).collect();
    let mut hashes: Vec<_> =
        parsed.iter().flat_map(|batch| batch.sections().iter().map(crate::Section::registry)).collect();
    hashes.sort();
    let mut expected = [registry("Did it save?").hash(), registry("Other?").hash()];
    expected.sort();
    assert_eq!(hashes, expected);
}
