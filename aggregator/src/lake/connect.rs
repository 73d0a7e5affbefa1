//! The connection to S3: the HTTP client that the rest of the program is built on, in place of a second one.

use std::error::Error;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Plain;
use hyper_util::rt::TokioExecutor;
use object_store::client::{
    ClientConfigKey, ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest,
    HttpRequestBody, HttpResponse, HttpService,
};
use object_store::{Error as StorageError, Result};
use tokio_rustls::rustls::crypto::ring;

use super::LakeError;

/// For a request and its whole answer: 8 MiB, the most that either holds, at half a megabit a second.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Settings that would change what a connection is and that this one does not know.
const UNKNOWN: [(ClientConfigKey, &str); 2] = [
    (ClientConfigKey::ProxyUrl, "AWS_PROXY_URL"),
    (ClientConfigKey::AllowInvalidCertificates, "AWS_ALLOW_INVALID_CERTIFICATES"),
];

/// Makes clients that speak HTTP/1.1, by TLS unless `AWS_ALLOW_HTTP` is true.
#[derive(Debug)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let value = |key| options.get_config_value(&key);
        for (key, setting) in UNKNOWN {
            if value(key).is_some_and(|value| value != "false") {
                return Err(generic(LakeError::Setting { setting }));
            }
        }
        let builder = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(ring::default_provider())
            .map_err(|source| generic(LakeError::Certificates { source }))?;
        let is_plain_allowed = value(ClientConfigKey::AllowHttp).is_some_and(|value| value == "true");
        let builder = if is_plain_allowed { builder.https_or_http() } else { builder.https_only() };
        let client = Client::builder(TokioExecutor::new()).build(builder.enable_http1().build());
        Ok(HttpClient::new(Service(client)))
    }
}

fn generic(error: LakeError) -> StorageError {
    StorageError::Generic { store: "S3", source: Box::new(error) }
}

#[derive(Debug)]
struct Service(Client<HttpsConnector<Plain>, HttpRequestBody>);

#[async_trait::async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> std::result::Result<HttpResponse, HttpError> {
        let exchange = async {
            let answer = self.0.request(request).await.map_err(|error| {
                let kind = if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Request };
                failed(kind, error)
            })?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await.map_err(|error| failed(HttpErrorKind::Interrupted, error))?;
            Ok(HttpResponse::from_parts(head, body.to_bytes().into()))
        };
        match tokio::time::timeout(TIMEOUT, exchange).await {
            Ok(answer) => answer,
            Err(late) => Err(failed(HttpErrorKind::Timeout, late)),
        }
    }
}

fn failed(kind: HttpErrorKind, error: impl Error + Send + Sync + 'static) -> HttpError {
    HttpError::new(kind, error)
}
