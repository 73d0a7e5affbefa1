//! Directories of a store whose files were damaged, cut, swapped or written by somebody else.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use deniable::{
    Batch, BatchId, DeviceSecret, Encoder, Epoch, MetricId, Randomness, Report, Value, WriteKey, write_batch,
};
use deniable_aggregator::catalog::Definition;
use deniable_aggregator::decode::Counts;
use deniable_aggregator::guard::Volumes;
use deniable_aggregator::store::{
    Accepted, DiskStore, Holding, MemoryStore, Registries, Selection, Store, StoreError, Terms,
};
use tempfile::TempDir;

use super::body::{CATALOG, TODAY};

const FILE: &str = "store.redb";
const NEW_FILE: &str = "store.redb.new";
/// The commits of the store that is damaged.
const COMMITS: u8 = 12;
/// The bytes of an [`Edit`].
const EDIT_BYTES: usize = 8;
/// The most edits, so that a run stays short.
const MAX_EDITS: usize = 64;
/// The bytes of a page of the database.
const PAGE: usize = 4096;

/// Opens, reads, verifies and perhaps writes a store whose file was changed. Each step does what it should or is an error
/// with a message. Where `verify` says that the store is sound, it holds the sums of some commit, and nothing else.
pub fn store(data: &[u8]) {
    let Some(([image, mode], edits)) = data.split_first_chunk::<2>() else { return };
    let bytes = damaged(*image, edits);
    let dir = folder();
    let name = if mode & 1 == 0 { FILE } else { NEW_FILE };
    fs::write(dir.path().join(name), bytes).expect("a temporary file can be written");
    match use_store(dir.path(), mode & 2 != 0) {
        Ok(view) => assert!(HISTORY.allow(&view), "verify says that it is sound: {view:?}"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A folder in memory where there is such a place: a store syncs what it writes, which a disk takes its time for.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.expect("a temporary directory can be made")
}

/// Does all that is done with a store, and says what it holds if it is sound.
///
/// What is written to a store that was not verified is written beside its damage, and perhaps over it: only that it does not
/// panic is asked then.
fn use_store(dir: &Path, writes: bool) -> Result<View, StoreError> {
    let store = DiskStore::create(dir)?;
    let before = View::of(&store);
    if let Err(damage) = store.verify() {
        if writes {
            // Each of these may be refused.
            let _ = DiskStore::open(dir).and_then(|store| write(&store).and_then(|()| View::of(&store)));
        }
        return Err(damage);
    }
    let store = DiskStore::open(dir)?;
    let after = View::of(&store)?;
    assert!(before.is_ok_and(|before| before == after), "verify changed what was read of a sound store");
    if !writes {
        return Ok(after);
    }
    assert!(HISTORY.allow(&after), "verify says that it is sound: {after:?}");
    write(&store)?;
    let written = View::of(&store)?;
    store.verify()?;
    Ok(written)
}

/// Counts a batch that the store does not know.
fn write(store: &dyn Store) -> Result<(), StoreError> {
    store.declare(&CATALOG)?;
    store.commit(&[batch(COMMITS)], Epoch(0)).map(drop)
}

/// All figures of a store.
#[derive(Debug, PartialEq)]
struct View {
    open_from: Epoch,
    holdings: Vec<Holding>,
    counts: Vec<(MetricId, u32, Counts, Volumes)>,
}

impl View {
    fn of(store: &dyn Store) -> Result<Self, StoreError> {
        let counts = store.streams()?.into_keys().map(|(metric, version)| {
            let counts = store.counts(&metric, version, &Selection::all())?;
            let volumes = store.volumes(&metric, version)?;
            Ok((metric, version, counts, volumes))
        });
        let counts = counts.collect::<Result<_, StoreError>>()?;
        Ok(Self { open_from: store.open_from()?, holdings: store.holdings(&Selection::all())?, counts })
    }
}

/// What the store held after each commit, and the files that it left.
struct History {
    views: Vec<View>,
    images: Vec<Vec<u8>>,
}

static HISTORY: LazyLock<History> = LazyLock::new(History::new);

impl History {
    fn new() -> Self {
        let dir = folder();
        let read = || fs::read(dir.path().join(FILE)).expect("a store has a file");
        let open = || DiskStore::create(dir.path()).expect("a store is made and opened again");
        // Not yet declared, so without streams.
        let mut views = vec![View::of(&MemoryStore::default()).expect("a store in memory is read")];
        drop(open());
        let mut images = vec![read()];
        for commits in 0..=COMMITS {
            // With and without the batch that is written to the damaged store.
            for last in [commits, COMMITS + 1] {
                let memory = MemoryStore::default();
                memory.declare(&CATALOG).expect("an empty store takes any metric");
                let batches: Vec<_> =
                    (0..commits).chain((last > COMMITS).then_some(COMMITS)).map(batch).collect();
                memory.commit(&batches, Epoch(0)).expect("what was checked is counted");
                views.push(View::of(&memory).expect("a store in memory is read"));
            }
        }
        for n in 0..COMMITS {
            let store = open();
            store.declare(&CATALOG).expect("the store counts nothing else");
            store.commit(&[batch(n)], Epoch(0)).expect("what was checked is counted");
            if n + 1 == COMMITS {
                // As a crash leaves it.
                images.push(read());
            }
            drop(store);
            if n == 0 || n + 1 == COMMITS {
                images.push(read());
            }
        }
        Self { views, images }
    }

    fn allow(&self, view: &View) -> bool {
        self.views.contains(view)
    }
}

fn definitions() -> Vec<&'static Definition> {
    CATALOG.definitions().map(AsRef::as_ref).collect()
}

/// Batch `n`: a report to each metric, of one of two epochs.
fn batch(n: u8) -> Accepted {
    let mut randomness = Randomness::from_seed([n; 32]);
    let secret = DeviceSecret::from_bytes([n; 32]);
    let mut reports = |definition: &'static Definition| -> Report {
        let (stream, params) = (definition.stream(), *definition.params());
        let encoder = Encoder::new(stream.metric().clone(), stream.version(), params, &secret);
        let value = if stream.metric().as_str() == "host" { Value::Text("a") } else { Value::Choice(1) };
        let epoch = Epoch(TODAY.0 - u32::from(n % 2) * 16);
        encoder.encode(value, epoch, &mut randomness).expect("the value fits the metric")
    };
    let reports: Vec<_> = definitions().into_iter().map(&mut reports).collect();
    let body = write_batch(WriteKey::NONE, BatchId([n; 16]), &reports).expect("the reports are few");
    let parsed = Batch::parse(&body).expect("what was written can be read");
    let (registries, open) = (Registries::default(), Epoch(0)..=TODAY);
    let terms = Terms { catalog: &CATALOG, registries: &registries, open, source: "web" };
    Accepted::check(&parsed, &terms).accepted
}

/// A change of a file.
struct Edit {
    kind: u8,
    place: usize,
    value: [u8; 4],
}

/// The file of a store after some edits; or, for the images that there are none of, the edits themselves.
fn damaged(image: u8, edits: &[u8]) -> Vec<u8> {
    let images = &HISTORY.images;
    let Some(image) = images.get(usize::from(image) % (images.len() + 1)) else { return edits.to_vec() };
    let mut bytes = image.clone();
    for raw in edits.chunks_exact(EDIT_BYTES).take(MAX_EDITS) {
        let place = u32::from_le_bytes([raw[1], raw[2], raw[3], 0]) as usize;
        Edit { kind: raw[0], place, value: [raw[4], raw[5], raw[6], raw[7]] }.apply(&mut bytes, image);
    }
    bytes
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>, image: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let length = bytes.len();
        // The header is a small part of the file, and the most delicate.
        let at = if self.kind & 16 == 0 { self.place % length } else { self.place % length.min(320) };
        let number = u32::from_le_bytes(self.value) as usize;
        match self.kind % 8 {
            0 => bytes[at] ^= 1 << (number % 8),
            1 => bytes[at..].iter_mut().zip(self.value).for_each(|(byte, value)| *byte = value),
            2 => bytes.truncate(at),
            3 => bytes.truncate(at / PAGE * PAGE),
            4 => bytes[at..].iter_mut().take(number % (2 * PAGE)).for_each(|byte| *byte = 0),
            5 => bytes.resize(length + number % (16 * PAGE), 0),
            // A page that lies where another should, as it was or as it is.
            kind => {
                let (to, from) = (at / PAGE * PAGE, number % length / PAGE * PAGE);
                let source = if kind == 6 { image.to_vec() } else { bytes.clone() };
                let page = source.get(from..).unwrap_or_default();
                bytes[to..].iter_mut().zip(page.iter().take(PAGE)).for_each(|(byte, value)| *byte = *value);
            }
        }
    }
}
