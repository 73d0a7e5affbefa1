//! The collector's addresses.
//!
//! | address | takes | answers |
//! |---|---|---|
//! | `POST /v1/reports` | a batch, as `application/octet-stream`, or as base64url in `text/plain`; either may be packed by `gzip` | `{"status":"accepted","reports":n,"refused":{…}}`, or `"duplicate"` |
//! | `GET /v1/catalog` | `?key=` and a write key; where there is one project it may be left out | the current metrics with their parameters, and an `ETag`; to who accepts `application/vnd.deniable.catalog`, the catalog in the bytes that devices read |
//! | `GET /v1/counts` | a token of role `read` | what the store holds, or with `?metric=…&version=…` the counts of a metric, the alarms of the guards, and what is left out; perhaps of `&from=…&to=…` these epochs, with `&tag=NAME=LABEL` these public tags, and with `&by=NAME` each label for itself |
//! | `GET /metrics` | a token of role `monitor` | the collector's own figures, for Prometheus |
//! | `POST /v1/admin/reload` | a token of role `admin` | `{"status":"ok"}` when questions, keys and tokens were read anew; [`Kind::ReloadRefused`] if they stay |
//! | `GET /v1/admin/quarantine` | a token of role `read` | what is set aside: `[{"source":"web","reports":n},{"metric":"host","epoch":e,"reports":n}]` |
//! | `POST` and `DELETE /v1/admin/quarantine` | a token of role `admin`; `?source=…`, or `?metric=…&epoch=…` | `{"changed":true,"source":"web","reports":n}` when it is set aside, or taken back, durably |
//! | `GET /v1/admin/backup` | a token of role `admin` | the file of a store that holds every batch acknowledged until now |
//! | `GET /healthz` | | `{"status":"ok"}` while the program answers |
//! | `GET /readyz` | perhaps `?project=` | `{"status":"ok"}` while batches of all projects, or of that one, are taken |
//!
//! A write key and a token belong to one project, and nothing that is answered to them is of another.
//!
//! `reports` is the number of reports that are counted, and `refused` how many were not, by reason; the reports of a
//! batch are refused one by one. If none can be counted the answer is a [`Problem`], as it is to all else. Answers of
//! 408, 429 and 503 may be tried again, under the same batch id; other refusals stay refusals.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use deniable::{Batch, WriteKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

use super::access::{Origin, Role};
use super::admin;
use super::body;
use super::counts;
use super::directory::{Directory, Found};
use super::memory::Memory;
use super::metrics::Metrics;
use super::problem::{Kind, Problem, by_reason};
use super::project::{ProjectName, Rules};
use super::quarantine;
use super::rates::{Limiter, Neighbourhood};
use super::settings::{Origins, Settings};
use super::writer::{Committed, WriterError};
use crate::store::{Accepted, Checked, Terms};

/// How long a browser may remember which pages may read answers.
const CORS_AGE_SECONDS: u64 = 86_400;

/// What requests share.
#[derive(Clone, Debug)]
pub(super) struct App {
    pub(super) directory: Arc<Directory>,
    metrics: Metrics,
    memory: Memory,
    limiter: Arc<Limiter>,
    settings: Arc<Settings>,
}

impl App {
    pub(super) fn new(directory: Arc<Directory>, settings: Settings) -> Self {
        Self {
            directory,
            metrics: Metrics::new(),
            memory: Memory::new(settings.limits.memory_bytes),
            limiter: Arc::new(Limiter::new(settings.rates)),
            settings: Arc::new(settings),
        }
    }

    /// The project of a reader, whose requests are limited by their token.
    pub(super) fn reader(&self, headers: &HeaderMap, needed: Role) -> Result<Found, Problem> {
        let (found, token) = self.directory.of_token(headers, needed)?;
        self.limiter.check_token(token).map_err(Problem::too_many)?;
        Ok(found)
    }
}

/// Makes the collector's service.
pub(super) fn router(app: App) -> Router {
    Router::new()
        .route("/v1/reports", post(receive))
        .route("/v1/catalog", get(catalog))
        .route("/v1/counts", get(counts::answer))
        .route("/v1/admin/reload", post(admin::reload))
        .route(
            "/v1/admin/quarantine",
            get(quarantine::list).post(quarantine::set_aside).delete(quarantine::take_back),
        )
        .route("/v1/admin/backup", get(admin::backup))
        .route("/metrics", get(metrics))
        .route_layer(from_fn_with_state(app.clone(), limit))
        .route("/healthz", get(async || Json(OK)))
        .route("/readyz", get(ready))
        .fallback(async || Problem::new(Kind::NotFound, "batches are sent to POST /v1/reports"))
        .method_not_allowed_fallback(async || {
            Problem::new(Kind::MethodNotAllowed, "batches are sent with POST to /v1/reports")
        })
        .layer(from_fn_with_state(app.clone(), observe))
        .layer(cors(&app))
        .with_state(app)
}

fn cors(app: &App) -> CorsLayer {
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::CONTENT_TYPE, header::CONTENT_ENCODING, header::IF_NONE_MATCH])
        .expose_headers([header::ETAG, header::RETRY_AFTER])
        .max_age(std::time::Duration::from_secs(CORS_AGE_SECONDS));
    match &app.settings.origins {
        Origins::Listed(listed) => {
            let listed: Vec<HeaderValue> = listed.iter().map(Origin::header).cloned().collect();
            let directory = Arc::clone(&app.directory);
            layer.allow_origin(AllowOrigin::predicate(move |origin, _| {
                listed.contains(origin) || directory.is_page(origin)
            }))
        }
        Origins::Any => layer.allow_origin(Any),
    }
}

/// Lets a request in if its neighbourhood has not sent too many.
async fn limit(State(app): State<App>, request: Request, next: Next) -> Result<Response, Problem> {
    if let Some(neighbourhood) = request.extensions().get::<Neighbourhood>() {
        app.limiter.check_neighbourhood(*neighbourhood).map_err(Problem::too_many)?;
    }
    Ok(next.run(request).await)
}

/// Counts the problems that are answered.
async fn observe(State(app): State<App>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if let Some(kind) = response.extensions().get::<Kind>() {
        app.metrics.problem(*kind);
    }
    response
}

/// What a supervisor learns.
#[derive(Serialize)]
pub(super) struct Health {
    status: &'static str,
}

pub(super) const OK: Health = Health { status: "ok" };

/// What a sender learns of its batch.
#[derive(Serialize)]
struct Receipt {
    status: &'static str,
    reports: usize,
    refused: BTreeMap<&'static str, usize>,
}

async fn receive(State(app): State<App>, request: Request) -> Result<Json<Receipt>, Problem> {
    let headers = request.headers().clone();
    let (body, memory) = body::receive(request, &app.memory, app.settings.limits.body_timeout).await?;
    let batch = Batch::parse(&body)?;
    let Found { project, rules, .. } = app.directory.of_key(batch.key(), &headers)?;
    let source = rules.access.check_key(batch.key(), &headers)?;
    if !rules.access.is_open() {
        app.limiter.check_key(batch.key()).map_err(Problem::too_many)?;
    }
    let Rules { catalog, registries, .. } = &*rules;
    let terms = Terms { catalog, registries, open: app.settings.window.open(), source };
    let Checked { accepted, refused } = Accepted::check(&batch, &terms);
    // The accepted reports are a copy; between here and the parsing nothing waits, so there are few of both at a time.
    drop(batch);
    drop(body);
    if accepted.is_empty() {
        project.metrics.refused(&refused);
        return Err(refused.into());
    }
    let reports = accepted.report_count();
    let committed = project.writer.commit(accepted, memory).await?;
    project.metrics.received(committed, reports, &refused);
    let status = match committed {
        Committed::Now => "accepted",
        Committed::Before => "duplicate",
    };
    Ok(Json(Receipt { status, reports, refused: by_reason(&refused) }))
}

/// Whose catalog a client wants.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asking {
    key: Option<String>,
}

async fn catalog(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let Asking { key } = query(&request)?;
    let found = match (key, app.directory.sole()) {
        (None, Some(found)) => found,
        (None, None) => {
            let detail = "give the write key of the application, as in /v1/catalog?key=7f0c…";
            return Err(Problem::new(Kind::BadQuery, detail));
        }
        (Some(key), _) => {
            let key: WriteKey = key.parse().map_err(|_| {
                Problem::new(Kind::BadQuery, "the key has to be the 32 hexadecimal digits of a write key")
            })?;
            app.directory.of_key(key, request.headers())?
        }
    };
    Ok(found.rules.published.answer(request.headers()))
}

pub(super) fn query<T: DeserializeOwned>(request: &Request) -> Result<T, Problem> {
    let asked = Query::<T>::try_from_uri(request.uri());
    asked.map(|Query(asked)| asked).map_err(|error| Problem::new(Kind::BadQuery, error.body_text()))
}

async fn metrics(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let Found { project, .. } = app.reader(&headers, Role::Monitor)?;
    let written = tokio::task::spawn_blocking(move || {
        app.metrics.write(&app.memory, &project.metrics, &*project.store)
    });
    let text = written.await.map_err(|_| Problem::from(WriterError::Stopped))??;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}

/// Whose readiness a supervisor asks for; without a project, that of all.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Supervised {
    project: Option<ProjectName>,
}

async fn ready(State(app): State<App>, request: Request) -> Result<Json<Health>, Problem> {
    let Supervised { project: wanted } = query(&request)?;
    let mut asked = app
        .directory
        .projects()
        .iter()
        .filter(|project| wanted.as_ref().is_none_or(|wanted| project.name == *wanted))
        .peekable();
    if asked.peek().is_none() {
        return Err(Problem::new(Kind::NotFound, "there is no project of that name here"));
    }
    if asked.all(|project| project.writer.is_running()) {
        Ok(Json(OK))
    } else {
        Err(WriterError::Stopped.into())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use axum::body::Body;
    use axum::http::StatusCode;
    use tower::ServiceExt;

    use super::*;
    use crate::catalog::Catalog;
    use crate::collect::{Access, Collector, Project, Rates};
    use crate::store::MemoryStore;

    const METRICS: &str = "[metrics.a]\nversion = 1\nquestion = \"?\"\nreport = { encoding = \"unary\", bits = 4, instantaneous = { zero = 0.25, one = 0.5 } }";

    fn project() -> Project {
        let store = Arc::new(MemoryStore::default());
        Project::alone(store, Catalog::parse(METRICS).unwrap(), Access::open())
    }

    /// One project's store fails; the other goes on.
    #[tokio::test]
    async fn readiness_is_that_of_the_projects_asked_for() {
        let key =
            |digit: char| format!("[[key]]\nname = \"app\"\nkey = \"{}\"", digit.to_string().repeat(32));
        let projects = [("shop", '1'), ("blog", '2')].map(|(name, digit)| {
            let (name, store) = (name.parse().unwrap(), Arc::new(MemoryStore::default()));
            let access = Access::parse(&key(digit)).unwrap();
            Project { name, ..Project::alone(store, Catalog::parse(METRICS).unwrap(), access) }
        });
        let mut collector = Collector::new(projects.into(), Settings::default()).unwrap();
        let app = collector.router();
        let ask = async |address: &str| {
            let request = Request::get(address).body(Body::empty()).unwrap();
            app.clone().oneshot(request).await.unwrap().status().as_u16()
        };
        let all = async || {
            [ask("/readyz").await, ask("/readyz?project=shop").await, ask("/readyz?project=blog").await]
        };
        assert_eq!(all().await, [200, 200, 200]);
        let (name, writer) = collector.running.remove(0);
        writer.finish().await.unwrap();
        assert_eq!((name.as_str(), all().await), ("shop", [503, 503, 200]));
        assert_eq!((ask("/readyz?project=other").await, ask("/healthz").await), (404, 200));
    }

    /// Four requests of a neighbourhood at once, whatever they ask for, but for a supervisor's.
    #[tokio::test]
    async fn everything_but_health_is_limited_by_neighbourhood() {
        let rates = Rates { neighbourhood: NonZeroU32::MIN, ..Rates::default() };
        for (place, (method, address)) in (0..).zip([
            ("POST", "/v1/reports"),
            ("GET", "/v1/catalog"),
            ("GET", "/v1/counts"),
            ("GET", "/metrics"),
            ("POST", "/v1/admin/reload"),
        ]) {
            let settings = Settings { rates, ..Settings::default() };
            let app = Collector::new(vec![project()], settings).unwrap().router();
            let ask = async |method: &str, address: &str| {
                let mut request = Request::builder().method(method).uri(address).body(Body::empty()).unwrap();
                request.extensions_mut().insert(Neighbourhood::Four([192, 0, place]));
                app.clone().oneshot(request).await.unwrap()
            };
            for _ in 0..4 {
                assert_ne!(ask(method, address).await.status(), StatusCode::TOO_MANY_REQUESTS);
            }
            let answer = ask(method, address).await;
            assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS, "{address}");
            assert!(answer.headers().contains_key(header::RETRY_AFTER));
            assert_eq!(ask("GET", "/healthz").await.status(), StatusCode::OK);
            assert_eq!(ask("GET", "/readyz").await.status(), StatusCode::OK);
        }
    }
}
