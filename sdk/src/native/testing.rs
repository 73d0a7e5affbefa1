//! A collector of a few lines, which answers as it is told and remembers what it got; and a disk that is soon full.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::prelude::v1::*;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::{eprintln, format};

use crate::Batch;

/// A small file system of its own, in memory; unmounted when dropped.
pub(super) struct Mount(tempfile::TempDir);

impl Mount {
    /// Mounts 64 KiB; None, with a word of it, where this process may not.
    pub(super) fn small() -> Option<Self> {
        let home = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        let mounted = mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(home.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(home));
        }
        eprintln!("skipped: only root can mount a disk that fills");
        None
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn remount(&self, options: &str) {
        let status = Command::new("mount").args(["-o", options]).arg(self.path()).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Its folder goes with the test's end either way.
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

/// How it answers a request: the head of the request and its body to all bytes of the answer; None for no answer at all, with the
/// connection held open.
type Answer = dyn Fn(&str, &[u8]) -> Option<Vec<u8>> + Send + Sync;

/// A server on the loopback that answers each request on a connection of its own.
pub(super) struct Collector {
    pub(super) url: String,
    inner: Arc<Inner>,
    thread: Option<JoinHandle<()>>,
}

struct Inner {
    answer: Mutex<Arc<Answer>>,
    batches: Mutex<Vec<Vec<u8>>>,
    /// Connections without an answer.
    held: Mutex<Vec<TcpStream>>,
    over: AtomicBool,
}

impl Collector {
    pub(super) fn new(answer: impl Fn(&str, &[u8]) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner {
            answer: Mutex::new(Arc::new(answer)),
            batches: Mutex::default(),
            held: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let serving = Arc::clone(&inner);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.over.load(Ordering::SeqCst) {
                    break;
                }
                serving.serve(stream.unwrap());
            }
        });
        Self { url, inner, thread: Some(thread) }
    }

    /// One that counts every report.
    pub(super) fn counting() -> Self {
        Self::new(|_, body| Some(receipt(body)))
    }

    /// Answers otherwise from now on.
    pub(super) fn answers(&self, answer: impl Fn(&str, &[u8]) -> Option<Vec<u8>> + Send + Sync + 'static) {
        *self.inner.answer.lock().unwrap() = Arc::new(answer);
    }

    /// The bodies that were posted.
    pub(super) fn batches(&self) -> Vec<Vec<u8>> {
        self.inner.batches.lock().unwrap().clone()
    }

    /// Whether a request waits for an answer that it will not get.
    pub(super) fn holds_one(&self) -> bool {
        !self.inner.held.lock().unwrap().is_empty()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.inner.over.store(true, Ordering::SeqCst);
        self.inner.held.lock().unwrap().clear();
        let _ = TcpStream::connect(self.url.trim_start_matches("http://"));
        self.thread.take().unwrap().join().unwrap();
    }
}

impl Inner {
    fn serve(&self, mut stream: TcpStream) {
        let Some((head, body)) = request(&mut stream) else { return };
        if head.starts_with("POST") {
            self.batches.lock().unwrap().push(body.clone());
        }
        let answer = Arc::clone(&self.answer.lock().unwrap());
        match answer(&head, &body) {
            Some(bytes) => {
                // A client that has seen enough is gone.
                let _ = stream.write_all(&bytes);
                let _ = stream.shutdown(Shutdown::Write);
                let _ = stream.read(&mut [0]);
            }
            None => self.held.lock().unwrap().push(stream),
        }
    }
}

/// The head and the body of a request; None if it breaks off.
fn request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = std::vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// An answer with this status line, further header lines, and this body.
pub(super) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// What a collector says that counts every report of a batch.
pub(super) fn receipt(batch: &[u8]) -> Vec<u8> {
    let reports = Batch::parse(batch).unwrap().report_count();
    let body = format!(r#"{{"status":"accepted","reports":{reports},"refused":{{}}}}"#);
    answer("200 OK", "content-type: application/json\r\n", body.as_bytes())
}
