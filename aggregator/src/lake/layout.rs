//! How a lake is laid out: names, columns, and what a file says of itself. The head of the module tells it in words.

use std::fmt;
use std::sync::Arc;

use deniable::{Epoch, MetricId, Params};
use object_store::path::Path;
use parquet::basic::{Compression, Encoding};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, TypePtr};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::LakeError;
use super::rows::{Cells, Row, TakeRow};

/// The format that this program writes and reads.
pub(super) const FORMAT: &str = "1";
/// What the names of the files' own entries begin with.
const ENTRY: &str = "deniable.";
/// The bytes of bits or of sums in a group of rows; a bound on the memory of writer and reader, and on a request.
const GROUP_BYTES: usize = 8 << 20;
/// The bytes of a page.
const PAGE_BYTES: usize = 1 << 20;

/// The place of each column.
pub(super) const SOURCE: usize = 0;
pub(super) const TAGS: usize = 1;
pub(super) const COHORT: usize = 2;
pub(super) const REPORTS: usize = 3;
pub(super) const CELLS: usize = 4;

/// An epoch of a metric version: what is moved as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partition {
    /// The metric.
    pub metric: MetricId,
    /// Its version.
    pub version: u32,
    /// The epoch.
    pub epoch: Epoch,
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "metric {} version {}, epoch {}", self.metric, self.version, self.epoch)
    }
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Sums.
    Counts,
    /// Reports, each with how often it came.
    Reports,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Counts, Self::Reports];

    /// Its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counts => "counts",
            Self::Reports => "reports",
        }
    }

    /// The folder of a partition's files of this kind.
    pub(super) fn folder(self, partition: &Partition) -> Path {
        let Partition { metric, version, epoch } = partition;
        let parts = [
            self.name().to_owned(),
            format!("metric={metric}"),
            format!("version={version}"),
            format!("epoch={}", epoch.0),
        ];
        Path::from_iter(parts)
    }

    /// The columns, in Parquet's own language.
    pub(super) fn schema(self, params: &Params) -> TypePtr {
        let cells = match self {
            Self::Counts => {
                "required group ones (LIST) { repeated group list { required int64 element (INTEGER(64,false)); } }"
                    .to_owned()
            }
            Self::Reports => format!("required fixed_len_byte_array({}) bits;", params.bits().div_ceil(8)),
        };
        let text = format!(
            "message {} {{
                required binary source (STRING);
                required binary tags (STRING);
                required int32 cohort (INTEGER(16,false));
                required int64 reports (INTEGER(64,false));
                {cells}
            }}",
            self.name()
        );
        Arc::new(parse_message_type(&text).expect("the text is a schema"))
    }

    /// The rows of a group at most.
    pub(super) fn group_rows(self, params: &Params) -> usize {
        let row = match self {
            Self::Counts => 8 * params.bits(),
            Self::Reports => params.bits().div_ceil(8),
        };
        GROUP_BYTES / row
    }

    /// How the columns are encoded, and what the file says of itself.
    pub(super) fn properties(self, entries: Vec<KeyValue>) -> WriterProperties {
        let cells = match self {
            Self::Counts => ColumnPath::from(["ones", "list", "element"].map(str::to_owned).to_vec()),
            Self::Reports => ColumnPath::from("bits"),
        };
        let packing = match self {
            Self::Counts => Encoding::DELTA_BINARY_PACKED,
            Self::Reports => Encoding::PLAIN,
        };
        let ascending = |column_idx: usize| SortingColumn {
            column_idx: column_idx as i32,
            descending: false,
            nulls_first: false,
        };
        let mut order = vec![ascending(SOURCE), ascending(TAGS), ascending(COHORT)];
        order.extend((self == Self::Reports).then_some(ascending(CELLS)));
        WriterProperties::builder()
            .set_created_by(concat!("deniable ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::UNCOMPRESSED)
            .set_data_page_size_limit(PAGE_BYTES)
            .set_data_page_row_count_limit(usize::MAX)
            // Cut texts could not say that a group has one source only.
            .set_statistics_truncate_length(None)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_column_dictionary_enabled(cells.clone(), false)
            .set_column_statistics_enabled(cells.clone(), EnabledStatistics::None)
            // One page for all bits of a group, which its reader takes as they lie.
            .set_column_data_page_size_limit(cells.clone(), 2 * GROUP_BYTES)
            .set_column_encoding(cells, packing)
            .set_sorting_columns(Some(order))
            .set_key_value_metadata(Some(entries))
            .build()
    }

    /// What a file of this kind says of itself.
    pub(super) fn entries(self, partition: &Partition, params: &Params, content: &Content) -> Vec<KeyValue> {
        let entry = |name: &str, value: String| KeyValue::new(format!("{ENTRY}{name}"), value);
        vec![
            entry("format", FORMAT.to_owned()),
            entry("kind", self.name().to_owned()),
            entry("metric", partition.metric.to_string()),
            entry("version", partition.version.to_string()),
            entry("epoch", partition.epoch.0.to_string()),
            entry("bits", params.bits().to_string()),
            entry("cohorts", params.cohorts().to_string()),
            entry("fingerprint", params.fingerprint().to_string()),
            entry("params", serde_json::to_string(params).expect("parameters have a JSON form")),
            entry("content", content.name.clone()),
        ]
    }
}

/// What a file holds, told from its rows alone: whoever writes the same rows gives the file the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// 32 hexadecimal digits of the rows' SHA-256.
    pub(super) name: String,
    /// The rows.
    pub(super) rows: u64,
    /// The reports of all rows.
    pub(super) reports: u64,
}

impl Content {
    /// The rows of the file.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The reports of all rows.
    pub fn reports(&self) -> u64 {
        self.reports
    }

    /// Takes all rows of a file in their order.
    ///
    /// # Errors
    /// [`LakeError::Order`] if they are not sorted, and what `rows` fails with.
    pub fn tell(
        kind: Kind,
        partition: &Partition,
        params: &Params,
        rows: impl FnOnce(&mut TakeRow<'_>) -> Result<(), LakeError>,
    ) -> Result<Self, LakeError> {
        let mut digester = Digester::new(kind, partition, params);
        rows(&mut |row| match digester.add(row) {
            true => Ok(()),
            false => Err(LakeError::Order { partition: partition.to_string() }),
        })?;
        Ok(digester.finish())
    }

    /// Where the file of this content lies.
    pub(super) fn path(&self, kind: Kind, partition: &Partition) -> Path {
        kind.folder(partition).join(format!("{}.parquet", self.name))
    }
}

/// An epoch on its way from the store to the lake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    state: State,
    /// The sums.
    pub counts: Content,
    /// The reports, if they are kept.
    pub reports: Option<Content>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// The store has the rows; the lake may have them too.
    Moving,
    /// The lake has the rows.
    Moved,
}

impl Move {
    /// What is to be moved.
    pub(crate) fn new(counts: Content, reports: Option<Content>) -> Self {
        Self { state: State::Moving, counts, reports }
    }

    /// The same after its end.
    pub(crate) fn moved(self) -> Self {
        Self { state: State::Moved, ..self }
    }

    /// Says whether the lake has the rows, and the store no longer.
    pub fn is_moved(&self) -> bool {
        self.state == State::Moved
    }

    /// What the file of a kind holds; none if there is no such file.
    pub fn content(&self, kind: Kind) -> Option<&Content> {
        match kind {
            Kind::Counts => Some(&self.counts),
            Kind::Reports => self.reports.as_ref(),
        }
    }
}

/// Takes rows in their order and tells their [`Content`].
///
/// It is the SHA-256 of a line with kind, metric, version, epoch and fingerprint, and of each row: source, tags (each
/// after its length, u32), cohort (u16), reports (u64), then the sums (u64 each) or the bits. Integers are little-endian.
pub(super) struct Digester {
    sha256: Sha256,
    rows: u64,
    reports: u64,
    /// Source, tags, cohort and bits of the last row.
    last: (String, String, u16, Vec<u8>),
    row: Vec<u8>,
}

impl Digester {
    pub(super) fn new(kind: Kind, partition: &Partition, params: &Params) -> Self {
        let Partition { metric, version, epoch } = partition;
        let line = format!(
            "deniable lake {FORMAT} {} {metric} {version} {} {}\n",
            kind.name(),
            epoch.0,
            params.fingerprint()
        );
        let sha256 = Sha256::new_with_prefix(line);
        Self { sha256, rows: 0, reports: 0, last: Default::default(), row: Vec::new() }
    }

    /// Adds a row. Returns false if it does not stand behind the one before, or counts nothing.
    #[must_use]
    pub(super) fn add(&mut self, row: &Row<'_>) -> bool {
        let in_order = self.follows(row);
        self.row.clear();
        for text in [row.source, row.tags] {
            self.row.extend_from_slice(&(text.len() as u32).to_le_bytes());
            self.row.extend_from_slice(text.as_bytes());
        }
        self.row.extend_from_slice(&row.cohort.to_le_bytes());
        self.row.extend_from_slice(&row.reports.to_le_bytes());
        match row.cells {
            Cells::Ones(ones) => {
                ones.iter().for_each(|count| self.row.extend_from_slice(&count.to_le_bytes()));
            }
            Cells::Bits(bits) => self.row.extend_from_slice(bits),
        }
        self.sha256.update(&self.row);
        self.rows += 1;
        self.reports = self.reports.saturating_add(row.reports);
        in_order && row.reports > 0
    }

    /// Says whether a row stands behind the last one, and keeps its place.
    fn follows(&mut self, row: &Row<'_>) -> bool {
        let bits = match row.cells {
            Cells::Ones(_) => &[],
            Cells::Bits(bits) => bits,
        };
        let (source, tags, cohort, last_bits) = &mut self.last;
        let place = (row.source, row.tags, row.cohort, bits);
        let follows =
            self.rows == 0 || place > (source.as_str(), tags.as_str(), *cohort, last_bits.as_slice());
        row.source.clone_into(source);
        row.tags.clone_into(tags);
        *cohort = row.cohort;
        bits.clone_into(last_bits);
        follows
    }

    pub(super) fn finish(self) -> Content {
        let digest = self.sha256.finalize();
        let name = digest[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        Content { name, rows: self.rows, reports: self.reports }
    }
}
