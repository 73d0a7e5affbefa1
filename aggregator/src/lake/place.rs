//! Where a lake lies: a folder, or a bucket of S3.

use std::fmt;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error as StorageError, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};
use tokio::runtime::Handle;

use super::LakeError;
use super::connect::Connector;

/// The bytes of a part of an upload; S3 takes no less than 5 MiB but for the last. A file of one part is put at once. Tests
/// have small files.
const PART_BYTES: usize = if cfg!(test) { 4 << 10 } else { 8 << 20 };

/// What becomes of a folder that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// It is made.
    Make,
    /// It is an error.
    Refuse,
}

/// The objects of a lake. Calls wait for the storage, and so belong on a thread that may wait.
#[derive(Clone)]
pub(super) struct Place {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    /// As it is told to people and kept in the store.
    url: String,
    /// The folder, for what only a folder needs.
    folder: Option<PathBuf>,
    runtime: Handle,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({})", self.url)
    }
}

impl Place {
    /// Finds the place that is named by a path, or by a URL of the scheme `file` or `s3`.
    pub(super) fn open(place: &str, absent: Absent, runtime: Handle) -> Result<Self, LakeError> {
        match place.split_once("://") {
            None => Self::folder(FilePath::new(place), absent, runtime),
            Some(("file", path)) if path.starts_with('/') => {
                Self::folder(FilePath::new(path), absent, runtime)
            }
            Some(("s3", rest)) if !rest.contains(['@', '?', '#']) => Self::bucket(place, rest, runtime),
            Some(_) => Err(LakeError::Place { place: without_secrets(place) }),
        }
    }

    fn folder(folder: &FilePath, absent: Absent, runtime: Handle) -> Result<Self, LakeError> {
        let failed = |source| LakeError::Folder { folder: folder.display().to_string(), source };
        if absent == Absent::Make {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let folder = folder.canonicalize().map_err(failed)?;
        let url = format!("file://{}", folder.display());
        let objects = LocalFileSystem::new_with_prefix(&folder)
            .map_err(|source| LakeError::Storage { object: url.clone(), source: Box::new(source) })?
            .with_fsync(true);
        Ok(Self { objects: Arc::new(objects), prefix: Path::default(), url, folder: Some(folder), runtime })
    }

    fn bucket(url: &str, rest: &str, runtime: Handle) -> Result<Self, LakeError> {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let url = url.trim_end_matches('/').to_owned();
        let prefix = Path::parse(prefix).map_err(|_| LakeError::Place { place: url.clone() })?;
        let objects = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_http_connector(Connector)
            .build()
            .map_err(|source| LakeError::Storage { object: url.clone(), source: Box::new(source) })?;
        Ok(Self { objects: Arc::new(objects), prefix, url, folder: None, runtime })
    }

    /// The objects of a test's own.
    #[cfg(test)]
    pub(super) fn on(objects: Arc<dyn ObjectStore>, runtime: Handle) -> Self {
        Self { objects, prefix: Path::default(), url: "memory://test".to_owned(), folder: None, runtime }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// How an object is called in messages.
    pub(super) fn name(&self, path: &Path) -> String {
        format!("{}/{path}", self.url)
    }

    /// The bytes of an object; none if it is not there.
    pub(super) fn size(&self, path: &Path) -> Result<Option<u64>, LakeError> {
        match self.runtime.block_on(self.objects.head(&self.at(path))) {
            Ok(found) => Ok(Some(found.size)),
            Err(StorageError::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.failed(path, source)),
        }
    }

    pub(super) fn read(&self, path: &Path, range: Range<u64>) -> Result<Bytes, LakeError> {
        let expected = range.end - range.start;
        let bytes = self
            .runtime
            .block_on(self.objects.get_range(&self.at(path), range))
            .map_err(|source| self.failed(path, source))?;
        if bytes.len() as u64 != expected {
            let what = format!("it gave {} bytes where {expected} were asked for", bytes.len());
            return Err(LakeError::Damaged { object: self.name(path), what });
        }
        Ok(bytes)
    }

    /// Removes an object; that it is not there is no error.
    pub(super) fn delete(&self, path: &Path) -> Result<(), LakeError> {
        match self.runtime.block_on(self.objects.delete(&self.at(path))) {
            Ok(()) | Err(StorageError::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.failed(path, source)),
        }
    }

    /// Every object below a folder.
    pub(super) fn list(&self, folder: &Path) -> Result<Vec<Path>, LakeError> {
        let (mut found, mut folders) = (Vec::new(), vec![self.at(folder)]);
        while let Some(next) = folders.pop() {
            let listed = self
                .runtime
                .block_on(self.objects.list_with_delimiter(Some(&next)))
                .map_err(|source| self.failed(folder, source))?;
            folders.extend(listed.common_prefixes);
            let own = |path: Path| path.prefix_match(&self.prefix).map(Path::from_iter);
            found.extend(listed.objects.into_iter().filter_map(|object| own(object.location)));
        }
        found.sort();
        Ok(found)
    }

    /// Begins an object, which appears when it is whole.
    pub(super) fn create(&self, path: &Path) -> Upload<'_> {
        Upload { place: self, path: self.at(path), part: Vec::new(), parts: None }
    }

    /// Removes what uploads that were cut off have left in a folder. S3 keeps such parts unseen until its own rules
    /// remove them.
    pub(super) fn sweep(&self, folder: &Path) -> Result<(), LakeError> {
        let Some(root) = &self.folder else { return Ok(()) };
        let dir = root.join(folder.as_ref());
        let failed = |source| LakeError::Folder { folder: dir.display().to_string(), source };
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            // What object_store calls a file until it is whole.
            if path.to_string_lossy().rsplit_once(".parquet#").is_some() {
                fs::remove_file(&path).map_err(failed)?;
            }
        }
        Ok(())
    }

    fn at(&self, path: &Path) -> Path {
        self.prefix.parts().chain(path.parts()).collect()
    }

    fn failed(&self, path: &Path, source: StorageError) -> LakeError {
        LakeError::Storage { object: self.name(path), source: Box::new(source) }
    }
}

/// A place as it may be told: what stands before an `@`, and any query, could be secret.
fn without_secrets(place: &str) -> String {
    let (scheme, rest) = place.split_once("://").unwrap_or(("", place));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let rest = rest.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{rest}")
}

/// An object on its way. What is not finished never appears.
pub(super) struct Upload<'a> {
    place: &'a Place,
    path: Path,
    part: Vec<u8>,
    parts: Option<Box<dyn MultipartUpload>>,
}

impl Upload<'_> {
    /// Makes the object appear, durable.
    pub(super) fn finish(mut self) -> Result<(), LakeError> {
        self.complete().map_err(|source| {
            let object = format!("{} at {}", self.path, self.place.url);
            LakeError::Storage { object, source: Box::new(source) }
        })
    }

    fn complete(&mut self) -> Result<(), StorageError> {
        let rest = PutPayload::from(std::mem::take(&mut self.part));
        let Some(parts) = &mut self.parts else {
            return self.place.runtime.block_on(self.place.objects.put(&self.path, rest)).map(drop);
        };
        if rest.content_length() > 0 {
            self.place.runtime.block_on(parts.put_part(rest))?;
        }
        self.place.runtime.block_on(parts.complete())?;
        self.parts = None;
        Ok(())
    }

    fn send(&mut self) -> Result<(), StorageError> {
        let part = PutPayload::from(std::mem::take(&mut self.part));
        let parts = match &mut self.parts {
            Some(parts) => parts,
            none => none.insert(self.place.runtime.block_on(self.place.objects.put_multipart(&self.path))?),
        };
        self.place.runtime.block_on(parts.put_part(part))
    }
}

impl Drop for Upload<'_> {
    /// Gives up what was not finished. What cannot be removed now is removed by [`Place::sweep`], or by the rules of S3.
    fn drop(&mut self) {
        if let Some(mut parts) = self.parts.take() {
            let _ = self.place.runtime.block_on(parts.abort());
        }
    }
}

impl io::Write for Upload<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PART_BYTES - self.part.len());
        self.part.extend_from_slice(&bytes[..taken]);
        if self.part.len() == PART_BYTES {
            self.send().map_err(io::Error::other)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
