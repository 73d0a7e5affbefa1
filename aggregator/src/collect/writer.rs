//! The writer: one thread that commits what many connections bring, as many at a time as have come.
//!
//! While one commit is on its way to the disk, the next batches gather; then they share one commit. When nobody
//! waits, a batch is committed at once.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};

use super::clock::Window;
use super::memory::Held;
use super::metrics::{ProjectMetrics, Waiting};
use crate::store::{Accepted, Outcome, Store, StoreError};

/// The most batches in one commit, so that the first of them does not wait for long.
const GROUP_BATCHES: usize = 4096;

/// A batch that waits, and who waits for it.
struct Job {
    batch: Accepted,
    answer: oneshot::Sender<Outcome>,
    memory: Held,
    waiting: Waiting,
}

/// What the writer is told.
enum Message {
    Commit(Job),
    /// Close the epochs whose time is over, though no batch comes.
    Close,
    Stop,
}

/// When a batch was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Committed {
    /// By this commit.
    Now,
    /// When it came first.
    Before,
}

/// The way to the writer.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    messages: mpsc::UnboundedSender<Message>,
    metrics: ProjectMetrics,
    failed: watch::Receiver<bool>,
}

/// The running writer.
#[derive(Debug)]
pub(super) struct Running {
    thread: thread::JoinHandle<Result<(), StoreError>>,
    messages: mpsc::UnboundedSender<Message>,
}

impl Writer {
    /// Starts a writer on `store`, which closes the epochs that leave `window`.
    ///
    /// # Errors
    /// [`WriterError::Thread`] if the system gives no thread.
    pub(super) fn start(
        store: Arc<dyn Store>,
        window: Window,
        metrics: ProjectMetrics,
    ) -> Result<(Self, Running), WriterError> {
        Self::start_with(metrics.clone(), move |batches| {
            let began = Instant::now();
            let outcomes = commit(&*store, &window, batches)?;
            metrics.committed(began.elapsed());
            Ok(outcomes)
        })
    }

    fn start_with(
        metrics: ProjectMetrics,
        commit: impl FnMut(&[Accepted]) -> Result<Vec<Outcome>, StoreError> + Send + 'static,
    ) -> Result<(Self, Running), WriterError> {
        let (messages, waiting) = mpsc::unbounded_channel();
        let (fail, failed) = watch::channel(false);
        let thread = thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || {
                let result = write(waiting, commit);
                if result.is_err() {
                    fail.send_replace(true);
                }
                result
            })
            .map_err(|source| WriterError::Thread { source })?;
        let running = Running { thread, messages: messages.clone() };
        Ok((Self { messages, metrics, failed }, running))
    }

    /// Has a batch committed, and returns when it is durable. The `memory` that it holds is given back then.
    ///
    /// # Errors
    /// [`WriterError::Closed`] if an epoch of the batch was closed since it was checked, so nothing is counted;
    /// [`WriterError::Stopped`] if the store failed before or while it was committed, so it may or may not be counted.
    pub(super) async fn commit(&self, batch: Accepted, memory: Held) -> Result<Committed, WriterError> {
        let (answer, outcome) = oneshot::channel();
        let job = Job { batch, answer, memory, waiting: self.metrics.wait() };
        self.messages.send(Message::Commit(job)).map_err(|_| WriterError::Stopped)?;
        match outcome.await.map_err(|_| WriterError::Stopped)? {
            Outcome::Counted => Ok(Committed::Now),
            Outcome::Duplicate => Ok(Committed::Before),
            Outcome::Closed => Err(WriterError::Closed),
        }
    }

    /// Has the epochs closed whose time is over, though no batch comes.
    pub(super) fn close(&self) {
        // A writer that has ended closes nothing more.
        let _ = self.messages.send(Message::Close);
    }

    /// Says whether the writer takes batches.
    pub(super) fn is_running(&self) -> bool {
        !self.messages.is_closed()
    }

    /// Waits until the store has failed; for ever if it does not.
    pub(super) async fn failed(&self) {
        let waited = self.failed.clone().wait_for(|failed| *failed).await.is_ok();
        if !waited {
            std::future::pending::<()>().await;
        }
    }
}

impl Running {
    /// Lets the writer commit all it took and no more, and waits until it has closed the store.
    ///
    /// # Errors
    /// [`WriterError::Store`] if the store failed.
    pub(super) async fn finish(self) -> Result<(), WriterError> {
        // A writer that has ended already needs no telling.
        let _ = self.messages.send(Message::Stop);
        let joined = tokio::task::spawn_blocking(|| self.thread.join()).await;
        match joined {
            Ok(Ok(result)) => Ok(result?),
            _ => Err(WriterError::Stopped),
        }
    }
}

fn write(
    mut waiting: mpsc::UnboundedReceiver<Message>,
    mut commit: impl FnMut(&[Accepted]) -> Result<Vec<Outcome>, StoreError>,
) -> Result<(), StoreError> {
    let mut group = Vec::new();
    while waiting.blocking_recv_many(&mut group, GROUP_BATCHES) > 0 {
        let (mut batches, mut answers, mut close) = (Vec::new(), Vec::new(), false);
        for message in group.drain(..) {
            match message {
                Message::Commit(job) => {
                    batches.push(job.batch);
                    answers.push((job.answer, job.memory, job.waiting));
                }
                Message::Close => close = true,
                // What was sent before is still received.
                Message::Stop => waiting.close(),
            }
        }
        if batches.is_empty() && !close {
            continue;
        }
        let outcomes = commit(&batches)?;
        for ((answer, memory, waiting), outcome) in answers.into_iter().zip(outcomes) {
            drop((memory, waiting));
            // Who asked may be gone; the batch is counted all the same.
            let _ = answer.send(outcome);
        }
    }
    Ok(())
}

fn commit(store: &dyn Store, window: &Window, batches: &[Accepted]) -> Result<Vec<Outcome>, StoreError> {
    let outcomes = store.commit(batches, window.oldest()).inspect_err(|error| {
        tracing::error!(%error, cause = ?error, "the store failed: no further batch is taken");
    })?;
    let reports: usize = batches.iter().map(Accepted::report_count).sum();
    tracing::debug!(batches = batches.len(), reports, "committed");
    Ok(outcomes)
}

/// A batch that was not committed, or a writer that is no more.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriterError {
    /// An epoch was closed in the meantime.
    #[error("an epoch of this batch was closed just now: send it again, for the rest to be counted")]
    Closed,
    /// The writer has ended.
    #[error("the store has stopped: send this batch again later, under the same id")]
    Stopped,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system gave no thread.
    #[error("the system gave no thread to write with")]
    Thread {
        /// What the system said.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::mpsc as blocking;

    use deniable::{
        Batch, BatchId, DeviceSecret, Encoder, Epoch, Randomness, SystemEntropy, Value, WriteKey, write_batch,
    };

    use super::*;
    use crate::catalog::Catalog;
    use crate::collect::project::ProjectName;
    use crate::store::{Registries, Terms};

    fn accepted() -> Accepted {
        let catalog = Catalog::parse(
            "[metrics.a]\nversion = 1\nquestion = \"?\"\nreport = { encoding = \"unary\", bits = 4, instantaneous = { zero = 0.25, one = 0.5 } }",
        )
        .unwrap();
        let definition = catalog.definitions().next().unwrap();
        let secret = DeviceSecret::draw(&mut SystemEntropy).unwrap();
        let metric = definition.stream().metric().clone();
        let encoder = Encoder::new(metric, 1, *definition.params(), &secret);
        let mut randomness = Randomness::from_system().unwrap();
        let report = encoder.encode(Value::Choice(0), Epoch(1), &mut randomness).unwrap();
        let body = write_batch(WriteKey::NONE, BatchId([0; 16]), &[report]).unwrap();
        let registries = Registries::default();
        let open = Epoch(1)..=Epoch(1);
        let terms = Terms { catalog: &catalog, registries: &registries, open, source: "" };
        Accepted::check(&Batch::parse(&body).unwrap(), &terms).accepted
    }

    fn metrics() -> ProjectMetrics {
        ProjectMetrics::new(&ProjectName::sole())
    }

    /// A writer whose commits tell their size and then wait for a word.
    fn held_writer() -> (Writer, Running, blocking::Receiver<usize>, blocking::Sender<()>) {
        let (told, sizes) = blocking::channel();
        let (go, word) = blocking::channel();
        let (writer, running) = Writer::start_with(metrics(), move |batches| {
            told.send(batches.len()).unwrap();
            word.recv().unwrap();
            Ok(vec![Outcome::Counted; batches.len()])
        })
        .unwrap();
        (writer, running, sizes, go)
    }

    #[tokio::test]
    async fn a_batch_is_committed_at_once_and_those_that_wait_meanwhile_share_the_next_commit() {
        let (writer, running, sizes, go) = held_writer();
        let first = writer.commit(accepted(), Held::default());
        tokio::pin!(first);
        // A commit sends its batch when it is first asked for its result.
        assert!(ask(&mut first).await.is_none());
        assert_eq!(sizes.recv().unwrap(), 1);
        let mut others: Vec<_> =
            (0..50).map(|_| Box::pin(writer.commit(accepted(), Held::default()))).collect();
        for other in &mut others {
            assert!(ask(other).await.is_none());
        }
        go.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Committed::Now);
        assert_eq!(sizes.recv().unwrap(), 50);
        go.send(()).unwrap();
        for other in others {
            assert_eq!(other.await.unwrap(), Committed::Now);
        }
        running.finish().await.unwrap();
        assert!(sizes.try_recv().is_err(), "there was a third commit");
    }

    #[tokio::test]
    async fn after_a_failed_commit_nothing_is_called_a_success() {
        let dir = PathBuf::from("gone");
        let (writer, running) =
            Writer::start_with(metrics(), move |_| Err(StoreError::NoStore { dir: dir.clone() })).unwrap();
        assert!(matches!(writer.commit(accepted(), Held::default()).await, Err(WriterError::Stopped)));
        writer.failed().await;
        assert!(!writer.is_running());
        assert!(matches!(writer.commit(accepted(), Held::default()).await, Err(WriterError::Stopped)));
        assert!(matches!(running.finish().await, Err(WriterError::Store(_))));
    }

    #[tokio::test]
    async fn a_writer_that_is_told_to_finish_commits_what_it_took() {
        let (writer, running, sizes, go) = held_writer();
        let mut taken: Vec<_> =
            (0..5).map(|_| Box::pin(writer.commit(accepted(), Held::default()))).collect();
        for batch in &mut taken {
            assert!(ask(batch).await.is_none());
        }
        (0..5).for_each(|_| go.send(()).unwrap());
        running.finish().await.unwrap();
        assert_eq!(sizes.try_iter().sum::<usize>(), 5);
        for batch in taken {
            assert_eq!(batch.await.unwrap(), Committed::Now);
        }
        assert!(matches!(writer.commit(accepted(), Held::default()).await, Err(WriterError::Stopped)));
    }

    #[tokio::test]
    async fn epochs_are_closed_though_no_batch_comes() {
        let (writer, running, sizes, go) = held_writer();
        writer.close();
        assert_eq!(sizes.recv().unwrap(), 0);
        go.send(()).unwrap();
        running.finish().await.unwrap();
    }

    /// Asks once whether a result is there.
    async fn ask<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|context| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
