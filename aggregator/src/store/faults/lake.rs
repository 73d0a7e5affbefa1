//! Epochs on their way to the lake, while the storage of the lake, or the disk of the store, fails at any step.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_trait::async_trait;
use axum::body::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error as StorageError, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use tokio::runtime::Runtime;

use super::*;
use crate::lake::{Compacted, Content, Kind, Lake, LakeError, Move, Partition, compact};
use crate::store::{Aside, Tags, Verified};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

const METRICS: &str = "[metrics.pick]
version = 1
question = \"?\"
keep_reports = true
report = { encoding = \"unary\", bits = 256, cohorts = 4, instantaneous = { zero = 0.25, one = 0.5 } }";

/// The epochs that have reports; both are closed when the last is open.
const OPEN_FROM: Epoch = Epoch(130);
const BATCHES: u16 = 60;

/// How storage fails when its operations are used up. It is gone from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Storage {
    /// What was asked for is not done.
    Gone,
    /// What was asked for is done, and the answer is lost.
    Mute,
}

/// Objects in memory, behind a storage that works for a number of operations.
#[derive(Clone, Debug)]
struct Objects {
    memory: Arc<InMemory>,
    left: Arc<AtomicU32>,
    storage: Storage,
    /// Keeps half of each object that it is given.
    halves: bool,
}

impl Objects {
    fn new(memory: &Arc<InMemory>, operations: u32, storage: Storage) -> Self {
        let left = Arc::new(AtomicU32::new(operations));
        Self { memory: Arc::clone(memory), left, storage, halves: false }
    }

    /// Says whether the next operation is done, and whether its answer arrives.
    fn spend(&self) -> (bool, bool) {
        let spent = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match spent {
            Ok(1) => (self.storage == Storage::Mute, false),
            Ok(_) => (true, true),
            Err(_) => (false, false),
        }
    }

    async fn attempt<T>(&self, operation: impl Future<Output = Result<T>>) -> Result<T> {
        let (is_done, is_answered) = self.spend();
        let answer = if is_done { operation.await } else { Err(gone()) };
        if is_answered { answer } else { Err(gone()) }
    }

    fn lake(self) -> Lake {
        Lake::on(Arc::new(self), RUNTIME.handle().clone())
    }
}

fn gone() -> StorageError {
    StorageError::Generic { store: "test", source: "the storage is gone".into() }
}

impl fmt::Display for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("objects of a test")
    }
}

#[async_trait]
impl ObjectStore for Objects {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let half = payload.content_length() / 2;
        let payload = if self.halves { Bytes::from(payload).slice(..half).into() } else { payload };
        self.attempt(self.memory.put_opts(path, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.attempt(self.memory.put_multipart_opts(path, options)).await?;
        Ok(Box::new(Parts { objects: self.clone(), upload }))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.attempt(self.memory.get_opts(path, options)).await
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.attempt(self.memory.get_ranges(path, ranges)).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let objects = self.clone();
        paths
            .then(move |path| {
                let objects = objects.clone();
                async move {
                    let path = path?;
                    objects.attempt(objects.memory.delete(&path)).await.map(|()| path)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.spend() {
            (_, true) => self.memory.list(prefix),
            _ => stream::once(async { Err(gone()) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.attempt(self.memory.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.attempt(self.memory.copy_opts(from, to, options)).await
    }
}

/// An upload whose every part may fail.
#[derive(Debug)]
struct Parts {
    objects: Objects,
    upload: Box<dyn MultipartUpload>,
}

#[async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, part: PutPayload) -> UploadPart {
        let (objects, sent) = (self.objects.clone(), self.upload.put_part(part));
        Box::pin(async move { objects.attempt(sent).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.objects.attempt(self.upload.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.objects.attempt(self.upload.abort()).await
    }
}

/// A store with planted batches of several sources and tags, whose epochs are closed.
fn closed_store() -> Vec<u8> {
    let disk = Arc::new(Mutex::new(Disk::of(Vec::new(), u32::MAX, Fault::Full)));
    let store = DiskStore::on(Backend(Arc::clone(&disk))).unwrap();
    let catalog = Catalog::parse(METRICS).unwrap();
    store.declare(&catalog).unwrap();
    let tagged: Tags = [("os", "ios")].into_iter().collect();
    let batches: Vec<_> = (0..BATCHES)
        .map(|n| {
            // Several reports are alike, but for their source and tags.
            let mut batch = planted(n / 4 * 67, &catalog);
            batch.id = BatchId(u128::from(n).to_le_bytes());
            batch.source = ["", "app", "web"][usize::from(n % 3)].into();
            if n % 5 == 0 {
                batch.sections.iter_mut().for_each(|section| section.tags = tagged.to_string().into());
            }
            batch
        })
        .collect();
    store.commit(&batches, Epoch(90)).unwrap();
    store.commit(&[], OPEN_FROM).unwrap();
    drop(store);
    disk.lock().unwrap().written.clone()
}

/// What is told of the reports, in whatever place they are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    by_epoch: BTreeMap<u32, (u64, Vec<u64>)>,
    of_app: u64,
    of_ios: u64,
    kept: BTreeMap<(u32, String, String, u16, Vec<u8>), u64>,
    held: u64,
}

fn tell(store: &DiskStore) -> std::result::Result<Told, StoreError> {
    let pick = MetricId::new("pick").unwrap();
    let all = Selection::all();
    let mut by_epoch = BTreeMap::new();
    for epoch in EPOCHS {
        let counts = store.counts(&pick, 1, &Selection::of_epochs(epoch..=epoch))?;
        by_epoch.insert(
            epoch.0,
            (counts.total(), (0..4).flat_map(|cohort| counts.ones(cohort).to_vec()).collect()),
        );
    }
    let others = ["", "web"].map(|source| Aside::Source { source: source.to_owned() });
    let of_app = Selection::all().without(others.into_iter().collect());
    let mut kept = BTreeMap::new();
    store.each_report(&pick, 1, &all, &mut |place, bits, times| {
        let key =
            (place.epoch.0, place.source.to_owned(), place.tags.to_string(), place.cohort, bits.to_vec());
        *kept.entry(key).or_default() += times;
    })?;
    Ok(Told {
        by_epoch,
        of_app: store.counts(&pick, 1, &of_app)?.total(),
        of_ios: store.counts(&pick, 1, &Selection::all().with_tag("os", "ios"))?.total(),
        kept,
        held: store.holdings(&all)?.iter().map(|holding| holding.reports).sum(),
    })
}

/// The reports and ones of each epoch that lie in the lake, as another program reads them: every object of that kind,
/// whatever the store says.
fn tell_lake(memory: &Arc<InMemory>) -> BTreeMap<u32, (u64, u64)> {
    let mut found = BTreeMap::<u32, (u64, u64)>::new();
    let objects = RUNTIME.block_on(memory.list(Some(&Path::from("counts"))).collect::<Vec<_>>());
    for object in objects {
        let path = object.unwrap().location;
        let epoch = path.parts().find_map(|part| part.as_ref().strip_prefix("epoch=")?.parse().ok()).unwrap();
        let bytes = RUNTIME.block_on(async { memory.get(&path).await?.bytes().await }).unwrap();
        for row in SerializedFileReader::new(bytes).unwrap().get_row_iter(None).unwrap() {
            let row = row.unwrap();
            let ones: u64 = row
                .get_list(4)
                .unwrap()
                .elements()
                .iter()
                .map(|one| one.to_string().parse::<u64>().unwrap())
                .sum();
            let sums = found.entry(epoch).or_default();
            *sums = (sums.0 + row.get_ulong(3).unwrap(), sums.1 + ones);
        }
    }
    found
}

/// Opens what a fault has left, and asks that it tells the same before, during and after the next compaction.
fn recover(image: Vec<u8>, memory: &Arc<InMemory>, expected: &Told) {
    let disk = Arc::new(Mutex::new(Disk::of(image, u32::MAX, Fault::Full)));
    let lake = Objects::new(memory, u32::MAX, Storage::Gone).lake();
    let open = || DiskStore::on(Backend(Arc::clone(&disk))).unwrap().with_lake(lake.clone());
    let store = open();
    assert_eq!(tell(&store).unwrap(), *expected);
    check_lake(memory, expected, 0).unwrap();
    let before = store.moves().unwrap().values().filter(|entry| entry.is_moved()).count() as u64;
    let compacted = compact(&store, &lake).unwrap();
    assert_eq!(compacted.epochs, 2 - before);
    assert_eq!(tell(&store).unwrap(), *expected);
    check_lake(memory, expected, 2).unwrap();
    assert_eq!(compact(&store, &lake).unwrap(), Compacted::default());
    assert_eq!(tell(&store).unwrap(), *expected);
    drop(store);
    let verified = open().verify().unwrap();
    let moved = u64::from(2 * BATCHES);
    assert!(
        matches!(verified, Verified { reports: 0, rows: 0, kept: 0, moved: found, .. } if found == moved),
        "{verified:?}"
    );
}

/// Checks that another program finds each epoch whole in the lake, or not at all, and at least so many.
fn check_lake(memory: &Arc<InMemory>, expected: &Told, least: usize) -> std::result::Result<(), String> {
    let found = tell_lake(memory);
    let whole = |(epoch, sums): (&u32, &(u64, u64))| {
        let (reports, ones) = &expected.by_epoch[epoch];
        *sums == (*reports, ones.iter().sum())
    };
    if found.len() >= least && found.iter().all(whole) { Ok(()) } else { Err(format!("{found:?}")) }
}

fn expected(image: &[u8]) -> Told {
    let disk = Arc::new(Mutex::new(Disk::of(image.to_vec(), u32::MAX, Fault::Full)));
    let told = tell(&DiskStore::on(Backend(disk)).unwrap()).unwrap();
    assert_eq!(told.held, u64::from(2 * BATCHES));
    assert!(told.of_app > 0 && told.of_ios > 0 && told.kept.values().any(|times| *times > 1));
    told
}

#[test]
fn storage_that_fails_at_any_step_loses_no_count_and_repeats_none() {
    let image = closed_store();
    let expected = expected(&image);
    for storage in [Storage::Gone, Storage::Mute] {
        let mut steps = 0;
        for operations in 1.. {
            let memory = Arc::new(InMemory::new());
            let disk = Arc::new(Mutex::new(Disk::of(image.clone(), u32::MAX, Fault::Full)));
            let lake = Objects::new(&memory, operations, storage).lake();
            let store = DiskStore::on(Backend(Arc::clone(&disk))).unwrap();
            let is_whole = compact(&store, &lake).is_ok();
            drop(store);
            let left = disk.lock().unwrap().written.clone();
            recover(left, &memory, &expected);
            steps = operations;
            if is_whole {
                break;
            }
        }
        assert!(steps > 20, "the test tried too little: {steps} steps");
    }
}

#[test]
fn a_disk_that_fails_at_any_step_of_a_move_loses_no_count_and_repeats_none() {
    let image = closed_store();
    let expected = expected(&image);
    let mut chance = ChaCha8Rng::seed_from_u64(3);
    for fault in [Fault::PowerCut, Fault::Full] {
        let mut steps = 0;
        for operations in 0.. {
            let memory = Arc::new(InMemory::new());
            let disk = Arc::new(Mutex::new(Disk::of(image.clone(), operations, fault)));
            let lake = Objects::new(&memory, u32::MAX, Storage::Gone).lake();
            let moved = DiskStore::on(Backend(Arc::clone(&disk)))
                .map_err(LakeError::from)
                .and_then(|store| compact(&store, &lake));
            let is_whole = moved.is_ok() && disk.lock().unwrap().operations_left > 0;
            let left = disk.lock().unwrap().after_fault(&mut chance);
            recover(left, &memory, &expected);
            steps = operations;
            if is_whole {
                break;
            }
        }
        assert!(steps > 20, "the test tried too little: {steps} steps");
    }
}

/// The twin: a disk that forgets what it said it has synced can undo a move, and counts are lost then or told twice by the
/// lake alone; the checks above notice.
#[test]
fn dropping_rows_without_a_durable_note_is_noticed() {
    let image = closed_store();
    let expected = expected(&image);
    let memory = Arc::new(InMemory::new());
    let disk = Arc::new(Mutex::new(Disk::of(image, u32::MAX, Fault::Full)));
    let lake = Objects::new(&memory, u32::MAX, Storage::Gone).lake();
    let store = DiskStore::on(Backend(Arc::clone(&disk))).unwrap().with_lake(lake.clone());
    compact(&store, &lake).unwrap();
    let paths = RUNTIME.block_on(memory.list(Some(&Path::from("counts"))).collect::<Vec<_>>());
    let path = paths.into_iter().next().unwrap().unwrap().location;
    let twice = path.parts().take(4).collect::<Path>().join("other.parquet");
    RUNTIME.block_on(memory.copy(&path, &twice)).unwrap();
    assert!(
        check_lake(&memory, &expected, 2).is_err(),
        "an epoch that lies in the lake twice was not noticed"
    );
    RUNTIME.block_on(memory.delete(&path)).unwrap();
    tell(&store).unwrap_err();
}

#[test]
fn storage_that_keeps_something_else_is_noticed_before_rows_are_dropped() {
    let image = closed_store();
    let expected = expected(&image);
    let memory = Arc::new(InMemory::new());
    let disk = Arc::new(Mutex::new(Disk::of(image, u32::MAX, Fault::Full)));
    let halves = Objects { halves: true, ..Objects::new(&memory, u32::MAX, Storage::Gone) };
    // Files of one part are put at once, and those are cut.
    let lake = halves.lake();
    let store = DiskStore::on(Backend(Arc::clone(&disk))).unwrap().with_lake(lake.clone());
    assert!(matches!(compact(&store, &lake), Err(LakeError::Parquet { .. })));
    assert_eq!(store.moves().unwrap().values().filter(|entry| entry.is_moved()).count(), 0);
    assert_eq!(tell(&store).unwrap(), expected);
}

/// Rows that tell another name than the one noted: what was written under that is removed, and nothing else.
#[test]
fn a_move_of_other_rows_is_undone() {
    let image = closed_store();
    let expected = expected(&image);
    let memory = Arc::new(InMemory::new());
    let disk = Arc::new(Mutex::new(Disk::of(image, u32::MAX, Fault::Full)));
    let lake = Objects::new(&memory, u32::MAX, Storage::Gone).lake();
    let store = DiskStore::on(Backend(Arc::clone(&disk))).unwrap();
    let partition = Partition { metric: MetricId::new("pick").unwrap(), version: 1, epoch: EPOCHS[0] };
    let params = store.params(&partition.metric, 1).unwrap();
    let other = Content::tell(Kind::Counts, &partition, &params, |_| Ok(())).unwrap();
    let name = serde_json::to_value(&other).unwrap()["name"].as_str().unwrap().to_owned();
    let path = Path::from(format!("counts/metric=pick/version=1/epoch={}/{name}.parquet", EPOCHS[0].0));
    RUNTIME.block_on(memory.put(&path, "half".into())).unwrap();
    // Without a note it is somebody else's, and stays.
    let error = compact(&store, &lake).unwrap_err();
    assert!(matches!(&error, LakeError::Foreign { object } if object.contains(&name)), "{error}");
    assert!(RUNTIME.block_on(memory.head(&path)).is_ok());
    store.begin_move(&partition, &Move::new(other, None), lake.url()).unwrap();
    drop(store);
    let left = disk.lock().unwrap().written.clone();
    let store =
        DiskStore::on(Backend(Arc::new(Mutex::new(Disk::of(left.clone(), u32::MAX, Fault::Full))))).unwrap();
    assert_eq!(tell(&store).unwrap(), expected, "a move that has begun changes nothing for readers");
    drop(store);
    let disk = Arc::new(Mutex::new(Disk::of(left, u32::MAX, Fault::Full)));
    let store = DiskStore::on(Backend(disk)).unwrap().with_lake(lake.clone());
    compact(&store, &lake).unwrap();
    assert!(RUNTIME.block_on(memory.head(&path)).is_err());
    assert_eq!(tell(&store).unwrap(), expected);
    check_lake(&memory, &expected, 2).unwrap();
}

/// A reader beside a compaction sees every epoch in one place, whenever it looks.
#[test]
fn a_reader_beside_a_compaction_always_sees_the_same() {
    let image = closed_store();
    let expected = expected(&image);
    let lake = Objects::new(&Arc::new(InMemory::new()), u32::MAX, Storage::Gone).lake();
    let (done, mut seen) = (AtomicBool::new(false), [0; 3]);
    let disk = Arc::new(Mutex::new(Disk::of(image, u32::MAX, Fault::Full)));
    let store = DiskStore::on(Backend(disk)).unwrap().with_lake(lake.clone());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            compact(&store, &lake).unwrap();
            done.store(true, Ordering::SeqCst);
        });
        loop {
            let is_last = done.load(Ordering::SeqCst);
            assert_eq!(tell(&store).unwrap(), expected);
            seen[store.moves().unwrap().values().filter(|entry| entry.is_moved()).count()] += 1;
            if is_last {
                break;
            }
        }
    });
    assert!(seen[2] > 0, "{seen:?}");
}

#[test]
fn open_epochs_stay_and_a_store_without_its_lake_says_so() {
    let disk = Arc::new(Mutex::new(Disk::of(closed_store(), u32::MAX, Fault::Full)));
    let store = DiskStore::on(Backend(Arc::clone(&disk))).unwrap();
    let catalog = Catalog::parse(METRICS).unwrap();
    let mut late = planted(900, &catalog);
    late.sections.iter_mut().for_each(|section| section.epoch = OPEN_FROM);
    assert_eq!(store.commit(&[late], Epoch(0)).unwrap(), [Outcome::Counted]);
    let lake = Objects::new(&Arc::new(InMemory::new()), u32::MAX, Storage::Gone).lake();
    assert_eq!(compact(&store, &lake).unwrap(), Compacted { epochs: 2, reports: u64::from(2 * BATCHES) });
    let pick = MetricId::new("pick").unwrap();
    let open = Selection::of_epochs(OPEN_FROM..=OPEN_FROM);
    assert_eq!(store.counts(&pick, 1, &open).unwrap().total(), 2);
    let error = store.counts(&pick, 1, &Selection::all()).unwrap_err();
    assert!(error.to_string().contains("epoch 100") && error.to_string().contains("memory://"), "{error}");
    // What is moved takes no report, and is never moved again.
    let partition = Partition { metric: pick, version: 1, epoch: EPOCHS[0] };
    let entry = store.moves().unwrap().remove(&partition).unwrap();
    assert!(store.begin_move(&partition, &entry, lake.url()).is_err());
    assert!(store.finish_move(&partition, entry).is_err());
}
