//! Several projects in one collector: what belongs to one is not seen by another, and files are read anew.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use deniable::{SystemEntropy, WriteKey};
use deniable_aggregator::collect::{
    Collector, ConflictError, Files, Project, ProjectName, Rates, Settings, Token,
};
use deniable_aggregator::store::{DiskStore, Selection, Store};
use serde_json::{Value, json};

use crate::http::{Answer, post, send, text_of, under};
use crate::support::{METRICS, Section, batch, exactly_once, planted, today};

const SHOP: WriteKey = WriteKey([1; 16]);
const BLOG: WriteKey = WriteKey([2; 16]);
const BLOG_METRICS: &str = "[metrics.theme]\nversion = 1\nquestion = \"Which theme?\"\nreport = { encoding = \"unary\", bits = 4, instantaneous = { zero = 0.25, one = 0.5 } }\n";

/// A directory with the files of two projects.
struct Site {
    dir: tempfile::TempDir,
    /// Of `shop`: read, monitor, admin; of `blog`: admin.
    tokens: [Token; 4],
}

impl Site {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tokens = [(); 4].map(|()| Token::draw(&mut SystemEntropy).unwrap());
        let site = Self { dir, tokens };
        site.write("shop.metrics", METRICS);
        site.write("blog.metrics", BLOG_METRICS);
        site.write("shop.access", &site.access(SHOP, &[(0, "read"), (1, "monitor"), (2, "admin")]));
        site.write("blog.access", &site.access(BLOG, &[(3, "admin")]));
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn access(&self, key: WriteKey, roles: &[(usize, &str)]) -> String {
        let token = |(i, role): &(usize, &str)| {
            let sha256 = self.tokens[*i].sha256();
            format!("[[token]]\nname = \"{i}\"\nsha256 = \"{sha256}\"\nrole = \"{role}\"\n")
        };
        format!("[[key]]\nname = \"app\"\nkey = \"{key}\"\n{}", roles.iter().map(token).collect::<String>())
    }

    fn project(&self, name: &str) -> Project {
        let files = Files {
            metrics: self.path(&format!("{name}.metrics")),
            access: Some(self.path(&format!("{name}.access"))),
        };
        let store = Arc::new(DiskStore::create(&self.path(name)).unwrap());
        let name = ProjectName::try_from(name.to_owned()).unwrap();
        Project::new(name, store, (files.load().unwrap(), files))
    }

    fn collector(&self) -> Collector {
        let rates = Rates { token: 1000.try_into().unwrap(), ..Rates::default() };
        let settings = Settings { rates, ..Settings::default() };
        Collector::new(vec![self.project("shop"), self.project("blog")], settings).unwrap()
    }

    fn request(&self, method: &str, address: &str, token: usize) -> Request<Body> {
        let bearer = format!("Bearer {}", self.tokens[token].reveal());
        let request = Request::builder().method(method).uri(address).header(header::AUTHORIZATION, bearer);
        request.body(Body::empty()).unwrap()
    }

    async fn get(&self, app: &Router, address: &str, token: usize) -> Answer {
        send(app, self.request("GET", address, token)).await
    }

    async fn reload(&self, app: &Router, token: usize) -> Answer {
        send(app, self.request("POST", "/v1/admin/reload", token)).await
    }
}

fn theme() -> Vec<u8> {
    let catalog = deniable_aggregator::catalog::Catalog::parse(BLOG_METRICS).unwrap();
    let stream = catalog.definitions().next().unwrap().stream();
    let mut section = Section::of("host", 1, today(), &[(0, &[1])]);
    (section.metric, section.fingerprint, section.bits) = ("theme".into(), stream.fingerprint().0, 4);
    batch(900, &[section])
}

fn problem(answer: &Answer) -> &str {
    answer.body["type"].as_str().unwrap().rsplit(':').next().unwrap()
}

#[tokio::test]
async fn a_key_reaches_the_metrics_of_its_project_alone() {
    let site = Site::new();
    let collector = site.collector();
    let app = collector.router();
    assert_eq!(post(&app, under(SHOP, batch(1, &planted(1)))).await.body["status"], "accepted");
    assert_eq!(post(&app, under(BLOG, theme())).await.body["status"], "accepted");
    // The other's metrics are unknown, as if nobody asked them.
    assert_eq!(problem(&post(&app, under(BLOG, batch(2, &planted(2)))).await), "unknown-metric");
    assert_eq!(problem(&post(&app, under(SHOP, theme())).await), "unknown-metric");
    assert_eq!(problem(&post(&app, under(WriteKey([3; 16]), batch(3, &planted(3)))).await), "unknown-key");
    // The same batch id in another project is another batch.
    let mut same = theme();
    same[21..37].copy_from_slice(&1_u128.to_le_bytes());
    assert_eq!(post(&app, under(BLOG, same)).await.body["status"], "accepted");
    collector.finish().await.unwrap();
    drop(app);
    exactly_once(&DiskStore::open(&site.path("shop")).unwrap(), [1]).unwrap();
    let blog = DiskStore::open(&site.path("blog")).unwrap();
    assert_eq!(blog.holdings(&Selection::all()).unwrap().iter().map(|held| held.reports).sum::<u64>(), 2);
    assert!(blog.streams().unwrap().keys().all(|(metric, _)| metric.as_str() == "theme"));
}

#[tokio::test]
async fn a_catalog_is_that_of_the_key() {
    let site = Site::new();
    let app = site.collector().router();
    let ask = async |question: &str| {
        send(&app, Request::get(format!("/v1/catalog{question}")).body(Body::empty()).unwrap()).await
    };
    let metrics = |answer: Answer| -> Vec<Value> {
        answer.body["metrics"].as_array().unwrap().iter().map(|metric| metric["metric"].clone()).collect()
    };
    assert_eq!(metrics(ask(&format!("?key={SHOP}")).await), ["host", "pick"]);
    assert_eq!(metrics(ask(&format!("?key={BLOG}")).await), ["theme"]);
    assert_eq!(problem(&ask("").await), "bad-query");
    assert_eq!(problem(&ask("?key=12").await), "bad-query");
    assert_eq!(problem(&ask(&format!("?key={}", WriteKey([3; 16]))).await), "unknown-key");
}

#[tokio::test]
async fn a_token_reads_what_its_role_may_of_its_project_alone() {
    let site = Site::new();
    let app = site.collector().router();
    post(&app, under(SHOP, batch(1, &planted(1)))).await;
    post(&app, under(BLOG, theme())).await;
    let statuses = async |method: &str, address: &str| {
        let mut found = Vec::new();
        for token in 0..4 {
            let response =
                tower::ServiceExt::oneshot(app.clone(), site.request(method, address, token)).await;
            found.push(response.unwrap().status().as_u16());
        }
        found
    };
    assert_eq!(statuses("GET", "/v1/counts").await, [200, 403, 200, 200]);
    assert_eq!(statuses("GET", "/metrics").await, [403, 200, 200, 200]);
    assert_eq!(statuses("POST", "/v1/admin/reload").await, [403, 403, 200, 200]);
    assert_eq!(problem(&site.reload(&app, 0).await), "forbidden");
    assert_eq!(site.get(&app, "/v1/counts", 3).await.body.as_array().unwrap().len(), 1);
    assert_eq!(site.get(&app, "/v1/counts", 3).await.body[0]["metric"], "theme");
    let foreign = site.get(&app, "/v1/counts?metric=host&version=2", 3).await;
    assert_eq!(problem(&foreign), "unknown-version");
    let figures = text_of(&app, site.request("GET", "/metrics", 3)).await;
    assert!(figures.contains("deniable_reports_total{project=\"blog\",outcome=\"accepted\"} 1"), "{figures}");
    assert!(!figures.contains("shop"), "{figures}");
}

#[tokio::test]
async fn readiness_is_told_of_each_project() {
    let site = Site::new();
    let app = site.collector().router();
    let ask = async |question: &str| {
        send(&app, Request::get(format!("/readyz{question}")).body(Body::empty()).unwrap()).await.status
    };
    for question in ["", "?project=shop", "?project=blog"] {
        assert_eq!(ask(question).await, StatusCode::OK);
    }
    assert_eq!(ask("?project=other").await, StatusCode::NOT_FOUND);
    assert_eq!(ask("?project=Shop!").await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn files_are_read_anew_and_bad_ones_leave_the_old_in_force() {
    let site = Site::new();
    let collector = site.collector();
    let app = collector.router();
    // The key is revoked, another drawn, and a metric added.
    let fresh = WriteKey([7; 16]);
    let access = site.access(fresh, &[(2, "admin"), (1, "monitor")]);
    site.write(
        "shop.access",
        &format!("{access}[[key]]\nname = \"old\"\nkey = \"{SHOP}\"\nrevoked = true\n"),
    );
    site.write("shop.metrics", &format!("{METRICS}\n{BLOG_METRICS}"));
    assert_eq!(post(&app, under(SHOP, batch(1, &planted(1)))).await.status, StatusCode::OK);
    assert_eq!(site.reload(&app, 2).await.body, json!({ "status": "ok" }));
    assert_eq!(problem(&post(&app, under(SHOP, batch(2, &planted(2)))).await), "revoked-key");
    assert_eq!(post(&app, under(fresh, theme())).await.body["status"], "accepted");
    assert_eq!(site.get(&app, "/v1/counts", 0).await.status, StatusCode::UNAUTHORIZED);

    // Each of these is refused as a whole.
    let good = fs::read_to_string(site.path("shop.access")).unwrap();
    let stolen = site.access(BLOG, &[(2, "admin")]);
    let doubled = format!("{good}[[token]]\nname = \"x\"\nsha256 = \"{}\"\n", site.tokens[3].sha256());
    let metrics = fs::read_to_string(site.path("shop.metrics")).unwrap();
    for (name, text) in [
        ("shop.access", "[[key]]\nname = 3"),
        ("shop.access", &stolen),
        ("shop.access", &doubled),
        ("shop.metrics", "[metrics"),
        ("shop.metrics", &metrics.replace("bits = 12", "bits = 16")),
    ] {
        let before = fs::read_to_string(site.path(name)).unwrap();
        site.write(name, text);
        let answer = site.reload(&app, 2).await;
        assert_eq!((answer.status, problem(&answer)), (StatusCode::CONFLICT, "reload-refused"), "{text}");
        assert!(!answer.body.to_string().contains("shop"), "{}", answer.body);
        site.write(name, &before);
    }
    assert_eq!(post(&app, under(fresh, batch(3, &planted(3)))).await.body["status"], "accepted");
    assert_eq!(problem(&post(&app, under(BLOG, batch(4, &planted(4)))).await), "unknown-metric");
    let figures = text_of(&app, site.request("GET", "/metrics", 1)).await;
    for line in [
        "deniable_reloads_total{project=\"shop\",outcome=\"done\"} 1",
        "deniable_reloads_total{project=\"shop\",outcome=\"refused\"} 5",
    ] {
        assert!(figures.lines().any(|found| found == line), "{line} is missing in {figures}");
    }
    collector.finish().await.unwrap();
    drop(app);
    exactly_once(&DiskStore::open(&site.path("shop")).unwrap(), [1, 3]).unwrap();
}

#[test]
fn projects_that_cannot_be_told_apart_are_not_served() {
    let refusal = |site: &Site| {
        let projects = vec![site.project("shop"), site.project("blog")];
        Collector::new(projects, Settings::default()).unwrap_err().to_string()
    };
    let site = Site::new();
    site.write("blog.access", &site.access(SHOP, &[]));
    let message = refusal(&site);
    assert!(message.contains("shop and blog have a write key in common"), "{message}");
    assert!(!message.contains(&SHOP.to_string()));
    site.write("blog.access", &site.access(BLOG, &[(1, "read")]));
    assert!(refusal(&site).contains("shop and blog have a token in common"));
    let name = ProjectName::sole();
    assert!(ConflictError::Name { name }.to_string().contains("two projects are called default"));
}
