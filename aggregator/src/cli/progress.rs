//! Progress of long work: a bar on a terminal, and a line for each tenth of the way elsewhere.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Counts up to a known total, on standard error. It may be shared between threads.
pub(crate) struct Progress {
    what: &'static str,
    total: u64,
    done: AtomicU64,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Starts at 0 of `total`; `what` says what is counted, in the plural.
    pub(crate) fn new(what: &'static str, total: u64) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len} {msg}, {eta} left")
                    .expect("the template is well-formed");
            ProgressBar::new(total).with_style(style).with_message(what)
        });
        Self { what, total, done: AtomicU64::new(0), bar }
    }

    /// Counts `steps` more.
    #[allow(clippy::print_stderr, reason = "progress is for the person who waits")]
    pub(crate) fn advance(&self, steps: u64) {
        if let Some(bar) = &self.bar {
            return bar.inc(steps);
        }
        let before = self.done.fetch_add(steps, Ordering::Relaxed);
        let tenth = |done: u64| done * 10 / self.total.max(1);
        if tenth(before + steps) > tenth(before) {
            eprintln!("{} of {} {}", before + steps, self.total, self.what);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Shows on a terminal that work of unknown length goes on; elsewhere nothing.
pub(crate) struct Busy(Option<ProgressBar>);

impl Busy {
    /// Starts; `what` says what is done.
    pub(crate) fn new(what: &'static str) -> Self {
        Self(stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_message(what);
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        }))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
