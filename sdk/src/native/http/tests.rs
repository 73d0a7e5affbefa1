//! What a collector, or something else in its place, can answer.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

const LIMITS: Limits = Limits { connect: LONG, whole: LONG, answer_bytes: 1000, catalog_bytes: 1000 };
/// The most that anything here may take, also where a machine has much else to do.
const LONG: Duration = Duration::from_secs(300);
/// For what is cut off.
const SHORT: Limits = Limits { whole: Duration::from_millis(400), ..LIMITS };

fn http(address: &str, limits: Limits) -> Http {
    Http::new(Endpoint::parse(&format!("http://{address}"), false).unwrap(), None, None, limits)
}

/// Answers one request by `answer`, after its head was read. Gives where it listens, and then the head.
fn server(answer: impl FnOnce(TcpStream) + Send + 'static) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let head = head(&mut stream);
        answer(stream);
        head
    });
    (address, served)
}

fn head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// Answers with these bytes.
fn says(answer: &'static str) -> (String, thread::JoinHandle<String>) {
    server(move |mut stream| {
        // The other side may have gone, once it has seen enough.
        let _ = stream.write_all(answer.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read(&mut [0; 64]);
    })
}

fn sent(address: &str, limits: Limits) -> Sent {
    http(address, limits).send(b"batch", "application/octet-stream")
}

#[test]
fn each_answer_is_passed_on_and_redirects_lead_nowhere() {
    for (answer, status, retry_after, body) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", 200, None, "{}"),
        ("HTTP/1.1 200 OK\r\n\r\n<html>hello</html>", 200, None, "<html>hello</html>"),
        ("HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", 301, None, ""),
        ("HTTP/1.1 307 Elsewhere\r\nlocation: /v1/reports\r\ncontent-length: 0\r\n\r\n", 307, None, ""),
        ("HTTP/1.1 413 Too large\r\ncontent-length: 0\r\n\r\n", 413, None, ""),
        ("HTTP/1.1 429 No\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n", 429, Some("120"), ""),
        ("HTTP/1.1 503 No\r\nretry-after: soon\r\ncontent-length: 0\r\n\r\n", 503, Some("soon"), ""),
        ("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n", 500, None, ""),
    ] {
        let (address, served) = says(answer);
        let (retry_after, body) = (retry_after.map(str::to_owned), body.as_bytes().to_vec());
        assert_eq!(sent(&address, LIMITS), Sent::Answered { status, retry_after, body }, "{answer}");
        served.join().unwrap();
    }
}

#[test]
fn a_request_tells_nothing_of_the_machine() {
    let (address, served) = says("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    sent(&address, LIMITS);
    let mut lines: Vec<_> = served.join().unwrap().to_lowercase().lines().map(str::to_owned).collect();
    lines.sort();
    let expected = [
        "".to_owned(),
        "accept: */*".to_owned(),
        "content-length: 5".to_owned(),
        "content-type: application/octet-stream".to_owned(),
        format!("host: {address}"),
        "post /v1/reports http/1.1".to_owned(),
        "user-agent: deniable".to_owned(),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_body_that_is_too_long_is_dropped_and_one_without_end_is_cut_off() {
    let head = "HTTP/1.1 200 OK\r\n\r\n";
    let (address, served) = server(move |mut stream| {
        stream.write_all(head.as_bytes()).unwrap();
        while stream.write_all(&[b'x'; 1000]).is_ok() {}
    });
    assert_eq!(sent(&address, LIMITS), Sent::Answered { status: 200, retry_after: None, body: Vec::new() });
    served.join().unwrap();

    let slow = |pause: Duration| {
        server(move |mut stream| {
            stream.write_all(head.as_bytes()).unwrap();
            while stream.write_all(b"x").is_ok() {
                thread::park_timeout(pause);
            }
        })
    };
    let (address, served) = slow(Duration::from_millis(20));
    let start = Instant::now();
    assert_eq!(sent(&address, SHORT), Sent::Failed(NetworkFault::TimedOut));
    assert!(start.elapsed() < LONG);
    served.join().unwrap();
}

#[test]
fn silence_and_absence_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // The system takes the connection, but nobody reads it.
    assert_eq!(sent(&address, SHORT), Sent::Failed(NetworkFault::TimedOut));
    // Nobody listens there, as no system gives that port away.
    assert_eq!(sent("127.0.0.1:9", LIMITS), Sent::Failed(NetworkFault::Unreachable));
    let (address, served) = says("SSH-2.0-OpenSSH_9.2\r\n\r\n");
    assert_eq!(sent(&address, LIMITS), Sent::Failed(NetworkFault::NotHttp));
    served.join().unwrap();
    let (address, served) = server(drop);
    assert!(matches!(
        sent(&address, LIMITS),
        Sent::Failed(NetworkFault::Unreachable | NetworkFault::NotHttp)
    ));
    served.join().unwrap();
}

#[test]
fn the_catalog_is_fetched_when_it_changed() {
    let catalog = |answer, tag| {
        let (address, served) = says(answer);
        (http(&address, LIMITS).catalog(tag), served.join().unwrap())
    };
    let (fetched, head) = catalog("HTTP/1.1 200 OK\r\netag: \"b\"\r\ncontent-length: 4\r\n\r\ndnct", "\"a\"");
    assert_eq!(fetched, Fetched::Catalog { tag: "\"b\"".to_owned(), body: b"dnct".to_vec() });
    let head = head.to_lowercase();
    assert!(head.starts_with("get /v1/catalog http/1.1") && head.contains("if-none-match: \"a\""), "{head}");
    assert!(head.contains(CATALOG_TYPE), "{head}");
    let (fetched, head) = catalog("HTTP/1.1 304 Same\r\n\r\n", "");
    assert!(fetched == Fetched::Same && !head.to_lowercase().contains("if-none-match"));
    let (address, served) = says("HTTP/1.1 304 Same\r\n\r\n");
    Http { key: Some(WriteKey([0xab; 16])), ..http(&address, LIMITS) }.catalog("");
    let head = served.join().unwrap();
    assert!(head.starts_with(&format!("GET /v1/catalog?key={} HTTP/1.1", "ab".repeat(16))), "{head}");
    assert_eq!(catalog("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", "").0, Fetched::Refused(404));
}

/// A certificate for `name`, the PEM of the authority that signed it, and a server that shows it once.
pub(in crate::native) fn tls_server(name: &str) -> (String, Vec<u8>, thread::JoinHandle<()>) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            [certificate.der().clone()].into(),
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream);
        // A client that does not trust the certificate goes before it says anything.
        let mut request = [0; 4096];
        if stream.read(&mut request).is_ok_and(|count| count > 0) {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
        }
    });
    (format!("https://localhost:{port}"), authority.pem().into_bytes(), served)
}

#[test]
fn a_collector_must_show_a_trusted_certificate_of_its_name() {
    let call = |name: &str, trusted: bool| {
        let (url, pem, served) = tls_server(name);
        let roots = trusted.then(|| certificates(&pem).unwrap());
        let sent =
            Http::new(Endpoint::parse(&url, false).unwrap(), None, roots, LIMITS).send(b"batch", "a/b");
        served.join().unwrap();
        sent
    };
    let good = Sent::Answered { status: 200, retry_after: None, body: b"{}".to_vec() };
    assert_eq!(call("localhost", true), good);
    assert_eq!(call("other.example", true), Sent::Failed(NetworkFault::Certificate));
    assert_eq!(call("localhost", false), Sent::Failed(NetworkFault::Certificate));
}

#[test]
fn endpoints_are_addresses_that_keep_reports_from_strangers() {
    let at = |text: &str, plain| Endpoint::parse(text, plain).map(|endpoint| endpoint.at("/v1/reports"));
    for (text, url) in [
        ("https://a.example", "https://a.example/v1/reports"),
        ("https://a.example:8443/base/", "https://a.example:8443/base/v1/reports"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1/reports"),
        ("http://[::1]:8080", "http://[::1]:8080/v1/reports"),
        ("http://localhost/", "http://localhost/v1/reports"),
    ] {
        assert_eq!(at(text, false).as_deref(), Ok(url));
    }
    for text in [
        "",
        "a.example",
        "ftp://a.example",
        "https://",
        "https://a b",
        "https://u:p@a.example",
        "https://a/?q=1",
    ] {
        let error = at(text, true).unwrap_err();
        assert!(
            matches!(error, EndpointError::NoUrl { .. }) && error.to_string().contains("https://"),
            "{text}"
        );
    }
    for text in ["http://a.example", "http://10.0.0.1:8080"] {
        assert!(matches!(at(text, false), Err(EndpointError::PlainHttp { .. })), "{text}");
        assert!(at(text, true).is_ok());
    }
    for pem in [&b""[..], b"nothing", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
        assert!(matches!(certificates(pem), Err(EndpointError::Certificates { .. })));
    }
}
