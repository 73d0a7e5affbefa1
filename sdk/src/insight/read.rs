//! From what the cells remember to the answer of a metric.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use super::clock::Clock;
use super::tally::{Found, Tally};
use super::{Given, NO_TEXT};
use crate::calendar::Day;
use crate::identity::{DeviceSecret, place};
use crate::registry::{Answer, Closed, Plan, Read, Registry, Test, Window};

/// All that an answer is read from.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) registry: &'a Registry,
    pub(super) secret: &'a DeviceSecret,
    pub(super) tallies: &'a [Tally],
    pub(super) clock: &'a Clock,
    /// The day on which the epoch began.
    pub(super) period: Day,
}

/// The number of the window that is open in a period, for draws that hold as long as it does.
pub(super) fn instance(window: Window, clock: &Clock, period: Day) -> u64 {
    match window {
        Window::Session => u64::from(clock.session),
        Window::Day => u64::from(period.0),
        Window::Week => u64::from(period.week().0),
        Window::Month => u64::from(period.month().0),
        Window::Ever | Window::FirstSession | Window::Days(_) => 0,
    }
}

impl<'a> View<'a> {
    pub(super) fn answer(&self, plan: &Plan) -> Given {
        let eligible = plan.eligible.as_ref().is_none_or(|test| self.holds(test));
        match plan.answer {
            Answer::Closed(_) if !eligible => Given::Choice(plan.ineligible),
            Answer::Text(_) if !eligible => Given::Text(NO_TEXT.to_owned()),
            Answer::Number(_) if !eligible => Given::Number(None),
            Answer::Closed(closed) => {
                let place = self.place(closed);
                let values = self.registry.closed[closed].labels.len();
                Given::Choice(plan.arm.map_or(0, |arm| self.place(arm) * values) + place)
            }
            Answer::Set(cell) => match self.find(cell) {
                Found::Labels(labels) => Given::Subset(labels as u8),
                _ => Given::Subset(0),
            },
            Answer::Text(cell) => match self.find(cell) {
                Found::Text(text) if !text.is_empty() => Given::Text(text.to_owned()),
                _ => Given::Text(NO_TEXT.to_owned()),
            },
            Answer::Number(cell) => Given::Number(self.number(cell)),
        }
    }

    /// The places of the public tags.
    pub(super) fn tags(&self) -> Vec<usize> {
        self.registry.tags.iter().map(|(_, closed)| self.place(*closed)).collect()
    }

    fn find(&self, cell: usize) -> Found<'a> {
        let plan = &self.registry.cells[cell];
        let draw = || {
            let instance = instance(plan.window, self.clock, self.period);
            self.secret.draw_for(&plan.key.to_be_bytes(), instance)
        };
        self.tallies[cell].find(&plan.reduction, draw)
    }

    fn number(&self, cell: usize) -> Option<f64> {
        if let Found::Number(number) = self.find(cell) { Some(number) } else { None }
    }

    /// The place of a closed question's answer in its list, which is not empty.
    pub(super) fn place(&self, closed: usize) -> usize {
        #[cfg(test)]
        looked::note();
        let Closed { labels, read, .. } = &self.registry.closed[closed];
        self.read(labels, read).min(labels.len() - 1)
    }

    fn read(&self, labels: &[String], read: &Read) -> usize {
        match read {
            Read::Flag(cell) => usize::from(self.find(*cell) == Found::Flag(true)),
            Read::AtLeast { cell, least } => usize::from(self.number(*cell).is_some_and(|x| x >= *least)),
            Read::Place { cell, none } => self.label(*cell).unwrap_or(*none),
            Read::Mapped { cell, places, none } => {
                self.label(*cell).map_or(*none, |label| places.get(label).copied().unwrap_or(*none))
            }
            Read::Texts { cell, other, none } => match self.find(*cell) {
                Found::Text(text) => labels.iter().position(|label| label == text).unwrap_or(*other),
                _ => *none,
            },
            Read::Numbers { cell, values, other, none } => match self.number(*cell) {
                Some(number) => values.iter().position(|value| *value == number).unwrap_or(*other),
                None => *none,
            },
            Read::Bins { cell, edges, none } => match self.number(*cell) {
                Some(number) => edges.partition_point(|edge| *edge <= number),
                None => *none,
            },
            Read::Retention { cell, weeks } => {
                let weeks = usize::from(*weeks);
                let began = self.clock.install.day().week();
                let age = (self.period.week().0.saturating_sub(began.0) / 7) as usize;
                match self.find(*cell) {
                    Found::Flag(true) => age.min(weeks + 1),
                    _ => weeks + 2,
                }
            }
            Read::Rules { rules, otherwise } => {
                rules.iter().find(|(test, _)| self.holds(test)).map_or(*otherwise, |(_, label)| *label)
            }
            Read::Nearest { features, centers } => self.nearest(features, centers),
            Read::Arm(trial) => self.arm(*trial),
            Read::Cross(a, b) => self.place(*a) * self.registry.closed[*b].labels.len() + self.place(*b),
        }
    }

    fn label(&self, cell: usize) -> Option<usize> {
        if let Found::Label(label) = self.find(cell) { Some(label) } else { None }
    }

    fn holds(&self, test: &Test) -> bool {
        #[cfg(test)]
        looked::note();
        match test {
            Test::All(tests) => tests.iter().all(|test| self.holds(test)),
            Test::Any(tests) => tests.iter().any(|test| self.holds(test)),
            Test::Not(tests) => !tests.iter().any(|test| self.holds(test)),
            Test::AtLeast { cell, least } => self.number(*cell).is_some_and(|count| count >= *least),
            Test::Is { closed, places } => places.contains(&self.place(*closed)),
            Test::Installed { from, until } => {
                let day = self.clock.install.day();
                from.is_none_or(|from| day >= from) && until.is_none_or(|until| day < until)
            }
        }
    }

    fn nearest(&self, features: &[(usize, (f64, f64))], centers: &[Vec<f64>]) -> usize {
        let (mut nearest, mut least) = (0, f64::INFINITY);
        for (place, center) in centers.iter().enumerate() {
            let mut distance = 0.0;
            for (&(cell, (mean, scale)), there) in features.iter().zip(center) {
                let apart = (self.number(cell).unwrap_or(0.0) - mean) / scale - there;
                distance += apart * apart;
            }
            if distance < least {
                (nearest, least) = (place, distance);
            }
        }
        nearest
    }

    /// The arm that the device draws, the same whenever it is asked.
    pub(super) fn arm(&self, trial: usize) -> usize {
        let trial = &self.registry.trials[trial];
        let total: u64 = trial.arms.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let draw = self.secret.draw_for(trial.name.as_bytes(), u64::MAX);
        let mut left = place(draw, total);
        for (place, (_, weight)) in trial.arms.iter().enumerate() {
            match left.checked_sub(u64::from(*weight)) {
                Some(rest) => left = rest,
                None => return place,
            }
        }
        unreachable!("the draw is below the sum of the weights")
    }
}

/// How many questions and conditions were looked at.
#[cfg(test)]
pub(crate) mod looked {
    use core::cell::Cell;

    std::thread_local! {
        static LOOKS: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn note() {
        LOOKS.set(LOOKS.get() + 1);
    }

    /// The looks of this thread since it was asked last.
    pub(crate) fn take() -> usize {
        LOOKS.take()
    }
}
