//! A folder on a disk: the few operations that a state needs of a file system, and whose folder it is.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::prelude::v1::*;
use std::time::SystemTime;

use super::folder::FolderError;

/// The file whose lock says that a process uses the folder. It holds that process's id.
pub(super) const LOCK: &str = "lock";

/// The most bytes that are read of a file. A state is far smaller: what is larger is none.
pub(super) const MAX_FILE_BYTES: u64 = 16 << 20;

/// What a state needs of a file system. Tests put one in its place that fails when told.
pub(super) trait Files {
    /// The whole file, if there is one of at most [`MAX_FILE_BYTES`].
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;
    /// When a file was written.
    fn modified(&self, name: &str) -> io::Result<SystemTime>;
    /// Writes a file anew, so that its bytes survive a crash of the machine. Its name may not.
    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Gives a file another name, at once and in place of what had it. Without such a file nothing changes.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file, if there is one.
    fn remove(&mut self, name: &str) -> io::Result<()>;
    /// Makes the names survive a crash of the machine.
    fn sync(&mut self) -> io::Result<()>;
}

/// A folder that this process has for itself. Nobody but its user reads the files in it.
#[derive(Debug)]
pub(super) struct Disk {
    path: PathBuf,
    _lock: Lock,
}

/// A locked file. The lock ends with the process, however that ends.
#[derive(Debug)]
struct Lock {
    file: File,
    /// Who took it.
    process: u32,
}

impl Drop for Lock {
    /// Gives the lock back, also where a program that was just begun holds a copy of the file for a moment. A copy of this
    /// process has no say in it.
    fn drop(&mut self) {
        if std::process::id() == self.process {
            let _ = self.file.unlock();
        }
    }
}

impl Disk {
    /// Makes the folder if there is none, and takes it for this process.
    pub(super) fn open(path: &Path) -> Result<Self, FolderError> {
        let unusable = |source| FolderError::of_open(path, source);
        make(path).map_err(unusable)?;
        let marked = path.join(LOCK).try_exists().map_err(unusable)?;
        if !marked && let Some(found) = any_name(path).map_err(unusable)? {
            return Err(FolderError::Foreign { path: path.to_owned(), found });
        }
        let lock = Lock { file: take(path)?, process: std::process::id() };
        let ours = owner::check(path).and_then(|()| owner::tighten(path).map_err(unusable));
        if ours.is_err() && !marked {
            // Nothing is left in what belongs to another.
            let _ = fs::remove_file(path.join(LOCK));
        }
        ours.map(|()| Self { path: path.to_owned(), _lock: lock })
    }
}

/// Makes the folder, and those above it.
fn make(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// A name in the folder, if it holds anything.
fn any_name(path: &Path) -> io::Result<Option<String>> {
    let first = fs::read_dir(path)?.next().transpose()?;
    Ok(first.map(|entry| entry.file_name().to_string_lossy().into_owned()))
}

/// Takes the lock, and leaves this process's id for who finds it taken.
fn take(path: &Path) -> Result<File, FolderError> {
    let unusable = |source| FolderError::of_open(path, source);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    private(&mut options);
    let mut file = options.open(path.join(LOCK)).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Where a lock forbids to read, the id stays unknown.
            let _ = (&mut file).take(16).read_to_string(&mut holder);
            return Err(FolderError::InUse { path: path.to_owned(), process: holder.trim().parse().ok() });
        }
        Err(TryLockError::Error(source)) => {
            return Err(FolderError::NoLocks { path: path.to_owned(), source });
        }
    }
    // The id is for people. A folder that takes no more bytes says so at the first commit.
    let _ =
        file.set_len(0).and_then(|()| file.write_all(std::format!("{}\n", std::process::id()).as_bytes()));
    Ok(file)
}

/// Only this user reads the file.
fn private(options: &mut OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    #[cfg(not(unix))]
    let _ = options;
}

impl Files for Disk {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.path.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        // Room for all of it, so that growing leaves no copy of a secret behind.
        let size = file.metadata()?.len().min(MAX_FILE_BYTES) as usize;
        let mut bytes = Vec::with_capacity(size + 1);
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is too large to be a state"));
        }
        Ok(Some(bytes))
    }

    fn modified(&self, name: &str) -> io::Result<SystemTime> {
        fs::metadata(self.path.join(name))?.modified()
    }

    fn write(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        private(&mut options);
        let mut file = options.open(self.path.join(name))?;
        file.write_all(bytes)?;
        file.sync_all()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        absent_is_fine(fs::rename(self.path.join(from), self.path.join(to)))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        absent_is_fine(fs::remove_file(self.path.join(name)))
    }

    fn sync(&mut self) -> io::Result<()> {
        // Elsewhere a folder cannot be opened, and a rename is durable by the file system's own log.
        #[cfg(unix)]
        File::open(&self.path)?.sync_all()?;
        Ok(())
    }
}

fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Whose files these are. The user that this process acts for is that of a file which it makes, and needs no system call
/// that Rust's library lacks.
#[cfg(unix)]
mod owner {
    use std::fs::{self, OpenOptions, Permissions};
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
    use std::path::Path;
    use std::prelude::v1::*;
    use std::{io, iter};

    use super::super::folder::{FolderError, NAMES, PROBE};

    /// Refuses a folder or a file in it that is another user's.
    pub(super) fn check(folder: &Path) -> Result<(), FolderError> {
        let unusable = |source| FolderError::of_open(folder, source);
        let ours = probe(folder).map_err(unusable)?;
        let files = NAMES.iter().map(|name| folder.join(name));
        for path in iter::once(folder.to_owned()).chain(files) {
            match fs::metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Ok(found) if found.uid() == ours => {}
                Ok(found) => return Err(FolderError::NotOurs { path, owner: found.uid(), user: ours }),
                Err(error) => return Err(unusable(error)),
            }
        }
        Ok(())
    }

    /// Makes a file and sees whose it is.
    fn probe(folder: &Path) -> io::Result<u32> {
        let probe = folder.join(PROBE);
        super::absent_is_fine(fs::remove_file(&probe))?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&probe)?;
        let user = file.metadata()?.uid();
        fs::remove_file(&probe)?;
        Ok(user)
    }

    /// Takes from everybody else what they may do in the folder.
    pub(super) fn tighten(folder: &Path) -> io::Result<()> {
        let mode = fs::metadata(folder)?.mode();
        if mode & 0o077 == 0 {
            return Ok(());
        }
        fs::set_permissions(folder, Permissions::from_mode(mode & 0o700))
    }
}

/// Where files have no owner by number, the folder's own access list decides.
#[cfg(not(unix))]
mod owner {
    use std::io;
    use std::path::Path;

    use super::super::folder::FolderError;

    pub(super) fn check(_: &Path) -> Result<(), FolderError> {
        Ok(())
    }

    pub(super) fn tighten(_: &Path) -> io::Result<()> {
        Ok(())
    }
}
