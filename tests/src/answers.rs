//! What a device answers, in words that tests compare.

use deniable::insight::Given;
use deniable::registry::Metric;

/// The label of a choice, the names of a set, a text as it is, or a number or its absence.
pub fn label(metric: &Metric, given: &Given) -> String {
    match given {
        Given::Choice(choice) => metric.labels()[*choice].clone(),
        Given::Subset(set) => {
            let names = metric.labels().iter().enumerate().filter(|(i, _)| set >> i & 1 == 1);
            names.map(|(_, name)| name.as_str()).collect::<Vec<_>>().join("+")
        }
        Given::Text(text) => text.clone(),
        Given::Number(number) => format!("{number:?}"),
    }
}
