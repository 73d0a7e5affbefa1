//! Bodies as anybody may post them to a collector: declared and packed in any way, in pieces of any size, cut off.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::IntoResponse;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use deniable::{Batch, Epoch, MAX_BATCH_BYTES};
use deniable_aggregator::catalog::Catalog;
use deniable_aggregator::collect::{Held, Kind, Memory, Problem, receive};
use deniable_aggregator::store::{
    Accepted, Checked, MemoryStore, Outcome, Registries, Selection, Store, Terms,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Frame;
use tokio::runtime::{Builder, Runtime};

/// Metrics of each encoding, and one that has an older version.
const METRICS: &str = r#"
[metrics.host]
version = 2
question = "Which host?"
report = { encoding = "bloom", bits = 12, hashes = 2, cohorts = 4, instantaneous = { zero = 0.25, one = 0.75 } }

[[metrics.host.older]]
version = 1
report = { encoding = "bloom", bits = 8, hashes = 2, cohorts = 4, instantaneous = { zero = 0.25, one = 0.75 } }

[metrics.pick]
version = 1
question = "Which one?"
report = { encoding = "direct", bits = 3, cohorts = 2, instantaneous = { zero = 0.25, one = 0.5 } }

[metrics.tick]
version = 1
question = "Which ones?"
report = { encoding = "unary", bits = 9, hashes = 3, instantaneous = { zero = 0.25, one = 0.5 } }
"#;

/// What the collector of the fuzzers asks.
pub(super) static CATALOG: LazyLock<Catalog> =
    LazyLock::new(|| Catalog::parse(METRICS).expect("the metrics are well-formed"));
/// Its newest epoch; those of the 30 days before are open too.
pub(super) const TODAY: Epoch = Epoch(20_000);

const CONTENT_TYPES: [Option<&[u8]>; 8] = [
    None,
    Some(b"application/octet-stream"),
    Some(b"text/plain"),
    Some(b"Text/Plain ; charset=utf-8"),
    Some(b"application/json"),
    Some(b"\xff\xfe"),
    Some(b""),
    Some(b";"),
];
const CONTENT_CODINGS: [Option<&[u8]>; 6] =
    [None, Some(b"gzip"), Some(b" GZIP "), Some(b"identity"), Some(b"br"), Some(b"\xff")];
/// The most bytes that a payload is repeated to: more than the limit on each way of packing.
const MAX_REPEATED: usize = 3 << 20;

/// Reads a body as a collector does. It is refused with a problem that has an answer, or it is within the limit and every
/// report in it is counted or refused; what was packed as it is declared comes out as it went in.
pub fn body(data: &[u8]) {
    let Some((head, payload)) = data.split_first_chunk::<4>() else { return };
    let sent = Sent::new(*head, payload);
    let memory = Memory::new(sent.memory_bytes);
    match sent.receive(&memory) {
        Ok((body, held)) => {
            assert!(sent.is_declared(), "what is declared as something else was read");
            assert!(body.len() <= MAX_BATCH_BYTES + 2, "{} bytes are over the limit", body.len());
            assert!(!sent.faithful() || body == sent.payload, "the body is not what was packed");
            assert!(memory.held_bytes() > 0 && memory.held_bytes() <= sent.memory_bytes);
            drop(held);
            count(&body);
        }
        Err(problem) => sent.check(problem),
    }
    assert_eq!(memory.held_bytes(), 0, "memory is not given back");
}

/// Parses and counts what a body held.
fn count(body: &[u8]) {
    super::batch(body);
    let Ok(batch) = Batch::parse(body) else { return };
    let (oldest, registries) = (Epoch(TODAY.0 - 30), Registries::default());
    let terms = Terms { catalog: &CATALOG, registries: &registries, open: oldest..=TODAY, source: "web" };
    let Checked { accepted, refused } = Accepted::check(&batch, &terms);
    let reports = accepted.report_count();
    let refused_reports: usize = refused.counts().map(|(_, reports)| reports).sum();
    assert_eq!(reports + refused_reports, batch.report_count());
    assert_eq!(refused.first().is_some(), refused_reports > 0);
    assert_eq!(accepted.is_empty(), reports == 0);
    let store = MemoryStore::default();
    store.declare(&CATALOG).expect("an empty store takes any metric");
    let outcomes = store.commit(&[accepted], oldest).expect("what was checked is counted");
    assert_eq!(outcomes, [Outcome::Counted]);
    let held = store.holdings(&Selection::all()).expect("a store in memory is read");
    assert_eq!(held.iter().map(|holding| holding.reports).sum::<u64>(), reports as u64);
}

/// A request and how it was made.
struct Sent<'a> {
    content_type: Option<&'static [u8]>,
    coding: Option<&'static [u8]>,
    /// Whether the payload is made base64url, and gzip; else it is sent as it is, whatever it is declared as.
    as_text: bool,
    as_gzip: bool,
    /// Whether the connection ends before the body does.
    is_cut: bool,
    memory_bytes: usize,
    piece_bytes: usize,
    payload: Vec<u8>,
    raw: &'a [u8],
}

impl<'a> Sent<'a> {
    fn new([content_type, coding, shape, size]: [u8; 4], raw: &'a [u8]) -> Self {
        let repeats = if raw.is_empty() { 0 } else { 1usize << (shape >> 4) };
        let repeats = repeats.min(MAX_REPEATED.div_ceil(raw.len().max(1)));
        Self {
            content_type: CONTENT_TYPES[usize::from(content_type) % CONTENT_TYPES.len()],
            coding: CONTENT_CODINGS[usize::from(coding) % CONTENT_CODINGS.len()],
            as_text: shape & 1 != 0,
            as_gzip: shape & 2 != 0,
            is_cut: shape & 4 != 0,
            memory_bytes: if size & 128 == 0 { 16 << 20 } else { 32 << 10 },
            piece_bytes: 1 << (size & 15),
            payload: raw.repeat(repeats),
            raw,
        }
    }

    fn is_text(&self) -> bool {
        self.content_type.is_some_and(|declared| declared.to_ascii_lowercase().starts_with(b"text/plain"))
    }

    fn is_gzip(&self) -> bool {
        self.coding.is_some_and(|declared| declared.to_ascii_lowercase().trim_ascii() == b"gzip")
    }

    /// Whether a collector knows the type and the coding.
    fn is_declared(&self) -> bool {
        let binary = self.content_type.is_none_or(|declared| declared == b"application/octet-stream");
        let plain = self.coding.is_none_or(|declared| declared == b"identity");
        (binary || self.is_text()) && (plain || self.is_gzip())
    }

    /// Whether it is packed as it is declared.
    fn faithful(&self) -> bool {
        self.is_declared() && !self.is_cut && (self.as_text, self.as_gzip) == (self.is_text(), self.is_gzip())
    }

    fn body(&self) -> Vec<u8> {
        let text = if self.as_text {
            BASE64_URL_SAFE_NO_PAD.encode(&self.payload).into_bytes()
        } else {
            self.payload.clone()
        };
        if !self.as_gzip {
            return text;
        }
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&text).expect("memory can be written to");
        packed.finish().expect("memory can be written to")
    }

    fn receive(&self, memory: &Memory) -> Result<(Vec<u8>, Held), Problem> {
        static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
            Builder::new_current_thread().enable_time().build().expect("a runtime needs no thread")
        });
        let body = self.body();
        // Many small pieces, but not so many that only they are tried.
        let piece_bytes = self.piece_bytes.max(body.len() / 64);
        let pieces = body.chunks(piece_bytes).map(Bytes::copy_from_slice).collect();
        let mut request = Request::new(Body::new(Pieces { pieces, is_cut: self.is_cut }));
        let declared = [(header::CONTENT_TYPE, self.content_type), (header::CONTENT_ENCODING, self.coding)];
        for (name, value) in declared {
            let value =
                value.map(|value| HeaderValue::from_bytes(value).expect("the values are those of a header"));
            value.into_iter().for_each(|value| drop(request.headers_mut().insert(&name, value)));
        }
        RUNTIME.block_on(receive(request, memory, Duration::from_secs(60)))
    }

    /// Checks that a refusal is one that this request deserves, and has an answer.
    fn check(&self, problem: Problem) {
        let kind = problem.kind();
        let deserved = match kind {
            Kind::UnsupportedMediaType => !self.is_declared(),
            Kind::BatchTooLarge => self.payload.len() > MAX_BATCH_BYTES || !self.faithful(),
            Kind::Busy => self.memory_bytes < MAX_BATCH_BYTES,
            Kind::UnreadableBody => self.is_cut,
            Kind::Undecodable => self.is_declared() && !self.faithful(),
            _ => false,
        };
        assert!(deserved, "{kind:?} to {} bytes, repeated to {}", self.raw.len(), self.payload.len());
        let response = problem.into_response();
        assert!(response.status().is_client_error() || response.status().is_server_error());
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
}

/// A body as it comes from the network.
struct Pieces {
    pieces: VecDeque<Bytes>,
    is_cut: bool,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = self.pieces.pop_front().map(|piece| Ok(Frame::data(piece)));
        let cut = std::mem::take(&mut self.is_cut);
        Poll::Ready(piece.or_else(|| cut.then(|| Err(io::ErrorKind::UnexpectedEof.into()))))
    }
}
