//! Where a command writes: standard output, or a file that appears only when it is whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A place to write to. A file is written beside its name and takes it in [`Output::finish`]; without that nothing is
/// left behind.
pub(crate) struct Output {
    out: Box<dyn Write>,
    file: Option<Unfinished>,
}

struct Unfinished {
    partial: PathBuf,
    path: PathBuf,
}

impl Output {
    /// Opens the file `path`, or standard output if there is none.
    pub(crate) fn to(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else {
            return Ok(Self { out: Box::new(BufWriter::new(io::stdout().lock())), file: None });
        };
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file =
            File::create(&partial).with_context(|| format!("{} cannot be written", partial.display()))?;
        let file = Self {
            out: Box::new(BufWriter::new(file)),
            file: Some(Unfinished { partial, path: path.to_owned() }),
        };
        Ok(file)
    }

    /// Writes what is left and gives a file its name.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.out.flush()?;
        if let Some(file) = &self.file {
            fs::rename(&file.partial, &file.path)
                .with_context(|| format!("{} cannot be written", file.path.display()))?;
        }
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After the file took its name there is nothing to remove.
        let _ = fs::remove_file(&self.partial);
    }
}
