//! From a metric as it is declared to a metric as it is asked: its answers, its parameters, and what speaks against it.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::closed::{Closed, Names, Test, pairs};
use super::compile::{Compiler, list};
use super::declared::{Every, Kind, MetricDeclaration, Precision, Source, Window};
use super::fault::{Place, Problem};
use super::metric::{Answer, Metric, Plan};
use super::plan::Shape;
use crate::choose::Answers;
use crate::domain::{Domain, Other};
use crate::metric::MetricId;
use crate::params::{Encoding, Params};

/// The answer of those who belong to no arm and no population of a metric.
const INELIGIBLE: &str = "ineligible";
/// The largest ε₁ that is tried for a wanted precision.
const MAX_EPSILON: f64 = 8.0;

/// What a metric's answer is read from, before its parameters are known.
struct Asked {
    answer: Answer,
    labels: Vec<String>,
    windows: Vec<Window>,
}

impl<'d> Compiler<'d> {
    /// Compiles a metric. None after a fault.
    pub(super) fn metric(
        &mut self,
        names: &mut Names,
        id: &MetricId,
        declared: &'d MetricDeclaration,
    ) -> Option<Metric> {
        let place = Place::new(["metrics", id.as_str()]);
        let before = self.faults.len();
        if declared.question.trim().is_empty() {
            self.fault(place.at("question"), Problem::Missing { why: "say in words what is asked" });
        }
        let (plan, domain) = match &declared.source {
            Some(source) => {
                let (plan, domain) = self.plan(names, &place, declared, source)?;
                (Some(plan), Some(domain))
            }
            None => self.answered_by_the_program(&place, declared)?,
        };
        let params = self.params(&place, declared, domain.as_ref().map(Domain::answers))?;
        let mut metric = Metric {
            id: id.clone(),
            version: declared.version.get(),
            question: declared.question.clone(),
            owner: declared.owner.clone(),
            expires: declared.expires,
            sensitive: declared.sensitive || self.is_sensitive(names, declared),
            params,
            domain,
            older: Vec::new(),
            plan,
        };
        self.costs(&place, &metric);
        self.older(&place, &mut metric, declared);
        (self.faults.len() == before).then_some(metric)
    }

    fn plan(
        &mut self,
        names: &mut Names,
        place: &Place,
        declared: &'d MetricDeclaration,
        source: &'d Source,
    ) -> Option<(Plan, Domain)> {
        let asked = self.asked(names, place, source, declared.kind.as_ref());
        if declared.sensitive || self.is_sensitive(names, declared) {
            self.alone(place, declared);
        }
        let mut windows = Vec::new();
        let trial = declared.experiment.as_ref().map(|name| self.trial(names, place, name));
        let eligible = declared
            .eligible
            .as_ref()
            .map(|condition| self.condition(names, &place.at("eligible"), condition, &mut windows));
        let every = declared.every.clone();
        if every.is_none() {
            let why = "say when it is answered: once, session, day, week or month";
            self.fault(place.at("every"), Problem::Missing { why });
        }
        let (asked, every) = (asked?, every?);
        let (arm, trial_test) = match trial {
            Some(trial) => {
                let (arm, test) = trial?;
                (Some(arm), test)
            }
            None => (None, None),
        };
        let eligible = eligible.map_or(Some(None), |test| test.map(Some))?;
        let tests: Vec<Test> = trial_test
            .map(|(test, seen)| {
                windows.extend(seen);
                test
            })
            .into_iter()
            .chain(eligible)
            .collect();
        let eligible = (!tests.is_empty()).then_some(Test::All(tests));
        windows.extend(&asked.windows);
        let (days, first_session) = self.due(place, &every, &windows)?;
        let arm = arm.filter(|arm| !self.is_tag(names, *arm));
        let domain = self.answers(names, place, &asked, declared, arm, eligible.is_some())?;
        let ineligible = domain.names().len().saturating_sub(1);
        let plan = Plan { every, answer: asked.answer, eligible, arm, ineligible, days, first_session };
        let steps = names.steps(self.cells.len()).of_plan(&plan);
        self.in_time(place, steps).then_some((plan, domain))
    }

    /// Whether what a metric asks is sensitive by its name.
    fn is_sensitive(&self, names: &Names, declared: &MetricDeclaration) -> bool {
        let Some(Source::Named(name)) = &declared.source else { return false };
        names.named.get(name).is_some_and(|closed| names.closed[*closed].sensitive)
    }

    /// Refuses to put a sensitive metric together with anything.
    fn alone(&mut self, place: &Place, declared: &MetricDeclaration) {
        let fields = [
            ("experiment", declared.experiment.is_some(), "split by an experiment"),
            ("eligible", declared.eligible.is_some(), "asked of some devices only"),
        ];
        for (field, _, with) in fields.into_iter().filter(|(_, given, _)| *given) {
            self.fault(place.at(field), Problem::Sensitive { name: "the metric".to_owned(), with });
        }
    }

    fn is_tag(&self, names: &Names, closed: usize) -> bool {
        self.declared.tags.iter().any(|tag| names.named.get(tag) == Some(&closed))
    }

    /// What is asked of the cells.
    fn asked(
        &mut self,
        names: &mut Names,
        place: &Place,
        source: &'d Source,
        kind: Option<&'d Kind>,
    ) -> Option<Asked> {
        let Some(kind) = kind else {
            let why = "say how the source becomes an answer: boolean, category, set, string, …";
            self.fault(place.at("kind"), Problem::Missing { why });
            return None;
        };
        let named = match source {
            Source::Named(name) => self.named(names, &place.at("source").at("named"), name).map(Some),
            Source::Cross(a, b) => self.cross(names, &place.at("source").at("cross"), a, b).map(Some),
            _ => Some(None),
        }?;
        if let Some(closed) = named {
            if *kind != Kind::Category {
                let found = "a list of labels".to_owned();
                self.fault(place.at("kind"), Problem::WrongType { found, wanted: "kind = \"category\"" });
            }
            let Closed { labels, windows, .. } = &names.closed[closed];
            return Some(Asked {
                answer: Answer::Closed(closed),
                labels: labels.clone(),
                windows: windows.clone(),
            });
        }
        let (cell, shape) = self.cell(&place.at("source"), source)?;
        let windows = [self.cells[cell].window].into();
        match (kind, shape) {
            (Kind::Set, Shape::Set(labels)) => Some(Asked { answer: Answer::Set(cell), labels, windows }),
            (Kind::String, Shape::Text) => {
                Some(Asked { answer: Answer::Text(cell), labels: Vec::new(), windows })
            }
            (Kind::Number { .. }, Shape::Number) => {
                Some(Asked { answer: Answer::Number(cell), labels: Vec::new(), windows })
            }
            (kind, shape) => {
                let closed = self.read(&place.at("kind"), cell, shape, kind)?;
                let labels = closed.labels.clone();
                Some(Asked { answer: Answer::Closed(self.push(names, place, closed)), labels, windows })
            }
        }
    }

    /// The closed question of a trial's arm, and who takes part.
    #[allow(clippy::type_complexity, reason = "a test and the windows it looks at")]
    fn trial(
        &mut self,
        names: &Names,
        place: &Place,
        name: &str,
    ) -> Option<(usize, Option<(Test, Vec<Window>)>)> {
        let Some(trial) = names.trials.iter().find(|trial| trial.name == name) else {
            let declared = list(self.declared.experiments.keys());
            let problem = Problem::Unknown { what: "experiment", name: name.to_owned(), declared };
            self.fault(place.at("experiment"), problem);
            return None;
        };
        Some((trial.closed, trial.eligible.clone()))
    }

    /// Checks that every window fits the report, and says when a metric answered once is due.
    fn due(&mut self, place: &Place, every: &Every, windows: &[Window]) -> Option<(u16, bool)> {
        let own = match every {
            Every::Once => None,
            Every::Session => Some(Window::Session),
            Every::Day => Some(Window::Day),
            Every::Week => Some(Window::Week),
            Every::Month => Some(Window::Month),
            Every::Event(_) => {
                let how = "only those to whom the event happened would send it";
                let remedy = "answer once, or at the end of each session, day, week or month";
                self.fault(place.at("every"), Problem::Reveals { how, remedy });
                return None;
            }
        };
        let (mut days, mut first_session) = (0, false);
        for window in windows {
            match window {
                Window::Ever => {}
                Window::FirstSession => first_session = true,
                Window::Days(n) => days = days.max(*n),
                window if Some(*window) == own => {}
                window => {
                    let problem = Problem::Window { window: window_name(*window), every: every_name(every) };
                    self.fault(place.at("source"), problem);
                    return None;
                }
            }
        }
        if *every == Every::Once && days == 0 && !first_session {
            self.fault(place.at("every"), Problem::NeverDue);
            return None;
        }
        Some((days, first_session))
    }

    /// The list of answers, with the arm and with `ineligible` where they are part of it.
    fn answers(
        &mut self,
        names: &Names,
        place: &Place,
        asked: &Asked,
        declared: &MetricDeclaration,
        arm: Option<usize>,
        eligible: bool,
    ) -> Option<Domain> {
        let mut labels = asked.labels.clone();
        let domain = match asked.answer {
            Answer::Closed(_) => {
                if let Some(arm) = arm {
                    labels = pairs(&names.closed[arm].labels, &labels)
                        .map_err(|error| self.fault(place.at("kind"), error.into()))
                        .ok()?;
                }
                labels.extend(eligible.then(|| INELIGIBLE.to_owned()));
                Domain::labels(labels, Other::Refused)
            }
            _ if arm.is_some() => {
                let found = "an answer without a closed list".to_owned();
                let wanted = "a closed list of answers, or the experiment among the public tags";
                self.fault(place.at("experiment"), Problem::WrongType { found, wanted });
                return None;
            }
            Answer::Set(_) if eligible => {
                let why = "a set has no answer for those who are not eligible; ask for a category";
                self.fault(place.at("eligible"), Problem::Misplaced { why });
                return None;
            }
            Answer::Set(_) => Domain::set(labels.iter().cloned()),
            Answer::Text(_) => Ok(Domain::text()),
            Answer::Number(_) => match declared.kind {
                Some(Kind::Number { low, high }) => Domain::mean_or_nothing(low, high),
                _ => unreachable!("only this kind asks for a number"),
            },
        };
        match domain {
            Ok(domain) => Some(domain),
            Err(error) => {
                self.fault(place.at("kind"), error.into());
                None
            }
        }
    }

    /// The answers of a metric without a source.
    fn answered_by_the_program(
        &mut self,
        place: &Place,
        declared: &MetricDeclaration,
    ) -> Option<(Option<Plan>, Option<Domain>)> {
        let without = "it needs a source";
        let misplaced = [
            ("every", declared.every.is_some()),
            ("eligible", declared.eligible.is_some()),
            ("experiment", declared.experiment.is_some()),
        ];
        for (field, _) in misplaced.into_iter().filter(|(_, given)| *given) {
            self.fault(place.at(field), Problem::Misplaced { why: without });
        }
        let domain = match &declared.kind {
            None if declared.report.is_some() => return Some((None, None)),
            None => {
                let why = "state the parameters in `report`, or a kind and an epsilon";
                self.fault(place.at("report"), Problem::Missing { why });
                return None;
            }
            Some(Kind::Boolean) => Ok(Domain::flag()),
            Some(Kind::String) => Ok(Domain::text()),
            Some(Kind::Number { low, high }) => Domain::mean(*low, *high),
            Some(Kind::Histogram { edges }) => Domain::histogram(edges.clone()),
            Some(Kind::Labels(names)) => Domain::labels(names.iter().cloned(), Other::Counted),
            Some(Kind::AtLeast(_) | Kind::Category | Kind::Set | Kind::Retention { .. }) => {
                self.fault(place.at("kind"), Problem::Misplaced { why: without });
                return None;
            }
        };
        match domain {
            Ok(domain) => Some((None, Some(domain))),
            Err(error) => {
                self.fault(place.at("kind"), error.into());
                None
            }
        }
    }

    fn params(
        &mut self,
        place: &Place,
        declared: &MetricDeclaration,
        answers: Option<Answers>,
    ) -> Option<Params> {
        let stated = [
            ("report", declared.report.is_some()),
            ("epsilon", declared.epsilon.is_some()),
            ("precision", declared.precision.is_some()),
        ];
        let given: Vec<&str> =
            stated.into_iter().filter(|(_, given)| *given).map(|(field, _)| field).collect();
        if let [_, second, ..] = given[..] {
            let why = "give one of `report`, `epsilon` and `precision`";
            self.fault(place.at(second), Problem::Misplaced { why });
            return None;
        }
        if declared.report.is_some() && declared.epsilon_infinity.is_some() {
            let why = "`report` states it already";
            self.fault(place.at("epsilon_infinity"), Problem::Misplaced { why });
        }
        let once = declared.every == Some(Every::Once);
        let infinity = |one: f64| declared.epsilon_infinity.or((!once).then_some(2.0 * one));
        let chosen = match (&declared.report, declared.epsilon, declared.precision, answers) {
            (Some(stated), ..) => return self.fitting(place, *stated, answers),
            (_, Some(one), _, Some(answers)) => {
                Params::for_epsilon(one, infinity(one), answers).map_err(|error| ("epsilon", error.into()))
            }
            (_, _, Some(precision), Some(answers)) => {
                for_precision(precision, infinity, answers).map_err(|problem| ("precision", problem))
            }
            _ => {
                let why = "say what a report may cost, or how exact the figures are to be with `precision`";
                Err(("epsilon", Problem::Missing { why }))
            }
        };
        match chosen {
            Ok(params) => Some(params),
            Err((field, problem)) => {
                self.fault(place.at(field), problem);
                None
            }
        }
    }

    /// The stated parameters, if they have room for the answers.
    fn fitting(&mut self, place: &Place, params: Params, answers: Option<Answers>) -> Option<Params> {
        let bits = params.bits();
        let fits = match (answers, params.encoding()) {
            (None, _) | (Some(Answers::Open), Encoding::Bloom) => true,
            (Some(Answers::Closed(values)), Encoding::Direct | Encoding::Unary) => bits == values,
            (Some(Answers::Set(names)), Encoding::Direct) => bits == 1 << names,
            (Some(Answers::Set(names)), Encoding::Unary) => bits == names && params.hashes() == names,
            _ => false,
        };
        if !fits {
            let answers = match answers {
                Some(Answers::Closed(values)) => format!("{values} values"),
                Some(Answers::Set(names)) => format!("sets of {names} names"),
                _ => "open strings".to_string(),
            };
            let problem = Problem::Shape { encoding: params.encoding(), bits, answers };
            self.fault(place.at("report"), problem);
        }
        fits.then_some(params)
    }

    fn costs(&mut self, place: &Place, metric: &Metric) {
        let caps = self.declared.privacy;
        let place = if metric.plan.is_some() { place.at("epsilon") } else { place.at("report") };
        let weekly = metric.weekly_epsilon();
        if weekly > caps.weekly {
            let problem =
                Problem::OverCap { cost: weekly, period: "a week", cap: caps.weekly, field: "weekly" };
            self.fault(place.clone(), problem);
        }
        let lifetime = metric.lifetime_epsilon();
        if metric.plan.is_some() && lifetime > caps.lifetime {
            let (period, field) = ("for ever", "lifetime");
            self.fault(place, Problem::OverCap { cost: lifetime, period, cap: caps.lifetime, field });
        }
    }

    fn older(&mut self, place: &Place, metric: &mut Metric, declared: &MetricDeclaration) {
        for (i, older) in declared.older.iter().enumerate() {
            let (version, current) = (older.version.get(), metric.version);
            if version >= current || metric.older.iter().any(|(known, _)| *known == version) {
                self.fault(place.at("older").item(i).at("version"), Problem::Older { version, current });
            }
            metric.older.push((version, older.report));
        }
    }
}

/// The least ε₁ whose 95 % interval of a small share is as narrow as wanted.
fn for_precision(
    precision: Precision,
    infinity: impl Fn(f64) -> Option<f64>,
    answers: Answers,
) -> Result<Params, Problem> {
    let Precision { half_width, devices } = precision;
    if !(half_width > 0.0 && half_width < 1.0) {
        return Err(Problem::OutOfRange { value: half_width, low: f64::MIN_POSITIVE, high: 1.0 });
    }
    let at = |epsilon: f64| Params::for_epsilon(epsilon, infinity(epsilon), answers);
    let narrow = |params: &Params| 1.96 * libm::sqrt(params.variance() / f64::from(devices)) <= half_width;
    let (mut low, mut high) = (0.0, MAX_EPSILON);
    let mut found = at(high)?;
    if !narrow(&found) {
        return Err(Problem::Precision { devices, most: MAX_EPSILON });
    }
    // Twenty halvings leave less than 10⁻⁵ of ε.
    for _ in 0..20 {
        let middle = (low + high) / 2.0;
        match at(middle) {
            Ok(params) if narrow(&params) => (high, found) = (middle, params),
            _ => low = middle,
        }
    }
    Ok(found)
}

fn window_name(window: Window) -> &'static str {
    match window {
        Window::Session => "\"session\"",
        Window::Day => "\"day\"",
        Window::Week => "\"week\"",
        Window::Month => "\"month\"",
        Window::Ever => "\"ever\"",
        Window::FirstSession => "\"first_session\"",
        Window::Days(_) => "days",
    }
}

fn every_name(every: &Every) -> &'static str {
    match every {
        Every::Once => "\"once\"",
        Every::Session => "\"session\"",
        Every::Day => "\"day\"",
        Every::Week => "\"week\"",
        Every::Month => "\"month\"",
        Every::Event(_) => "event",
    }
}
