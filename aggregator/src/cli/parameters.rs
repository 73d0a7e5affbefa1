//! The parameters that a command is given, as a file or in words.

use std::path::Path;

use anyhow::{Context, Result, bail};
use deniable::Params;
use deniable_aggregator::map_file::Hashing;
use deniable_aggregator::rappor_files;

/// Reads `path`: google/rappor's `k,h,m,p,q,f` if its name ends in .csv, else our parameters as TOML, or as JSON if it
/// ends in .json. Also says whose hash functions they go with.
pub(crate) fn read(path: &Path) -> Result<(Params, Hashing)> {
    let kind = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    if kind == "csv" {
        return Ok((rappor_files::read_params(path)?, Hashing::Rappor));
    }
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("{name} cannot be read"))?;
    let params = match kind {
        "json" => serde_json::from_str(&text).with_context(|| format!("{name} holds no parameters"))?,
        _ => toml::from_str(&text).with_context(|| format!("{name} holds no parameters"))?,
    };
    Ok((params, Hashing::Deniable))
}

/// Takes `text` for the name of a file of parameters if it ends like one, for parameters as JSON, or for google/rappor's
/// k,h,m,f,p,q.
pub(crate) fn parse(text: &str) -> Result<Params> {
    if [".csv", ".json", ".toml"].iter().any(|kind| text.ends_with(kind)) {
        return Ok(read(Path::new(text))?.0);
    }
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).context("these are no parameters");
    }
    let numbers: Vec<&str> = text.split(',').map(str::trim).collect();
    let [k, h, m, f, p, q] = numbers[..] else {
        bail!(
            "{text:?} is no file of parameters (.toml, .json or .csv), no JSON, as in '{{\"encoding\":\"direct\",…}}', and not the six numbers k,h,m,f,p,q; for a metric, give its file with --metrics"
        );
    };
    let whole = |name: &str, text: &str| {
        text.parse::<usize>().with_context(|| format!("{name} is {text:?}, not a whole number"))
    };
    let share = |name: &str, text: &str| {
        text.parse::<f64>().with_context(|| format!("{name} is {text:?}, not a number"))
    };
    let (k, h, m) = (whole("k", k)?, whole("h", h)?, whole("m", m)?);
    Ok(Params::rappor(k, h, m, share("f", f)?, share("p", p)?, share("q", q)?)?)
}
