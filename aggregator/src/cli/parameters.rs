//! The parameters that a command is given as a file.

use std::path::Path;

use anyhow::{Context, Result};
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
