//! `[[rule.then]]`: what the alarms of a rule order. Reads it, and brings what the compiler says of it to its place in the file.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::commands;
use super::document::Table;
use super::kinds::Kinds;
use super::source::{Place, Report};
use super::value::Value;
use crate::domain::definitions::{ActionField, ActionProblem};
use crate::domain::interlock::{ActionDef, DEFAULT_MAX_AGE};
use crate::domain::time::Millis;

const MAX_AGE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24);

/// Where the parts of an action stand.
#[derive(Debug)]
pub(super) struct ActionDraft {
    command: Written,
    to: Option<Written>,
    /// `None`: the kind's own.
    verify: Option<Written>,
}

/// A text and where it stands.
#[derive(Debug)]
struct Written {
    text: String,
    place: Place,
}

impl Written {
    fn of(value: &Value<'_>) -> Option<Written> {
        Some(Written {
            text: value.filled_text()?.into_owned(),
            place: value.place(),
        })
    }
}

/// The actions under `then` of which something sure can be said, and where they stand, in the same order.
pub(super) fn read(table: &mut Table<'_>, kinds: &Kinds) -> (Vec<ActionDef>, Vec<ActionDraft>) {
    let (mut then, mut drafts) = (Vec::new(), Vec::new());
    for action in table.tables("then", "[[rule.then]]") {
        let Some((def, draft)) = read_action(action, kinds) else {
            continue;
        };
        let again = |known: &ActionDef| known.command == def.command && known.to == def.to;
        if then.iter().any(again) {
            let problem = draft.command.place.problem(format!(
                "the rule orders `{}` of the same devices twice",
                def.command
            ));
            table.report().add(problem);
            continue;
        }
        then.push(def);
        drafts.push(draft);
    }
    (then, drafts)
}

fn read_action(mut table: Table<'_>, kinds: &Kinds) -> Option<(ActionDef, ActionDraft)> {
    let report = table.report();
    let command = table.required("command").and_then(|value| Written::of(&value));
    let to_value = table.optional("to");
    let verify_value = table.optional("verify");
    let within = commands::within(&mut table);
    let attempts = commands::attempts(&mut table);
    let max_age = table.optional("max_age").and_then(|age| age.duration(MAX_AGE));
    let to = to_value.as_ref().and_then(Written::of);
    if let Some(to) = &to {
        kinds.names.check(&to.text, &to.place, report);
        kinds.whole(&to.text)?;
    }
    let verify = verify_value.as_ref().and_then(Written::of);
    // One that is wrong was reported.
    if to.is_none() && to_value.is_some() || verify.is_none() && verify_value.is_some() {
        return None;
    }
    let draft = ActionDraft {
        command: command?,
        to,
        verify,
    };
    let text = |written: &Option<Written>| written.as_ref().map(|written| written.text.clone());
    let def = ActionDef {
        command: draft.command.text.clone(),
        to: text(&draft.to),
        verify: text(&draft.verify),
        within,
        attempts,
        max_age: max_age
            .and_then(|age| u64::try_from(age.as_millis()).ok())
            .map_or(DEFAULT_MAX_AGE, Millis),
    };
    Some((def, draft))
}

impl ActionDraft {
    /// Reports `problem` at the part of the action that it speaks of.
    pub(super) fn explain(&self, problem: &ActionProblem, report: &Report) {
        let part = match problem.field {
            ActionField::Command => Some(&self.command),
            ActionField::To => self.to.as_ref(),
            ActionField::Verify => self.verify.as_ref(),
        };
        match part {
            Some(part) => part.place.explain(&part.text, &problem.error, report),
            // The kind's own words, which its reader has compiled.
            None => report.add(self.command.place.problem(&*problem.error.message)),
        }
    }
}
