//! The ledger: what the reports of a device have cost, and whether one more may be made.
//!
//! # What is charged
//! An account is kept for each metric in one version under one set of parameters. It counts the reports of each *signal
//! pattern*, known by a name that is a keyed hash under the device secret, never by the value; their cost together is
//! [`Params::epsilon_of_values`](crate::Params::epsilon_of_values), which for a memoized metric is charged once per
//! pattern up to ε∞, and without a permanent response for each report. A lost or redrawn secret gives other patterns, so what
//! it says is charged anew; nothing ever lowers a sum.
//!
//! # Caps
//! All accounts together stay within [`Privacy::lifetime`](crate::registry::Privacy::lifetime), and within
//! [`Privacy::weekly`](crate::registry::Privacy::weekly) for each week that reports tell of. That is the week of
//! their epoch, so a device that slept and answers for four weeks at once spends four weeks' budgets.
//!
//! Each metric that the device answers is promised what one answer costs in a week and for ever; other metrics can use what is left
//! beyond the promises, and never what is promised. So no answer of another metric decides whether an answer is reported that stays
//! as it is. A device whose answers change so often that they go over what is left is refused from then on, for the rest of the week
//! or for ever, whatever its later answers are: that it fell silent then says that its answers had changed, and not which of them are
//! new. A reset, a lost secret or other questions spend of what is left, and may use up what is promised.
//!
//! # Weeks
//! The weeks are those of the device's clock. The last [`MAX_SPANS`] with reports are kept apart; older ones are added up as if they
//! were one, so that a clock that runs back finds at least what was spent.

use alloc::vec::Vec;
use core::mem;

use crate::binary::{Binary, Reader, Writer, binary};
use crate::calendar::Day;
use crate::metric::{MetricId, Stream};
use crate::params::Params;
use crate::privacy::Epsilon;
use crate::registry::{Metric, Privacy, Registry};
use crate::sorted::Sorted;

/// How many weeks an account keeps apart: those of the epochs that a collector takes by default, and one ahead.
pub(super) const MAX_SPANS: usize = 8;

/// More than the error of adding up a few hundred rounded losses. A cap is a number that people wrote down.
const SLACK: f64 = 1e-9;

/// Reports by the name of their signal pattern.
type Counts = Sorted<u64, u32>;

/// All that was ever spent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ledger {
    accounts: Sorted<AccountKey, Account>,
    /// What metrics cost that are no longer asked.
    closed: Closed,
    /// How often a stored state was lost with all that it knew of charges.
    lost_states: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct AccountKey {
    metric: MetricId,
    version: u32,
    fingerprint: [u8; 8],
}

impl AccountKey {
    fn new(stream: &Stream) -> Self {
        let (metric, version) = (stream.metric().clone(), stream.version());
        Self { metric, version, fingerprint: stream.fingerprint().0 }
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Account {
    params: Params,
    /// The loss under secrets that are no more.
    past: f64,
    counts: Counts,
    /// Whether a report was refused for life.
    stopped: bool,
    weeks: Vec<Span<Counts>>,
    /// The weeks in which a report was refused.
    stopped_weeks: Vec<Day>,
    reports: u64,
    refused: u64,
}

/// The weeks from one Monday to another, and what was spent in them.
#[derive(Clone, Debug, PartialEq)]
struct Span<T> {
    from: Day,
    to: Day,
    spent: T,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Closed {
    lifetime: f64,
    weeks: Vec<Span<f64>>,
    reports: u64,
}

binary!(struct Ledger { accounts, closed, lost_states });
binary!(struct AccountKey { metric, version, fingerprint });
binary!(struct Account { params, past, counts, stopped, weeks, stopped_weeks, reports, refused });
binary!(struct Closed { lifetime, weeks, reports });

impl<T: Binary> Binary for Span<T> {
    fn write(&self, to: &mut Writer<'_>) {
        (self.from, self.to).write(to);
        self.spent.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Self {
        Self { from: Binary::read(from), to: Binary::read(from), spent: Binary::read(from) }
    }
}

/// Why a report may not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// It would cost more than [`Privacy::weekly`](crate::registry::Privacy::weekly).
    Week,
    /// It would cost more than [`Privacy::lifetime`](crate::registry::Privacy::lifetime).
    Life,
}

/// What a metric has cost the device.
#[derive(Clone, Debug, PartialEq)]
pub struct Spent {
    /// The metric.
    pub metric: MetricId,
    /// Its version.
    pub version: u32,
    /// The reports that were made, sent or not.
    pub reports: u64,
    /// Those of them that wait or are on their way.
    pub waiting: u64,
    /// The reports that were refused because a cap would have been passed.
    pub refused: u64,
    /// The ε spent in the week that is open.
    pub this_week: Epsilon,
    /// The ε spent for ever, under this secret and those before.
    pub for_life: Epsilon,
    /// The cap that stopped it, if one did and holds on.
    pub stopped_by: Option<Cap>,
}

/// A sum and its cap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budgeted {
    /// What was spent.
    pub spent: Epsilon,
    /// The most that may be spent.
    pub cap: Epsilon,
}

impl Budgeted {
    /// What is left; 0 if a registry lowered the cap below what was spent.
    pub fn left(&self) -> f64 {
        (self.cap.get() - self.spent.get()).max(0.0)
    }
}

/// What the device has spent, and may spend.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerView {
    /// The metrics that are asked now.
    pub metrics: Vec<Spent>,
    /// All metrics together in the week that is open.
    pub this_week: Budgeted,
    /// All metrics together for ever, those included that are no longer asked.
    pub for_life: Budgeted,
    /// The reports that were ever made, sent or not.
    pub reports: u64,
    /// How often a stored state was lost together with what it knew of charges. Above 0 the sums are only what is known.
    pub lost_states: u32,
}

/// What a device may spend: the caps, and what is promised to each of its metrics.
pub(super) struct Budget<'r> {
    caps: Privacy,
    asked: Vec<&'r Metric>,
}

impl<'r> Budget<'r> {
    pub(super) fn new(registry: &'r Registry, is_asked: &dyn Fn(&Metric) -> bool) -> Self {
        let mut asked = Vec::new();
        for metric in registry.metrics() {
            if is_asked(metric) {
                asked.push(metric);
            }
        }
        Self { caps: registry.privacy(), asked }
    }

    fn cap(&self, period: Period) -> f64 {
        match period {
            Period::Week(_) => self.caps.weekly,
            Period::Life => self.caps.lifetime,
        }
    }

    /// What one answer of a metric may cost whatever other metrics cost.
    fn promise(&self, metric: &Metric, period: Period) -> f64 {
        let promise = match (metric.every(), period) {
            (None, _) => metric.params().epsilon_infinity().get(),
            (Some(_), Period::Week(_)) => metric.weekly_epsilon(),
            (Some(_), Period::Life) => metric.lifetime_epsilon(),
        };
        promise.min(self.cap(period))
    }
}

/// What a cap is for.
#[derive(Clone, Copy)]
enum Period {
    Week(Day),
    Life,
}

impl Ledger {
    /// The ledger of a device whose own was lost.
    pub(super) fn lost() -> Self {
        Self { lost_states: 1, ..Self::default() }
    }

    /// Counts that a state was lost with what it knew of charges.
    #[cfg(feature = "native")]
    pub(super) fn lose(&mut self) {
        self.lost_states = self.lost_states.saturating_add(1);
    }

    /// Charges a report of `metric` for an epoch of that week, under a signal pattern.
    ///
    /// # Errors
    /// The cap that it would have passed. Then nothing is charged but the refusal is kept.
    pub(super) fn charge(
        &mut self,
        budget: &Budget<'_>,
        metric: &Metric,
        pattern: u64,
        week: Day,
    ) -> Result<(), Cap> {
        let key = AccountKey::new(&metric.stream());
        let unspent = || Account::new(*metric.params());
        let mut account = mem::replace(self.accounts.get_or_insert(key.clone(), unspent), unspent());
        let mut after = account.clone();
        after.charge(pattern, week);
        let passed = account.stopped_by(week).or_else(|| self.passed(budget, metric, &after, week));
        match passed {
            None => account = after,
            Some(cap) => account.refuse(cap, week),
        }
        *self.accounts.get_or_insert(key, unspent) = account;
        passed.map_or(Ok(()), Err)
    }

    /// The cap that a metric passes with what its account would be, in whose place an unspent one stands.
    fn passed(&self, budget: &Budget<'_>, metric: &Metric, after: &Account, week: Day) -> Option<Cap> {
        let fits = |period| self.fits(budget, metric, after.spent(period), period);
        if !fits(Period::Life) {
            return Some(Cap::Life);
        }
        (!fits(Period::Week(week))).then_some(Cap::Week)
    }

    /// Whether this metric may come to have cost `mine`, in whose place an unspent account stands.
    fn fits(&self, budget: &Budget<'_>, metric: &Metric, mine: Epsilon, period: Period) -> bool {
        let cap = budget.cap(period) + SLACK;
        let spent = mine.plus(self.spent(period));
        let promised = mine.get() <= budget.promise(metric, period) + SLACK;
        spent.get() <= cap && (promised || mine.get() + self.reserved(budget, metric, period) <= cap)
    }

    /// What all accounts cost.
    fn spent(&self, period: Period) -> Epsilon {
        let open: Epsilon = self.accounts.values().map(|account| account.spent(period)).sum();
        open.plus(self.closed.spent(period))
    }

    /// What metrics other than this one have spent or are promised.
    fn reserved(&self, budget: &Budget<'_>, metric: &Metric, period: Period) -> f64 {
        let other = |asked: &&&Metric| asked.id() != metric.id();
        let unspent = |asked: &&Metric| {
            let spent = self.account(asked).map_or(0.0, |account| account.spent(period).get());
            (budget.promise(asked, period) - spent).max(0.0)
        };
        self.spent(period).get() + budget.asked.iter().filter(other).map(unspent).sum::<f64>()
    }

    fn account(&self, metric: &Metric) -> Option<&Account> {
        self.accounts.get(&AccountKey::new(&metric.stream()))
    }

    /// Adds up what was charged under a secret that is no more, and forgets its patterns.
    pub(super) fn close_secret(&mut self) {
        for account in self.accounts.values_mut() {
            account.past = account.spent(Period::Life).get();
            account.counts.clear();
        }
    }

    /// Adds up the accounts that a registry no longer asks.
    pub(super) fn close_unasked(&mut self, registry: &Registry) {
        let asked: Vec<AccountKey> =
            registry.metrics().map(|metric| AccountKey::new(&metric.stream())).collect();
        while let Some(account) = self.accounts.remove_if(|key| !asked.contains(key)) {
            self.closed.take(&account);
        }
    }

    pub(super) fn view(
        &self,
        budget: &Budget<'_>,
        week: Day,
        waiting: impl Fn(&Stream) -> u64,
    ) -> LedgerView {
        let metric = |metric: &&Metric| {
            let unspent = Account::new(*metric.params());
            let account = self.account(metric).unwrap_or(&unspent);
            Spent {
                metric: metric.id().clone(),
                version: metric.version(),
                reports: account.reports,
                waiting: waiting(&metric.stream()),
                refused: account.refused,
                this_week: account.spent(Period::Week(week)),
                for_life: account.spent(Period::Life),
                stopped_by: account.stopped_by(week),
            }
        };
        let budgeted =
            |period| Budgeted { spent: self.spent(period), cap: Epsilon::stored(budget.cap(period)) };
        LedgerView {
            metrics: budget.asked.iter().map(metric).collect(),
            this_week: budgeted(Period::Week(week)),
            for_life: budgeted(Period::Life),
            reports: self.closed.reports + self.accounts.values().map(|account| account.reports).sum::<u64>(),
            lost_states: self.lost_states,
        }
    }
}

impl Account {
    fn new(params: Params) -> Self {
        Self {
            params,
            past: 0.0,
            counts: Counts::default(),
            stopped: false,
            weeks: Vec::new(),
            stopped_weeks: Vec::new(),
            reports: 0,
            refused: 0,
        }
    }

    fn charge(&mut self, pattern: u64, week: Day) {
        count(&mut self.counts, pattern, 1);
        count(span_of(&mut self.weeks, week, week, merge_counts), pattern, 1);
        self.reports += 1;
    }

    fn refuse(&mut self, cap: Cap, week: Day) {
        self.refused += 1;
        match cap {
            Cap::Life => self.stopped = true,
            Cap::Week if self.stopped_weeks.contains(&week) => {}
            Cap::Week => {
                if self.stopped_weeks.len() >= MAX_SPANS {
                    self.stopped_weeks.remove(0);
                }
                self.stopped_weeks.push(week);
            }
        }
    }

    fn stopped_by(&self, week: Day) -> Option<Cap> {
        let this_week = || self.stopped_weeks.contains(&week).then_some(Cap::Week);
        self.stopped.then_some(Cap::Life).or_else(this_week)
    }

    fn spent(&self, period: Period) -> Epsilon {
        let cost = |counts: &Counts| self.params.epsilon_of_values(counts.values().map(|&n| n.into()));
        match period {
            Period::Life => Epsilon::stored(self.past).plus(cost(&self.counts)),
            Period::Week(week) => find(&self.weeks, week).map_or(Epsilon::ZERO, cost),
        }
    }
}

impl Closed {
    fn spent(&self, period: Period) -> Epsilon {
        Epsilon::stored(match period {
            Period::Life => self.lifetime,
            Period::Week(week) => find(&self.weeks, week).copied().unwrap_or_default(),
        })
    }

    fn take(&mut self, account: &Account) {
        let add = |sum: &mut f64, loss: &f64| *sum = Epsilon::stored(*sum).plus(Epsilon::stored(*loss)).get();
        self.reports += account.reports;
        add(&mut self.lifetime, &account.spent(Period::Life).get());
        for Span { from, to, .. } in &account.weeks {
            let spent = account.spent(Period::Week(*from)).get();
            add(span_of(&mut self.weeks, *from, *to, add), &spent);
        }
    }
}

fn count(counts: &mut Counts, pattern: u64, reports: u32) {
    let counted = counts.get_or_insert(pattern, || 0);
    *counted = counted.saturating_add(reports);
}

fn merge_counts(counts: &mut Counts, other: &Counts) {
    other.iter().for_each(|(pattern, reports)| count(counts, *pattern, *reports));
}

fn find<T>(spans: &[Span<T>], week: Day) -> Option<&T> {
    spans.iter().find(|span| (span.from..=span.to).contains(&week)).map(|span| &span.spent)
}

/// What was spent in the span that holds these weeks; spans that overlap become one, and so do the oldest two of too many.
fn span_of<T: Default>(spans: &mut Vec<Span<T>>, from: Day, to: Day, merge: impl Fn(&mut T, &T)) -> &mut T {
    let mut span = Span { from, to, spent: T::default() };
    let join = |span: &mut Span<T>, other: &Span<T>| {
        (span.from, span.to) = (span.from.min(other.from), span.to.max(other.to));
        merge(&mut span.spent, &other.spent);
    };
    while let Some(place) = spans.iter().position(|other| other.from <= span.to && span.from <= other.to) {
        join(&mut span, &spans.remove(place));
    }
    let mut place = spans.partition_point(|other| other.to < span.from);
    spans.insert(place, span);
    if spans.len() > MAX_SPANS {
        let oldest = spans.remove(0);
        join(&mut spans[0], &oldest);
        place = place.saturating_sub(1);
    }
    &mut spans[place].spent
}
