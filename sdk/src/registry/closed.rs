//! Questions with a closed list of answers: dimensions, segments, arms, crosses, and the conditions that use them.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::compile::{Compiler, list};
use super::declared::{Condition, DrawnBy, Experiment, Kind, Matching, Segment, Source, Window};
use super::fault::{Place, Problem};
use super::metric::{Answer, Plan};
use super::plan::{OTHER, Shape};
use crate::binary::binary;
use crate::calendar::Day;
use crate::domain::{Domain, DomainError, Other};
use crate::params::MAX_BITS;

/// The label of a device that has nothing to say.
pub(super) const NONE: &str = "none";

/// The most steps that an answer takes: less than a millisecond, and no more looks in each other than a stack has room for.
pub(super) const MAX_STEPS: usize = 1 << 16;

/// The steps of a look at a cell, a condition or a question. An item of a list that is searched takes one.
pub(super) const LOOK: usize = 64;

/// A question with a closed list of answers.
#[derive(Clone, Debug)]
pub(crate) struct Closed {
    pub(crate) labels: Vec<String>,
    pub(crate) read: Read,
    pub(super) sensitive: bool,
    /// The windows of the cells it is read from.
    pub(super) windows: Vec<Window>,
    /// The most steps that it takes to read it.
    pub(super) steps: usize,
}

/// How the place of an answer in its list is read from the cells.
#[derive(Clone, Debug)]
pub(crate) enum Read {
    Flag(usize),
    AtLeast {
        cell: usize,
        least: f64,
    },
    /// The place itself; `none` if there is none.
    Place {
        cell: usize,
        none: usize,
    },
    /// The place of each label of the source.
    Mapped {
        cell: usize,
        places: Vec<usize>,
        none: usize,
    },
    Texts {
        cell: usize,
        other: usize,
        none: usize,
    },
    Numbers {
        cell: usize,
        values: Vec<f64>,
        other: usize,
        none: usize,
    },
    Bins {
        cell: usize,
        edges: Vec<f64>,
        none: usize,
    },
    Retention {
        cell: usize,
        weeks: u16,
    },
    Rules {
        rules: Vec<(Test, usize)>,
        otherwise: usize,
    },
    Nearest {
        features: Vec<(usize, (f64, f64))>,
        centers: Vec<Vec<f64>>,
    },
    Arm(usize),
    Cross(usize, usize),
}

/// A condition that names cells and closed questions by their places.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Vec<Test>),
    AtLeast { cell: usize, least: f64 },
    Is { closed: usize, places: Vec<usize> },
    Installed { from: Option<Day>, until: Option<Day> },
}

/// An experiment whose arms are drawn by weight.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) name: String,
    pub(crate) arms: Vec<(String, u32)>,
    pub(super) eligible: Option<(Test, Vec<Window>)>,
    /// The closed question of its arm.
    pub(crate) closed: usize,
}

binary!(struct Closed { labels, read; sensitive: false; windows: Vec::new(); steps: 0 });
binary!(enum Read {
    0 Flag(cell),
    1 AtLeast { cell, least },
    2 Place { cell, none },
    3 Mapped { cell, places, none },
    4 Texts { cell, other, none },
    5 Numbers { cell, values, other, none },
    6 Bins { cell, edges, none },
    7 Retention { cell, weeks },
    8 Rules { rules, otherwise },
    9 Nearest { features, centers },
    10 Arm(trial),
    11 Cross(first, second),
});
binary!(struct Trial { name, arms, closed; eligible: None });

/// Counts the steps that an answer takes at most, all that is looked at as often as it is named.
///
/// Questions know their own steps. So counting takes one pass where reading could take twice as long with each question of a chain.
pub(super) struct Steps<'a> {
    /// How many cells there are.
    cells: usize,
    /// How many trials there are.
    trials: usize,
    /// The questions that may be named.
    closed: &'a [Closed],
    taken: usize,
}

impl<'a> Steps<'a> {
    pub(super) fn new(cells: usize, trials: usize, closed: &'a [Closed]) -> Self {
        Self { cells, trials, closed, taken: 0 }
    }

    /// Those of a question.
    pub(super) fn of(mut self, Closed { labels, read, .. }: &Closed) -> usize {
        match read {
            Read::Flag(cell)
            | Read::AtLeast { cell, .. }
            | Read::Place { cell, .. }
            | Read::Mapped { cell, .. }
            | Read::Bins { cell, .. }
            | Read::Retention { cell, .. } => self.cell(*cell),
            Read::Texts { cell, .. } => {
                self.cell(*cell);
                self.take(labels.len());
            }
            Read::Numbers { cell, values, .. } => {
                self.cell(*cell);
                self.take(values.len());
            }
            Read::Rules { rules, .. } => rules.iter().for_each(|(test, _)| self.test(test)),
            Read::Nearest { features, centers } => {
                features.iter().for_each(|(cell, _)| self.cell(*cell));
                centers.iter().for_each(|_| self.take(features.len()));
            }
            Read::Arm(trial) => self.look(*trial < self.trials),
            Read::Cross(a, b) => {
                self.question(*a);
                self.question(*b);
            }
        }
        self.take(LOOK);
        self.taken
    }

    /// Those of a plan.
    pub(super) fn of_plan(mut self, plan: &Plan) -> usize {
        match plan.answer {
            Answer::Closed(closed) => self.question(closed),
            Answer::Set(cell) | Answer::Text(cell) | Answer::Number(cell) => self.cell(cell),
        }
        plan.arm.iter().for_each(|arm| self.question(*arm));
        plan.eligible.iter().for_each(|test| self.test(test));
        self.taken
    }

    fn test(&mut self, test: &Test) {
        match test {
            Test::All(tests) | Test::Any(tests) | Test::Not(tests) => {
                tests.iter().for_each(|test| self.test(test));
            }
            Test::AtLeast { cell, .. } => self.cell(*cell),
            Test::Is { closed, places } => {
                self.question(*closed);
                self.take(places.len());
            }
            Test::Installed { .. } => {}
        }
        self.take(LOOK);
    }

    fn cell(&mut self, cell: usize) {
        self.look(cell < self.cells);
    }

    fn question(&mut self, closed: usize) {
        self.take(self.closed.get(closed).map_or(usize::MAX, |closed| closed.steps));
    }

    /// What is not there takes for ever.
    fn look(&mut self, there: bool) {
        self.take(if there { LOOK } else { usize::MAX });
    }

    fn take(&mut self, steps: usize) {
        self.taken = self.taken.saturating_add(steps);
    }
}

/// What is known of the named things so far.
#[derive(Default)]
pub(super) struct Names {
    pub(super) closed: Vec<Closed>,
    pub(super) named: alloc::collections::BTreeMap<String, usize>,
    pub(super) trials: Vec<Trial>,
}

impl Names {
    pub(super) fn steps(&self, cells: usize) -> Steps<'_> {
        Steps::new(cells, self.trials.len(), &self.closed)
    }
}

impl Closed {
    fn new(labels: Vec<String>, read: Read, windows: Vec<Window>) -> Self {
        Self { labels, read, sensitive: false, windows, steps: 0 }
    }
}

impl<'d> Compiler<'d> {
    /// Compiles dimensions, segments and experiments, in the order in which they may name each other.
    pub(super) fn names(&mut self) -> Names {
        let mut names = Names::default();
        let declared = self.declared;
        for (name, dimension) in &declared.dimensions {
            let place = Place::new(["dimensions", name]);
            let closed = self.inline(&place, &dimension.source, &dimension.kind);
            self.name(&mut names, "a dimension", &place, name, closed, dimension.sensitive);
        }
        for (name, segment) in &declared.segments {
            let place = Place::new(["segments", name]);
            let closed = self.segment(&names, &place, segment);
            let (Segment::Rules { sensitive, .. } | Segment::Centroids { sensitive, .. }) = segment;
            self.name(&mut names, "a segment", &place, name, closed, *sensitive);
        }
        for (name, experiment) in &declared.experiments {
            self.experiment(&mut names, name, experiment);
        }
        names
    }

    fn name(
        &mut self,
        names: &mut Names,
        what: &str,
        place: &Place,
        name: &str,
        closed: Option<Closed>,
        sensitive: bool,
    ) {
        let others = [
            ("a dimension", self.declared.dimensions.contains_key(name)),
            ("a segment", self.declared.segments.contains_key(name)),
            ("an experiment", self.declared.experiments.contains_key(name)),
        ];
        if let Some((other, _)) = others.into_iter().find(|(other, has)| *has && *other != what) {
            self.fault(place.clone(), Problem::Overlap { name: name.to_owned(), other: other.to_owned() });
        }
        if let Some(closed) = closed {
            if let Err(error) = Domain::labels(closed.labels.iter().cloned(), Other::Refused) {
                self.fault(place.clone(), error.into());
            }
            let index = self.push(names, place, Closed { sensitive, ..closed });
            names.named.insert(name.to_owned(), index);
        }
    }

    /// Takes up a question. One that takes too many steps is told once, and not with each that names it.
    pub(super) fn push(&mut self, names: &mut Names, place: &Place, closed: Closed) -> usize {
        let steps = names.steps(self.cells.len()).of(&closed);
        let steps = if self.in_time(place, steps) { steps } else { LOOK };
        names.closed.push(Closed { steps, ..closed });
        names.closed.len() - 1
    }

    /// The closed question of an inline source.
    pub(super) fn inline(&mut self, place: &Place, source: &'d Source, kind: &'d Kind) -> Option<Closed> {
        let (cell, shape) = self.cell(&place.at("source"), source)?;
        self.read(&place.at("kind"), cell, shape, kind)
    }

    pub(super) fn read(
        &mut self,
        place: &Place,
        cell: usize,
        shape: Shape,
        kind: &'d Kind,
    ) -> Option<Closed> {
        let window = self.cells[cell].window;
        let (labels, read) = match (kind, shape) {
            (Kind::Boolean, Shape::Flag) => (flag(), Read::Flag(cell)),
            (Kind::AtLeast(least), Shape::Number) => (flag(), Read::AtLeast { cell, least: *least }),
            (Kind::Category, Shape::Closed(labels)) => (labels, Read::Place { cell, none: 0 }),
            (Kind::Category, Shape::Labels(mut labels)) => {
                let none = place_or_push(&mut labels, NONE);
                (labels, Read::Place { cell, none })
            }
            (Kind::Category, Shape::Text) => {
                self.fault(place.clone(), Problem::Unbounded { found: Shape::Text.describe() });
                return None;
            }
            (Kind::Labels(list), shape) => self.labelled(place, cell, list, &shape)?,
            (Kind::Histogram { edges }, Shape::Number) => {
                if let Err(error) = Domain::histogram(edges.clone()) {
                    self.fault(place.at("histogram").at("edges"), error.into());
                    return None;
                }
                let mut labels = bins(edges);
                let none = place_or_push(&mut labels, NONE);
                (labels, Read::Bins { cell, edges: edges.clone(), none })
            }
            (Kind::Retention { weeks }, Shape::Flag) if window == Window::Week => {
                self.in_range(place.at("retention").at("weeks"), f64::from(*weeks), 1.0, 520.0);
                let ages = (0..=*weeks).map(|age| age.to_string());
                (
                    ages.chain(["older", "inactive"].map(str::to_owned)).collect(),
                    Read::Retention { cell, weeks: *weeks },
                )
            }
            (kind, shape) => {
                let problem = Problem::WrongType { found: shape.describe(), wanted: wanted(kind) };
                self.fault(place.clone(), problem);
                return None;
            }
        };
        Some(Closed::new(labels, read, [window].into()))
    }

    /// The labels that a text, a number or another list is told by.
    fn labelled(
        &mut self,
        place: &Place,
        cell: usize,
        listed: &[String],
        shape: &Shape,
    ) -> Option<(Vec<String>, Read)> {
        let mut labels = listed.to_vec();
        let other = place_or_push(&mut labels, OTHER);
        let none = place_or_push(&mut labels, NONE);
        let read = match shape {
            Shape::Text => Read::Texts { cell, other, none },
            Shape::Labels(source) => {
                let place = |label: &String| listed.iter().position(|name| name == label).unwrap_or(other);
                Read::Mapped { cell, places: source.iter().map(place).collect(), none }
            }
            Shape::Number => {
                let number = |label: &String| label.parse::<f64>().ok().filter(|number| number.is_finite());
                let Some(values) = listed.iter().map(number).collect() else {
                    let found = "a label that is no number".to_owned();
                    self.fault(place.at("labels"), Problem::WrongType { found, wanted: "a list of numbers" });
                    return None;
                };
                Read::Numbers { cell, values, other, none }
            }
            shape => {
                let wanted = "a text, a number or a label";
                self.fault(place.clone(), Problem::WrongType { found: shape.describe(), wanted });
                return None;
            }
        };
        Some((labels, read))
    }

    fn segment(&mut self, names: &Names, place: &Place, segment: &'d Segment) -> Option<Closed> {
        let mut windows = Vec::new();
        match segment {
            Segment::Rules { rules, otherwise, .. } => {
                let mut labels = Vec::new();
                let mut compiled = Vec::new();
                for (i, rule) in rules.iter().enumerate() {
                    let place = place.at("rules").at("rules").item(i).at("when");
                    if let Some(test) = self.condition(names, &place, &rule.when, &mut windows) {
                        compiled.push((test, place_or_push(&mut labels, &rule.label)));
                    }
                }
                let otherwise = place_or_push(&mut labels, otherwise);
                Some(Closed::new(labels, Read::Rules { rules: compiled, otherwise }, windows))
            }
            Segment::Centroids { features, centers, .. } => {
                let place = place.at("centroids");
                let mut compiled = Vec::new();
                for (i, feature) in features.iter().enumerate() {
                    let place = place.at("features").item(i);
                    if !(feature.scale > 0.0 && feature.scale.is_finite() && feature.mean.is_finite()) {
                        let value = feature.scale;
                        self.fault(
                            place.at("scale"),
                            Problem::OutOfRange { value, low: f64::MIN_POSITIVE, high: f64::MAX },
                        );
                    }
                    let (cell, shape) = self.cell(&place.at("source"), &feature.source)?;
                    if shape != Shape::Number {
                        let problem = Problem::WrongType { found: shape.describe(), wanted: "a number" };
                        self.fault(place.at("source"), problem);
                    }
                    windows.push(self.cells[cell].window);
                    compiled.push((cell, (feature.mean, feature.scale)));
                }
                for (i, center) in centers.iter().enumerate() {
                    let (found, wanted) = (center.at.len() as f64, features.len() as f64);
                    self.in_range(place.at("centers").item(i).at("at"), found, wanted, wanted);
                }
                let labels = centers.iter().map(|center| center.label.clone()).collect();
                let centers = centers.iter().map(|center| center.at.clone()).collect();
                Some(Closed::new(labels, Read::Nearest { features: compiled, centers }, windows))
            }
        }
    }

    fn experiment(&mut self, names: &mut Names, name: &str, experiment: &'d Experiment) {
        let place = Place::new(["experiments", name]);
        if experiment.drawn_by == DrawnBy::Eligible {
            let how = "only those who are eligible draw an arm";
            let remedy = "let everyone draw one; those who are not eligible answer `ineligible`";
            self.fault(place.at("drawn_by"), Problem::Reveals { how, remedy });
        }
        for (arm, weight) in &experiment.arms {
            self.in_range(place.at("arms").at(arm), f64::from(*weight), 1.0, 1e6);
        }
        let mut windows = Vec::new();
        let eligible = experiment.eligible.as_ref().and_then(|eligible| {
            self.condition(names, &place.at("eligible"), eligible, &mut windows).map(|test| (test, windows))
        });
        let arms: Vec<(String, u32)> =
            experiment.arms.iter().map(|(arm, weight)| (arm.clone(), *weight)).collect();
        let labels = arms.iter().map(|(arm, _)| arm.clone()).collect();
        let arm = Closed::new(labels, Read::Arm(names.trials.len()), Vec::new());
        names.trials.push(Trial { name: name.to_owned(), arms, eligible, closed: names.closed.len() });
        self.name(names, "an experiment", &place, name, Some(arm), false);
    }

    /// Compiles a condition and notes the windows that it looks at. None after a fault.
    pub(super) fn condition(
        &mut self,
        names: &Names,
        place: &Place,
        condition: &'d Condition,
        windows: &mut Vec<Window>,
    ) -> Option<Test> {
        let mut each = |compiler: &mut Self, key, conditions: &'d [Condition]| {
            let place = place.at(key);
            if conditions.is_empty() {
                compiler.fault(place.clone(), Problem::TooFew { what: "condition", least: 1 });
            }
            let tests = conditions.iter().enumerate();
            let tests =
                tests.map(|(i, condition)| compiler.condition(names, &place.item(i), condition, windows));
            // All are looked at, so that each tells its faults.
            tests.collect::<Vec<Option<Test>>>().into_iter().collect::<Option<Vec<Test>>>()
        };
        match condition {
            Condition::All(conditions) => each(self, "all", conditions).map(Test::All),
            Condition::Any(conditions) => each(self, "any", conditions).map(Test::Any),
            Condition::Not(conditions) => each(self, "not", conditions).map(Test::Not),
            Condition::Happened { events, filters, window, at_least } => {
                let of = Matching { events: events.clone(), filters: filters.clone() };
                self.in_range(place.at("happened").at("at_least"), f64::from(*at_least), 1.0, 1e9);
                note(windows, *window);
                let cell = self.count(&place.at("happened"), &of, *window);
                Some(Test::AtLeast { cell, least: f64::from(*at_least) })
            }
            Condition::Is { name, labels } => {
                let place = place.at("is");
                let closed = self.named(names, &place.at("name"), name)?;
                if names.closed[closed].sensitive {
                    let problem = Problem::Sensitive { name: name.clone(), with: "part of a condition" };
                    self.fault(place.at("name"), problem);
                }
                names.closed[closed].windows.iter().for_each(|window| note(windows, *window));
                let all = &names.closed[closed].labels;
                let mut places = Vec::new();
                for (i, label) in labels.iter().enumerate() {
                    match all.iter().position(|known| known == label) {
                        Some(found) => places.push(found),
                        None => {
                            let problem = Problem::Unknown {
                                what: "label of it",
                                name: label.clone(),
                                declared: list(all),
                            };
                            self.fault(place.at("labels").item(i), problem);
                        }
                    }
                }
                Some(Test::Is { closed, places })
            }
            Condition::Installed { from, until } => Some(Test::Installed { from: *from, until: *until }),
        }
    }

    /// The closed question of that name.
    pub(super) fn named(&mut self, names: &Names, place: &Place, name: &str) -> Option<usize> {
        let found = names.named.get(name).copied();
        if found.is_none() {
            let what = "dimension, segment or experiment";
            let declared = list(names.named.keys());
            self.fault(place.clone(), Problem::Unknown { what, name: name.to_owned(), declared });
        }
        found
    }

    /// Every pair of two closed questions.
    pub(super) fn cross(&mut self, names: &mut Names, place: &Place, a: &str, b: &str) -> Option<usize> {
        let (a, b) = (self.named(names, place, a), self.named(names, place, b));
        let (a, b) = (a?, b?);
        let pair = [&names.closed[a], &names.closed[b]];
        let labels = pairs(&pair[0].labels, &pair[1].labels);
        let windows = pair.iter().flat_map(|closed| &closed.windows).copied().collect();
        for index in [a, b].into_iter().filter(|&index| names.closed[index].sensitive) {
            let name = names
                .named
                .iter()
                .find(|(_, i)| **i == index)
                .map_or_else(String::new, |(name, _)| name.clone());
            self.fault(place.clone(), Problem::Sensitive { name, with: "crossed" });
        }
        match labels {
            Ok(labels) => Some(self.push(names, place, Closed::new(labels, Read::Cross(a, b), windows))),
            Err(error) => {
                self.fault(place.clone(), error.into());
                None
            }
        }
    }
}

/// Every pair of two labels. An error if there are more than an answer tells apart, before any is written.
pub(super) fn pairs(first: &[String], second: &[String]) -> Result<Vec<String>, DomainError> {
    let found = first.len().saturating_mul(second.len());
    if found > MAX_BITS {
        return Err(DomainError::Count { what: "labels", found, low: 2, high: MAX_BITS });
    }
    Ok(first.iter().flat_map(|x| second.iter().map(move |y| format!("{x}|{y}"))).collect())
}

/// Notes a window once: questions that name each other twice, in a chain, would double their windows each time.
fn note(windows: &mut Vec<Window>, window: Window) {
    if !windows.contains(&window) {
        windows.push(window);
    }
}

fn flag() -> Vec<String> {
    ["no", "yes"].map(str::to_owned).to_vec()
}

/// The place of a label in a list that gets it if it has not.
fn place_or_push(labels: &mut Vec<String>, label: &str) -> usize {
    labels.iter().position(|known| known == label).unwrap_or_else(|| {
        labels.push(label.to_owned());
        labels.len() - 1
    })
}

fn bins(edges: &[f64]) -> Vec<String> {
    let first = edges.first().map(|edge| format!("<{edge}"));
    let between = edges.windows(2).map(|pair| format!("{}..{}", pair[0], pair[1]));
    let last = edges.last().map(|edge| format!(">={edge}"));
    first.into_iter().chain(between).chain(last).collect()
}

fn wanted(kind: &Kind) -> &'static str {
    match kind {
        Kind::Boolean => "a flag, as `any` gives one,",
        Kind::AtLeast(_) | Kind::Number { .. } | Kind::Histogram { .. } => "a number",
        Kind::Category => "a list of labels",
        Kind::Labels(_) => "a text, a number or a label",
        Kind::Set => "a set, as `distinct` gives one,",
        Kind::String => "an open text",
        Kind::Retention { .. } => "`any` over a week",
    }
}

#[cfg(test)]
mod tests;
