//! What an operator does in a step of a rule test: the words there are, and the keys that each takes. Knows no rule.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::document::Table;
use super::source::{Place, Report};
use super::value::Value;
use crate::domain::alarm::{OUT_OF_SERVICE, SHELF, Verdict};
use crate::domain::journal::{OperatorAction, ServiceAction};
use crate::domain::time::Millis;

/// An operator's act; `None`: something is missing from it, which was said.
pub(super) enum OperatorAct<'d> {
    /// On an alarm.
    Alarm(Option<OperatorAction>),
    /// On a device.
    Device(Option<ServiceAction>),
    /// A command to a device.
    Command(Option<Order<'d>>),
}

/// A command as an operator gives it.
pub(super) struct Order<'d> {
    pub(super) command: String,
    /// Whether the device's registration allows it to be opened from afar.
    pub(super) remote_open: bool,
    /// Where the command stands.
    pub(super) place: Place,
    pub(super) report: &'d Report,
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
    Command,
}

const WORDS: [(&str, Word); 9] = [
    ("acknowledge", Word::Acknowledge),
    ("reset", Word::Reset),
    ("shelve", Word::Shelve),
    ("unshelve", Word::Unshelve),
    ("verdict", Word::Verdict),
    ("close", Word::Close),
    ("out-of-service", Word::OutOfService),
    ("in-service", Word::InService),
    ("command", Word::Command),
];

/// The act that `operator` names, with what `table` says of it: `for`, `verdict`, `command` and `remote_open`.
pub(super) fn read<'d>(operator: &Value<'_>, table: &mut Table<'d>) -> OperatorAct<'d> {
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
        Word::Command => {
            let remote_open = table.optional("remote_open").and_then(|open| open.boolean());
            let command = table.required("command");
            let order = command.and_then(|command| {
                Some(Order {
                    command: command.filled_text()?.into_owned(),
                    remote_open: remote_open.unwrap_or(false),
                    place: command.place(),
                    report: command.scope.report,
                })
            });
            OperatorAct::Command(order)
        }
    }
}

fn length(table: &mut Table<'_>, range: &RangeInclusive<Millis>) -> Option<Millis> {
    let [least, most] = [range.start(), range.end()].map(|end| Duration::from_millis(end.0));
    let length = table.required("for")?.duration(least..=most)?;
    Some(Millis(u64::try_from(length.as_millis()).unwrap_or(u64::MAX)))
}
