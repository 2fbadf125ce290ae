//! What an operator does in a step of a rule test: the words there are, and the keys that each takes. Knows no rule.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::document::Table;
use super::value::Value;
use crate::domain::alarm::{OUT_OF_SERVICE, SHELF, Verdict};
use crate::domain::journal::{OperatorAction, ServiceAction};
use crate::domain::time::Millis;

/// An operator's act; `None`: something is missing from it, which was said.
pub(super) enum OperatorAct {
    /// On an alarm.
    Alarm(Option<OperatorAction>),
    /// On a device.
    Device(Option<ServiceAction>),
}

#[derive(Clone, Copy)]
enum Word {
    Acknowledge,
    Reset,
    Shelve,
    Unshelve,
    Verdict,
    Close,
    OutOfService,
    InService,
}

const WORDS: [(&str, Word); 8] = [
    ("acknowledge", Word::Acknowledge),
    ("reset", Word::Reset),
    ("shelve", Word::Shelve),
    ("unshelve", Word::Unshelve),
    ("verdict", Word::Verdict),
    ("close", Word::Close),
    ("out-of-service", Word::OutOfService),
    ("in-service", Word::InService),
];

/// The act that `operator` names, with what `table` says of it: `for` and `verdict`.
pub(super) fn read(operator: &Value<'_>, table: &mut Table<'_>) -> OperatorAct {
    let Some(word) = operator.word("act of an operator", &WORDS) else {
        return OperatorAct::Alarm(None);
    };
    match word {
        Word::Acknowledge => OperatorAct::Alarm(Some(OperatorAction::Acknowledge)),
        Word::Reset => OperatorAct::Alarm(Some(OperatorAction::Reset)),
        Word::Shelve => OperatorAct::Alarm(length(table, &SHELF).map(OperatorAction::Shelve)),
        Word::Unshelve => OperatorAct::Alarm(Some(OperatorAction::Unshelve)),
        Word::Verdict => {
            let verdicts = Verdict::ALL.map(|verdict| (verdict.as_str(), verdict));
            let verdict = table
                .required("verdict")
                .and_then(|verdict| verdict.word("verdict", &verdicts));
            OperatorAct::Alarm(verdict.map(OperatorAction::Verdict))
        }
        Word::Close => OperatorAct::Alarm(Some(OperatorAction::Close)),
        Word::OutOfService => OperatorAct::Device(length(table, &OUT_OF_SERVICE).map(ServiceAction::Out)),
        Word::InService => OperatorAct::Device(Some(ServiceAction::In)),
    }
}

fn length(table: &mut Table<'_>, range: &RangeInclusive<Millis>) -> Option<Millis> {
    let [least, most] = [range.start(), range.end()].map(|end| Duration::from_millis(end.0));
    let length = table.required("for")?.duration(least..=most)?;
    Some(Millis(u64::try_from(length.as_millis()).unwrap_or(u64::MAX)))
}
