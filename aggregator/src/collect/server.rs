//! Connections: how many there are, and how long each may take.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;
use tower::util::Oneshot;

use super::rates::Neighbourhood;
use super::settings::Limits;
use super::tls::Tls;

/// The most bytes of a request's head, which has no use for more.
const HEAD_BYTES: usize = 16 << 10;
/// The wait after a connection that could not be taken, as when the system has no more file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves `app` on `listener` until `stop` is ready; then takes no more connections and lets requests that have begun
/// end, for `grace` at most.
pub(super) async fn serve(
    app: Router,
    listener: TcpListener,
    (limits, tls): (Limits, Option<Tls>),
    stop: impl Future<Output = ()>,
    grace: Duration,
) {
    let free = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        let (stream, peer, permit) = tokio::select! {
            taken = take(&listener, &free) => taken,
            () = &mut stop => break,
        };
        let client = Client { app: app.clone(), neighbourhood: Neighbourhood::of(peer) };
        let (watcher, tls) = (graceful.watcher(), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => converse(watcher, client, stream, limits).await,
                // A handshake is part of what a head's time is for.
                Some(tls) => {
                    match tokio::time::timeout(limits.head_timeout, tls.acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => converse(watcher, client, stream, limits).await,
                        Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
                        Err(_) => tracing::debug!("a handshake took too long"),
                    }
                }
            }
            drop(permit);
        });
    }
    // From here on the system refuses connections.
    drop(listener);
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(grace) => {
            tracing::warn!(seconds = grace.as_secs(), "some requests did not end in time");
        }
    }
}

async fn converse<S>(watcher: Watcher, client: Client, stream: S, limits: Limits)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    if let Err(error) = watcher.watch(connection(client, stream, limits)).await {
        tracing::debug!(%error, "a connection broke off");
    }
}

/// Waits for a place, then for a connection.
async fn take(listener: &TcpListener, free: &Arc<Semaphore>) -> (TcpStream, IpAddr, OwnedSemaphorePermit) {
    let permit = Arc::clone(free).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // A client waits for each answer, so small packets must not wait for more.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "no TCP_NODELAY");
                }
                return (stream, peer.ip(), permit);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Says whether an error is that of a client which has gone, and no other connection's.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

/// The service as one connection reaches it: its requests say from which neighbourhood they come.
#[derive(Clone)]
struct Client {
    app: Router,
    neighbourhood: Option<Neighbourhood>,
}

impl Service<hyper::Request<Incoming>> for Client {
    type Response = Response;
    type Error = Infallible;
    type Future = Oneshot<Router, axum::extract::Request>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        let mut request = request.map(Body::new);
        if let Some(neighbourhood) = self.neighbourhood {
            request.extensions_mut().insert(neighbourhood);
        }
        self.app.clone().oneshot(request)
    }
}

fn connection<S>(client: Client, stream: S, limits: Limits) -> http1::Connection<TokioIo<S>, Client>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), client)
}

#[cfg(test)]
mod tests {
    use axum::extract::Request;
    use axum::routing::post;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    use super::*;
    use crate::collect::TlsError;
    use crate::collect::body;
    use crate::collect::memory::Memory;

    const LIMITS: Limits = Limits {
        connections: 1,
        memory_bytes: 1 << 20,
        head_timeout: Duration::from_secs(10),
        body_timeout: Duration::from_secs(30),
    };

    /// A connection to a service that reads bodies and says how long they are.
    fn connect(memory: Memory) -> DuplexStream {
        let app = Router::new().route(
            "/",
            post(async move |request: Request| {
                let (bytes, _held) = body::receive(request, &memory, LIMITS.body_timeout).await?;
                Ok::<_, crate::collect::Problem>(format!("read {} bytes", bytes.len()))
            }),
        );
        let (client, server) = tokio::io::duplex(1 << 16);
        tokio::spawn(connection(Client { app, neighbourhood: None }, server, LIMITS));
        client
    }

    /// What a client reads until the connection ends. Time is paused, and runs on when nothing else can.
    async fn answer(mut client: DuplexStream, sent: &str) -> (String, Duration) {
        let began = tokio::time::Instant::now();
        client.write_all(sent.as_bytes()).await.unwrap();
        let mut text = Vec::new();
        client.read_to_end(&mut text).await.unwrap();
        (String::from_utf8(text).unwrap(), began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_end_is_not_waited_for() {
        for sent in ["", "POST / HT", "POST / HTTP/1.1\r\nhost: a\r\nx: "] {
            let (_, waited) = answer(connect(Memory::new(1 << 20)), sent).await;
            assert_eq!(waited.as_secs(), 10, "{sent:?}");
        }
        // A head in drops gets no more time than one that comes at once.
        let mut client = connect(Memory::new(1 << 20));
        let began = tokio::time::Instant::now();
        while client.write_all(b"P").await.is_ok() {
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(began.elapsed() < Duration::from_secs(60), "the connection is still open");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_refused_in_time_and_its_memory_is_free_again() {
        let memory = Memory::new(2000);
        let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n";
        let half = format!("{head}{}", "x".repeat(500));
        let (text, waited) = answer(connect(memory.clone()), &half).await;
        assert!(text.starts_with("HTTP/1.1 408") && text.contains("too-slow"), "{text}");
        assert!((30..=40).contains(&waited.as_secs()), "{waited:?}");
        let (text, _) = answer(connect(memory), &format!("{head}{}", "x".repeat(1000))).await;
        assert!(text.contains("read 1000 bytes"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_closed_after_its_answer() {
        let whole = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc";
        let (text, waited) = answer(connect(Memory::new(1 << 20)), whole).await;
        assert!(text.contains("read 3 bytes"), "{text}");
        assert_eq!(waited.as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_beyond_its_limit_is_refused() {
        let long = format!("POST / HTTP/1.1\r\nx: {}", "x".repeat(2 * HEAD_BYTES));
        let (text, _) = answer(connect(Memory::new(1 << 20)), &long).await;
        assert!(text.starts_with("HTTP/1.1 431"), "{text}");
    }

    /// A certificate that is its own authority, and a collector that has it.
    #[tokio::test]
    async fn a_collector_with_a_certificate_speaks_tls_and_nothing_else() {
        const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: collector.test\r\nconnection: close\r\n\r\n";
        let made = rcgen::generate_simple_self_signed(vec!["collector.test".to_owned()]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| dir.path().join(name));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        assert!(Tls::load(&key, &key).is_err() && Tls::load(&certificate, &certificate).is_err());
        let tls = Tls::load(&certificate, &key).unwrap();

        let app = Router::new().route("/", axum::routing::get(async || "hello"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let until = async { stopped.await.unwrap_or_default() };
        let served =
            tokio::spawn(serve(app, listener, (LIMITS, Some(tls.clone())), until, Duration::from_secs(1)));

        // What the collector says to who trusts a certificate; none if it has another.
        let ask = async |trusted: &rcgen::CertifiedKey<rcgen::KeyPair>| -> Option<String> {
            let mut roots = RootCertStore::empty();
            roots.add(trusted.cert.der().clone()).unwrap();
            let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            let stream = TcpStream::connect(address).await.unwrap();
            let name = "collector.test".try_into().unwrap();
            let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
            stream.write_all(REQUEST).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            Some(answer)
        };
        let is_good = |answer: Option<String>| {
            answer.is_some_and(|text| text.starts_with("HTTP/1.1 200") && text.ends_with("hello"))
        };
        assert!(is_good(ask(&made).await));

        // A certificate without its key changes nothing; with it, it is the one from then on.
        let renewed = rcgen::generate_simple_self_signed(vec!["collector.test".to_owned()]).unwrap();
        std::fs::write(&certificate, renewed.cert.pem()).unwrap();
        assert!(matches!(tls.reload(), Err(TlsError::Unfit { .. })));
        assert!(is_good(ask(&made).await));
        std::fs::write(&key, renewed.signing_key.serialize_pem()).unwrap();
        tls.reload().unwrap();
        assert!(is_good(ask(&renewed).await) && ask(&made).await.is_none());

        let mut plain = TcpStream::connect(address).await.unwrap();
        plain.write_all(REQUEST).await.unwrap();
        let mut answer = Vec::new();
        // It may end with an error, as the other side has not read all.
        let _ = plain.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP"));
        drop(plain);
        stop.send(()).unwrap();
        served.await.unwrap();
    }

    /// Two clients, one place: the second is taken when the first has gone.
    #[tokio::test]
    async fn no_more_connections_are_taken_than_there_are_places() {
        let free = Arc::new(Semaphore::new(1));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let _clients =
            [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        let (first, _, permit) = take(&listener, &free).await;
        let second = take(&listener, &free);
        tokio::pin!(second);
        let waiting = std::future::poll_fn(|context| {
            std::task::Poll::Ready(second.as_mut().poll(context).is_pending())
        });
        assert!(waiting.await);
        drop((first, permit));
        drop(second.await);
    }
}
