//! `deniable ready`: whether a collector takes batches, for supervisors that run commands.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use deniable_aggregator::collect::ProjectName;

/// A collector that takes longer to answer is not ready.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Asks a running collector whether it takes batches, and fails if it does not.
#[derive(Args)]
pub(crate) struct ReadyArgs {
    /// Where the collector listens
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Ask for one of its projects
    #[arg(long, value_name = "NAME")]
    project: Option<ProjectName>,
}

pub(crate) fn run(args: &ReadyArgs) -> Result<()> {
    let agent =
        ureq::Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).build();
    let mut request = agent.new_agent().get(format!("{}/readyz", args.url.trim_end_matches('/')));
    if let Some(project) = &args.project {
        request = request.query("project", project.as_str());
    }
    let mut answer = request.call().with_context(|| format!("no collector answers at {}", args.url))?;
    let status = answer.status();
    if !status.is_success() {
        let said = answer.body_mut().read_to_string().unwrap_or_default();
        bail!("the collector at {} is not ready: {status} {said}", args.url);
    }
    Ok(writeln!(io::stdout(), "ready")?)
}
