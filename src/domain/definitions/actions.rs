//! What rules order (`[[rule.then]]`) → tasks, with what the kinds say of their commands. Every error at once.

use std::sync::Arc;

use super::super::interlock::{Action, ActionDef, CommandDef, Task};
use super::super::kind::{GATEWAY_KIND, Kind};
use super::super::rule::{ExpressionError, RuleDef, compile_proof, nearest};
use super::RuleProblem;

/// Which part of an action is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionField {
    /// Its command.
    Command,
    /// Whom it is for.
    To,
    /// Its proof.
    Verify,
}

/// What is wrong with an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionProblem {
    /// Its place in [`RuleDef::then`].
    pub place: usize,
    /// Which part of it.
    pub field: ActionField,
    /// What is wrong, and where in the text.
    pub error: ExpressionError,
}

/// The actions of `def`, which watches devices of the kind `own`; `None`: it watches venues.
pub(super) fn resolve(
    def: &RuleDef,
    own: Option<&Kind>,
    kinds: &[Kind],
) -> Result<Box<[Action]>, Vec<RuleProblem>> {
    let mut actions = Vec::with_capacity(def.then.len());
    let mut problems = Vec::new();
    for (place, action) in def.then.iter().enumerate() {
        match resolve_one(action, own, kinds) {
            Ok(action) => actions.push(action),
            Err((field, error)) => problems.push(RuleProblem::Action(ActionProblem { place, field, error })),
        }
    }
    if problems.is_empty() {
        Ok(actions.into())
    } else {
        Err(problems)
    }
}

fn resolve_one(
    action: &ActionDef,
    own: Option<&Kind>,
    kinds: &[Kind],
) -> Result<Action, (ActionField, ExpressionError)> {
    if own.is_some_and(|own| own.id == GATEWAY_KIND) {
        let message = "the gateway is in no venue and obeys no command: its alarms can order nothing";
        return Err((ActionField::Command, wrong(&action.command, message)));
    }
    let to = action.to.as_deref();
    let target = match to {
        Some(to) => kinds.iter().find(|kind| kind.id == to),
        None => own,
    };
    let Some(target) = target else {
        let error = match to {
            Some(to) => wrong(to, format!("no kind is called `{to}`"))
                .suggest(near(to, kinds.iter().map(|kind| kind.id.as_str()))),
            None => wrong(
                &action.command,
                "a rule on `venue` has no device of its own: say with `to` which devices are to obey",
            ),
        };
        return Err((
            if to.is_some() {
                ActionField::To
            } else {
                ActionField::Command
            },
            error,
        ));
    };
    let known = target.command(&action.command).ok_or_else(|| {
        let names = target.commands.iter().map(|command| command.id.as_str());
        let message = match target.commands.as_slice() {
            [] => format!("devices of the kind `{}` obey no command", target.id),
            _ => format!(
                "devices of the kind `{}` know no command `{}`",
                target.id, action.command
            ),
        };
        let error = wrong(&action.command, message).suggest(near(&action.command, names));
        (ActionField::Command, error)
    })?;
    if known.opens {
        let message = format!(
            "`{}` brings the danger back: no rule may order it, only a person",
            known.id
        );
        return Err((ActionField::Command, wrong(&action.command, message)));
    }
    let task = task(action, known);
    compile_proof(&task.verify, target).map_err(|error| (ActionField::Verify, error))?;
    Ok(Action {
        to: to.map(Arc::from),
        task,
        max_age: action.max_age,
    })
}

fn task(action: &ActionDef, known: &CommandDef) -> Task {
    Task {
        verify: action.verify.as_deref().unwrap_or(&known.verify).into(),
        within: action.within.unwrap_or(known.within),
        attempts: action.attempts.unwrap_or(known.attempts),
        ..Task::of(known)
    }
}

fn wrong(text: &str, message: impl Into<String>) -> ExpressionError {
    ExpressionError::new(0..text.len(), message)
}

fn near<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    nearest(word, names).map(str::to_owned)
}
