//! Files that are written and read back, and what is told of those that were changed.

use std::fs;
use std::sync::LazyLock;

use deniable::{Epoch, MetricId};
use tokio::runtime::Runtime;

use super::*;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// A row that a test keeps.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    source: String,
    tags: String,
    cohort: u16,
    bits: Vec<u8>,
    ones: Vec<u64>,
    reports: u64,
}

impl Kept {
    fn of(row: &Row<'_>) -> Self {
        let (bits, ones) = match row.cells {
            Cells::Ones(ones) => (Vec::new(), ones.to_vec()),
            Cells::Bits(bits) => (bits.to_vec(), Vec::new()),
        };
        let (source, tags) = (row.source.to_owned(), row.tags.to_owned());
        Self { source, tags, cohort: row.cohort, bits, ones, reports: row.reports }
    }

    fn row(&self) -> Row<'_> {
        let cells = if self.ones.is_empty() { Cells::Bits(&self.bits) } else { Cells::Ones(&self.ones) };
        let (source, tags) = (self.source.as_str(), self.tags.as_str());
        Row { source, tags, cohort: self.cohort, reports: self.reports, cells }
    }
}

fn hand(rows: &[Kept], take: &mut TakeRow<'_>) -> Result<(), LakeError> {
    rows.iter().try_for_each(|kept| take(&kept.row()))
}

fn params(bits: usize) -> Params {
    Params::rappor(bits, 1, 3, 0.5, 0.25, 0.75).unwrap()
}

fn partition() -> Partition {
    Partition { metric: MetricId::new("host.a-b_c").unwrap(), version: 7, epoch: Epoch(20_000) }
}

/// Every cohort and bit position of several sources and tags, sorted, with the numbers of reports from 1 on.
fn rows(kind: Kind, bits: usize, per_cohort: usize) -> Vec<Kept> {
    let mut rows = Vec::new();
    for source in ["", "app", "web"] {
        for tags in ["{}", r#"{"os":"ios"}"#] {
            for cohort in 0..3 {
                for n in 0..if kind == Kind::Counts { 1 } else { per_cohort } {
                    let mut row = Kept {
                        source: source.to_owned(),
                        tags: tags.to_owned(),
                        cohort,
                        bits: Vec::new(),
                        ones: Vec::new(),
                        reports: 1 + n as u64 % 3,
                    };
                    match kind {
                        Kind::Counts => {
                            row.ones = (0..bits as u64).map(|bit| bit * bit % 5).collect();
                            row.reports = 4 + u64::from(cohort);
                        }
                        Kind::Reports => {
                            row.bits = vec![0; bits.div_ceil(8)];
                            for place in 0..bits.min(16) {
                                row.bits[(bits - 1 - place) / 8] |=
                                    ((n >> place & 1) as u8) << ((bits - 1 - place) % 8);
                            }
                        }
                    }
                    rows.push(row);
                }
            }
        }
    }
    rows.sort();
    rows.dedup_by(|a, b| a.kind_place() == b.kind_place());
    rows
}

impl Kept {
    fn kind_place(&self) -> (&str, &str, u16, &[u8]) {
        (&self.source, &self.tags, self.cohort, &self.bits)
    }
}

/// A lake with one file of the rows.
struct Written {
    dir: tempfile::TempDir,
    lake: Lake,
    params: Params,
    partition: Partition,
    content: Content,
    kind: Kind,
}

impl Written {
    fn new(kind: Kind, bits: usize, rows: &[Kept]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lake = Lake::open(dir.path().to_str().unwrap(), RUNTIME.handle().clone()).unwrap();
        let (params, partition) = (params(bits), partition());
        let content = Content::tell(kind, &partition, &params, |take| hand(rows, take)).unwrap();
        let written = Self { dir, lake, params, partition, content, kind };
        written.lake.write(&written.file(), |take| hand(rows, take)).unwrap();
        written
    }

    fn file(&self) -> File<'_> {
        File { kind: self.kind, partition: &self.partition, params: &self.params, content: &self.content }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join(self.file().path().as_ref())
    }

    fn read(&self, depth: Depth, wanted: impl Fn(&str, &str) -> bool) -> Result<Vec<Kept>, LakeError> {
        let mut found = Vec::new();
        self.lake.each_run(&self.file(), depth, wanted, |run| {
            found.extend(run.rows().map(|row| Kept::of(&row)));
            Ok(())
        })?;
        Ok(found)
    }
}

#[test]
fn rows_are_read_back_as_they_were_written() {
    for kind in Kind::ALL {
        for (bits, per_cohort) in [(1, 2), (7, 50), (8, 200), (9, 300), (128, 2000), (4096, 40)] {
            let rows = rows(kind, bits, per_cohort);
            let written = Written::new(kind, bits, &rows);
            for depth in [Depth::Values, Depth::Statistics] {
                assert!(
                    written.read(depth, |_, _| true).unwrap() == rows,
                    "{kind:?} of {bits} bits, {depth:?}"
                );
            }
            let ios = |source: &str, tags: &str| source == "app" && tags.contains("ios");
            let some: Vec<_> = rows.iter().filter(|row| ios(&row.source, &row.tags)).cloned().collect();
            assert!(!some.is_empty() && written.read(Depth::Statistics, ios).unwrap() == some);
            written.lake.verify(&written.file()).unwrap();
        }
    }
}

/// The groups of a file are so small that it takes several, and so large that sources do not always part them.
#[test]
fn a_file_of_several_groups_is_read_as_one() {
    let rows = rows(Kind::Reports, 4096, 9000);
    let written = Written::new(Kind::Reports, 4096, &rows);
    let bytes = fs::metadata(written.path()).unwrap().len();
    assert!(bytes > 16 << 20, "{bytes}");
    assert!(written.read(Depth::Statistics, |_, _| true).unwrap() == rows);
    written.lake.verify(&written.file()).unwrap();
}

#[test]
fn counts_are_those_of_the_rows_whichever_kind_they_are_of() {
    let reports = rows(Kind::Reports, 9, 400);
    let mut sums = std::collections::BTreeMap::<_, (u64, Vec<u64>)>::new();
    let mut ones = vec![vec![0; 9]; 3];
    for row in &reports {
        let place = (row.source.clone(), row.tags.clone(), row.cohort);
        let sum = sums.entry(place).or_insert_with(|| (0, vec![0; 9]));
        sum.0 += row.reports;
        for bit in (0..9).filter(|bit| row.bits[bit / 8] >> (bit % 8) & 1 == 1) {
            sum.1[bit] += row.reports;
            ones[usize::from(row.cohort)][bit] += row.reports;
        }
    }
    let counts: Vec<_> = sums
        .into_iter()
        .map(|((source, tags, cohort), (reports, ones))| Kept {
            source,
            tags,
            cohort,
            bits: Vec::new(),
            ones,
            reports,
        })
        .collect();
    for (kind, rows) in [(Kind::Reports, &reports), (Kind::Counts, &counts)] {
        let written = Written::new(kind, 9, rows);
        let found = written.lake.counts(&written.file(), |_, _| true).unwrap();
        (0..3).for_each(|cohort| assert_eq!(found.ones(cohort), ones[cohort], "{kind:?}"));
        assert_eq!(found.total(), reports.iter().map(|row| row.reports).sum::<u64>());
        assert_eq!(written.lake.counts(&written.file(), |source, _| source == "nobody").unwrap().total(), 0);
    }
}

/// The bytes of a file are a function of its rows, so that a file that is written again is the same.
#[test]
fn the_same_rows_give_the_same_file() {
    let rows = rows(Kind::Counts, 12, 1);
    let [one, two] = [(); 2].map(|()| Written::new(Kind::Counts, 12, &rows));
    assert_eq!(fs::read(one.path()).unwrap(), fs::read(two.path()).unwrap());
    assert_eq!(
        one.path().strip_prefix(one.dir.path()).unwrap().to_str().unwrap(),
        "counts/metric=host.a-b_c/version=7/epoch=20000/NAME.parquet".replace("NAME", &one.content.name)
    );
}

/// The name of given rows, worked by another program: `printf` and `sha256sum`.
#[test]
fn the_name_is_the_hash_that_the_layout_describes() {
    let row = Kept {
        source: "app".to_owned(),
        tags: "{}".to_owned(),
        cohort: 2,
        bits: vec![0x81],
        ones: Vec::new(),
        reports: 3,
    };
    let params = params(8);
    let line = format!("deniable lake 1 reports host.a-b_c 7 20000 {}\n", params.fingerprint());
    let bytes = [line.as_bytes(), b"\x03\0\0\0app\x02\0\0\0{}\x02\0\x03\0\0\0\0\0\0\0\x81"].concat();
    let script = std::process::Command::new("sha256sum")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    let mut child = script.unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &bytes).unwrap();
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let content = Content::tell(Kind::Reports, &partition(), &params, |take| take(&row.row())).unwrap();
    assert_eq!(content.name, said[..32]);
}

#[test]
fn rows_that_are_not_sorted_or_count_nothing_make_no_file() {
    let sorted = rows(Kind::Reports, 8, 20);
    let told =
        |rows: &[Kept]| Content::tell(Kind::Reports, &partition(), &params(8), |take| hand(rows, take));
    told(&sorted).unwrap();
    for place in [1, 7, sorted.len() - 1] {
        let mut swapped = sorted.clone();
        swapped.swap(place - 1, place);
        assert!(matches!(told(&swapped), Err(LakeError::Order { .. })));
    }
    let twice = [sorted[0].clone(), sorted[0].clone()];
    assert!(matches!(told(&twice), Err(LakeError::Order { .. })));
    let nothing = [Kept { reports: 0, ..sorted[0].clone() }];
    assert!(matches!(told(&nothing), Err(LakeError::Order { .. })));
}

/// Any byte that is changed, and any end that is cut off, is an error of `verify`, and never a panic of either reader.
#[test]
fn a_damaged_file_is_an_error_and_never_a_figure() {
    for kind in Kind::ALL {
        let rows = rows(kind, 12, 5);
        let written = Written::new(kind, 12, &rows);
        let whole = fs::read(written.path()).unwrap();
        let mut unnoticed = Vec::new();
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 0x10;
            fs::write(written.path(), &changed).unwrap();
            if written.lake.verify(&written.file()).is_ok() {
                unnoticed.push(place);
                assert!(written.read(Depth::Values, |_, _| true).unwrap() == rows);
            }
            // What verifies reads the same by its statistics, or not at all.
            let _ = written.read(Depth::Statistics, |_, _| true);
        }
        // What no reader looks at may change: who wrote it, statistics, sizes that are told twice.
        assert!(unnoticed.len() < whole.len() / 2, "{} of {}", unnoticed.len(), whole.len());
        for length in [0, 3, 4, 8, 100, whole.len() / 2, whole.len() - 1] {
            fs::write(written.path(), &whole[..length]).unwrap();
            written.lake.verify(&written.file()).unwrap_err();
        }
        fs::remove_file(written.path()).unwrap();
        let error = written.lake.verify(&written.file()).unwrap_err();
        assert!(error.to_string().contains("not there"), "{error}");
    }
}

#[test]
fn a_file_of_another_epoch_or_of_other_parameters_is_refused() {
    let rows = rows(Kind::Counts, 12, 1);
    let written = Written::new(Kind::Counts, 12, &rows);
    let other = Partition { epoch: Epoch(20_001), ..partition() };
    let path = written.dir.path().join(Kind::Counts.folder(&other).as_ref());
    fs::create_dir_all(&path).unwrap();
    fs::copy(written.path(), path.join(format!("{}.parquet", written.content.name))).unwrap();
    let moved = File { partition: &other, ..written.file() };
    let error = written.lake.verify(&moved).unwrap_err();
    assert!(error.to_string().contains("deniable.epoch") && error.to_string().contains("20001"), "{error}");
    let params = Params::rappor(12, 1, 3, 0.5, 0.25, 0.625).unwrap();
    let error = written.lake.verify(&File { params: &params, ..written.file() }).unwrap_err();
    assert!(error.to_string().contains("fingerprint"), "{error}");
}

#[test]
fn a_place_is_a_folder_or_a_bucket_and_its_secrets_are_not_told() {
    let open = |place: &str| Lake::open(place, RUNTIME.handle().clone());
    for place in
        ["ftp://host/lake", "s3://key:hidden@bucket/lake", "s3://bucket/lake?token=hidden", "file://lake"]
    {
        let error = open(place).unwrap_err();
        assert!(matches!(error, LakeError::Place { .. }) && !error.to_string().contains("hidden"), "{error}");
    }
    assert!(matches!(open("/no/such/folder"), Err(LakeError::Folder { .. })));
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("lake").to_str().unwrap().to_owned();
    let lake = Lake::create(&folder, RUNTIME.handle().clone()).unwrap();
    assert_eq!(lake.url(), format!("file://{folder}"));
    assert_eq!(open(lake.url()).unwrap().url(), lake.url());
}
