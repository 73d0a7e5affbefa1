//! What the tests share: a catalog, batches byte for byte, and reports that can be told apart in the counts.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use deniable::{Batch, Epoch, MetricId, WriteKey};
use deniable_aggregator::catalog::Catalog;
use deniable_aggregator::collect::{Clock, DEFAULT_OPEN_DAYS, Settings, Window};
use deniable_aggregator::decode::Counts;
use deniable_aggregator::store::{Accepted, Checked, Refused, Registries, Selection, Store, Terms};

/// `host` has 12 bits, so that 4 places are unused; `pick` is direct, and wide enough for planted reports.
pub(crate) const METRICS: &str = r#"
[metrics.host]
version = 2
question = "Which host?"
report = { encoding = "bloom", bits = 12, hashes = 2, cohorts = 4, instantaneous = { zero = 0.25, one = 0.75 } }

[[metrics.host.older]]
version = 1
report = { encoding = "bloom", bits = 8, hashes = 2, cohorts = 4, instantaneous = { zero = 0.25, one = 0.75 } }

[metrics.pick]
version = 1
question = "Which one?"
report = { encoding = "direct", bits = 256, cohorts = 64, instantaneous = { zero = 0.001953125, one = 0.501953125 } }
"#;

pub(crate) fn catalog() -> Catalog {
    Catalog::parse(METRICS).unwrap()
}

pub(crate) fn metric(name: &str) -> MetricId {
    MetricId::new(name).unwrap()
}

/// A section of a batch, with every field as a test wants it.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) metric: String,
    pub(crate) version: u32,
    pub(crate) epoch: u32,
    pub(crate) fingerprint: [u8; 8],
    pub(crate) registry: [u8; 8],
    pub(crate) tags: Vec<u16>,
    pub(crate) bits: u16,
    pub(crate) records: Vec<(u16, Vec<u8>)>,
}

impl Section {
    /// The section of a metric of the catalog, with cohort and set bits of each report.
    pub(crate) fn of(name: &str, version: u32, epoch: u32, reports: &[(u16, &[usize])]) -> Self {
        let catalog = catalog();
        let stream = catalog.get(&metric(name), version).unwrap().stream();
        let record = |ones: &[usize]| {
            let mut bytes = vec![0; stream.bit_bytes()];
            ones.iter().for_each(|bit| bytes[bit / 8] |= 1 << (bit % 8));
            bytes
        };
        Self {
            metric: name.to_owned(),
            version,
            epoch,
            fingerprint: stream.fingerprint().0,
            registry: [0; 8],
            tags: Vec::new(),
            bits: stream.bits() as u16,
            records: reports.iter().map(|(cohort, ones)| (*cohort, record(ones))).collect(),
        }
    }
}

/// The bytes of a batch, well-formed but for what the sections say.
pub(crate) fn batch(id: u64, sections: &[Section]) -> Vec<u8> {
    let mut out = b"dnbl\x02".to_vec();
    out.extend_from_slice(&WriteKey::NONE.0);
    out.extend_from_slice(&u128::from(id).to_le_bytes());
    out.extend_from_slice(&(sections.len() as u16).to_le_bytes());
    for section in sections {
        out.push(section.metric.len() as u8);
        out.extend_from_slice(section.metric.as_bytes());
        out.extend_from_slice(&section.version.to_le_bytes());
        out.extend_from_slice(&section.epoch.to_le_bytes());
        out.extend_from_slice(&section.fingerprint);
        out.extend_from_slice(&section.registry);
        out.push(section.tags.len() as u8);
        section.tags.iter().for_each(|place| out.extend_from_slice(&place.to_le_bytes()));
        out.extend_from_slice(&section.bits.to_le_bytes());
        out.extend_from_slice(&(section.records.len() as u32).to_le_bytes());
        for (cohort, bits) in &section.records {
            out.extend_from_slice(&cohort.to_le_bytes());
            out.extend_from_slice(bits);
        }
    }
    out
}

/// A batch as the store takes it.
pub(crate) fn accepted(id: u64, sections: &[Section]) -> Accepted {
    let body = batch(id, sections);
    let checked = check(&body, &catalog(), &Registries::default(), "");
    assert_eq!(checked.refused, Refused::default());
    checked.accepted
}

/// Checks a batch that came under the key of that name; every epoch is open.
pub(crate) fn check(body: &[u8], catalog: &Catalog, registries: &Registries, source: &str) -> Checked {
    let open = Epoch(0)..=Epoch(u32::MAX);
    Accepted::check(&Batch::parse(body).unwrap(), &Terms { catalog, registries, open, source })
}

/// The number of batches that can be planted.
pub(crate) const PLANTS: u64 = 64 * 256;
/// Today and a day beside it, as a collector with a clock takes no others. The ids of both lie in one table.
static PLANT_EPOCHS: LazyLock<[u32; 2]> = LazyLock::new(|| {
    let today = today();
    [today, if today.is_multiple_of(16) { today + 1 } else { today - 1 }]
});

/// The day on which the tests began, counted from 1970-01-01 UTC, whatever the day is by now.
pub(crate) fn today() -> u32 {
    static TODAY: LazyLock<u32> = LazyLock::new(day_now);
    *TODAY
}

/// The day, counted from 1970-01-01 UTC.
fn day_now() -> u32 {
    (SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 86_400) as u32
}

/// Does something that depends on the day, which it is given; again if the day ended meanwhile.
pub(crate) fn within_a_day<T>(act: impl Fn(u32) -> T) -> T {
    loop {
        let day = day_now();
        let done = act(day);
        if day_now() == day {
            return done;
        }
    }
}

/// A clock that stays at noon of [`today`].
struct Noon;

impl Clock for Noon {
    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(86_400 * u64::from(today()) + 43_200)
    }

    fn running(&self) -> Duration {
        Duration::ZERO
    }
}

/// The settings of a collector for which it is always [`today`].
pub(crate) fn settings() -> Settings {
    Settings { window: Window::with_clock(DEFAULT_OPEN_DAYS, Arc::new(Noon)), ..Settings::default() }
}

/// Where batch `n` leaves its mark in each of two epochs: a cohort and a bit that no other batch touches.
fn plant(n: u64, epoch: usize) -> (u16, usize) {
    let cohort = if epoch == 0 { n % 64 } else { (7 * n + 3) % 64 };
    (cohort as u16, (n / 64) as usize)
}

/// The sections of planted batch `n`: a report of its own in each epoch of `pick`, and one to `host` like all others.
pub(crate) fn planted(n: u64) -> Vec<Section> {
    let pick = |epoch: usize| {
        let (cohort, bit) = plant(n, epoch);
        Section::of("pick", 1, PLANT_EPOCHS[epoch], &[(cohort, &[bit])])
    };
    vec![Section::of("host", 2, PLANT_EPOCHS[0], &[(3, &[0, 11])]), pick(0), pick(1)]
}

/// How often each planted batch is counted, or what contradicts that every batch is counted as a whole.
pub(crate) fn planted_counts(store: &dyn Store) -> Result<BTreeMap<u64, u64>, String> {
    let of = |name, version, epoch| {
        store.counts(&metric(name), version, &of_epoch(epoch)).map_err(|error| error.to_string())
    };
    let picks = [of("pick", 1, PLANT_EPOCHS[0])?, of("pick", 1, PLANT_EPOCHS[1])?];
    let mut found = BTreeMap::new();
    for n in 0..PLANTS {
        let seen: [u64; 2] = std::array::from_fn(|epoch| {
            let (cohort, bit) = plant(n, epoch);
            picks[epoch].ones(usize::from(cohort))[bit]
        });
        if seen[0] != seen[1] {
            return Err(format!("batch {n} is counted in parts: {seen:?}"));
        }
        if seen[0] > 0 {
            found.insert(n, seen[0]);
        }
    }
    let total: u64 = found.values().sum();
    let host = of("host", 2, PLANT_EPOCHS[0])?;
    let totals = [picks[0].total(), picks[1].total(), host.total(), host.ones(3)[0], host.ones(3)[11]];
    if totals.iter().any(|sum| *sum != total) {
        return Err(format!("{total} batches left sums of {totals:?}"));
    }
    Ok(found)
}

/// Checks that each batch of `sent` is counted exactly once, and no other.
pub(crate) fn exactly_once(store: &dyn Store, sent: impl IntoIterator<Item = u64>) -> Result<(), String> {
    let expected: BTreeMap<u64, u64> = sent.into_iter().map(|n| (n, 1)).collect();
    let found = planted_counts(store)?;
    if found == expected { Ok(()) } else { Err(describe(&expected, &found)) }
}

fn describe(expected: &BTreeMap<u64, u64>, found: &BTreeMap<u64, u64>) -> String {
    let lost: Vec<_> = expected.keys().filter(|n| !found.contains_key(n)).collect();
    let wrong: Vec<_> = found.iter().filter(|(n, times)| expected.get(n) != Some(times)).collect();
    format!("lost: {lost:?}; counted too often: {wrong:?}")
}

/// The reports of one epoch.
pub(crate) fn of_epoch(epoch: u32) -> Selection {
    Selection::of_epochs(Epoch(epoch)..=Epoch(epoch))
}

/// All counts of a metric version.
pub(crate) fn counts(store: &dyn Store, name: &str, version: u32) -> Counts {
    store.counts(&metric(name), version, &Selection::all()).unwrap()
}

/// A small generator for choices in tests (SplitMix64, Steele, Lea and Flood 2014).
pub(crate) struct Choices(pub(crate) u64);

impl Choices {
    /// A number below `limit`; the bias is below `limit`·2⁻⁶⁴.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((u128::from(z ^ (z >> 31)) * u128::from(limit)) >> 64) as u64
    }
}
