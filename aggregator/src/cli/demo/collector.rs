//! The demo's collector: a process of its own, started anew on the same store if it dies.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How often a batch is offered before the demo gives up. The collector starts again in well under a second.
const ATTEMPTS: u32 = 60;
/// The wait between two offers.
const PAUSE: Duration = Duration::from_millis(50);
/// A loopback answer that takes longer than this is not coming.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A running `deniable serve`, and what is needed to start it again.
pub(crate) struct Collector {
    store: PathBuf,
    metrics: PathBuf,
    process: Mutex<Running>,
    agent: ureq::Agent,
}

struct Running {
    child: Child,
    /// Kept open, so that the collector can go on writing to it.
    _stdout: BufReader<ChildStdout>,
    /// Where reports go.
    url: String,
    restarts: usize,
}

impl Collector {
    /// Starts a collector on a free loopback port.
    pub(crate) fn start(store: &Path, metrics: &Path) -> Result<Self> {
        let running = spawn(store, metrics)?;
        Ok(Self {
            store: store.into(),
            metrics: metrics.into(),
            process: Mutex::new(running),
            agent: ureq::Agent::config_builder()
                .timeout_global(Some(TIMEOUT))
                .http_status_as_error(false)
                .build()
                .into(),
        })
    }

    fn process(&self) -> MutexGuard<'_, Running> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where reports go. A collector that is started again has another address, as its own may be taken meanwhile.
    pub(crate) fn url(&self) -> String {
        self.process().url.clone()
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process().child.id()
    }

    /// Posts a batch until it is acknowledged. The batch id makes the collector count it once.
    pub(crate) fn post(&self, batch: &[u8]) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let posted = self.agent.post(self.url()).content_type("application/octet-stream").send(batch);
            match posted {
                Ok(response) if response.status().is_success() => return Ok(()),
                Ok(response) if response.status() != 503 => {
                    bail!("the collector refused a batch: {}", response.into_body().read_to_string()?)
                }
                Ok(_busy) => {}
                Err(_broken) => self.revive()?,
            }
            std::thread::sleep(PAUSE);
        }
        bail!("the collector at {} did not acknowledge a batch in {ATTEMPTS} attempts", self.url())
    }

    /// Starts the collector again if it has died.
    fn revive(&self) -> Result<()> {
        let mut process = self.process();
        if process.child.try_wait()?.is_some() {
            *process = Running { restarts: process.restarts + 1, ..spawn(&self.store, &self.metrics)? };
        }
        Ok(())
    }

    /// Ends the collector without warning, as a power cut would, and says how often it had to be started again before.
    pub(crate) fn kill(self) -> Result<usize> {
        let mut process = self.process();
        process.child.kill()?;
        process.child.wait()?;
        Ok(process.restarts)
    }
}

impl Drop for Collector {
    /// An aborted demo leaves no collector behind.
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap_or_else(PoisonError::into_inner);
        // It may have ended already, which is what is wanted.
        let _ = process.child.kill();
        let _ = process.child.wait();
    }
}

/// Starts `deniable serve` on a free loopback port and waits until it says where it listens.
fn spawn(store: &Path, metrics: &Path) -> Result<Running> {
    let mut command = Command::new(std::env::current_exe().context("the demo's own program")?);
    // Settings of a collector of the user's own are not meant for this one, whose settings nobody wants to read.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DENIABLE_")) {
        command.env_remove(name);
    }
    if std::env::var_os("RUST_LOG").is_none() {
        command.env("RUST_LOG", "warn");
    }
    let mut child = command
        .arg("serve")
        .args(["--listen", "127.0.0.1:0"])
        .args(["--store".as_ref(), store.as_os_str(), "--metrics".as_ref(), metrics.as_os_str()])
        .stdout(Stdio::piped())
        .spawn()
        .context("the demo could not start a collector")?;
    let mut stdout = BufReader::new(child.stdout.take().expect("standard output is piped"));
    let mut line = String::new();
    stdout.read_line(&mut line)?;
    match line.trim().strip_prefix("listening on http://") {
        Some(address) => {
            let url = format!("http://{address}/v1/reports");
            Ok(Running { child, _stdout: stdout, url, restarts: 0 })
        }
        None => {
            child.kill()?;
            child.wait()?;
            bail!("the collector did not start; what it said is above")
        }
    }
}
