//! `[[kind.command]]`: what devices of a kind can be told, and what of their own points shows that they have obeyed.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::document::Table;
use super::names::{Names, identifier};
use super::value::Value;
use crate::domain::interlock::{CommandDef, DEFAULT_ATTEMPTS, DEFAULT_WITHIN};
use crate::domain::kind::Kind;
use crate::domain::rule::compile_proof;
use crate::domain::time::Millis;

/// Less is what a valve needs to move; more is no interlock any more.
const WITHIN: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(10);

const ATTEMPTS: RangeInclusive<i64> = 1..=10;

/// Reads the commands of `kind`, whose table had `before` findings in the report before it was read.
pub(super) fn read(table: &mut Table<'_>, kind: &mut Kind, before: usize) {
    let mut names = Names::new("command");
    let report = table.report();
    // Of a kind that is itself in doubt nothing sure can be said.
    let sure = report.count() == before;
    for command in table.tables("command", "[[kind.command]]") {
        if let Some(command) = read_command(command, &mut names, sure.then_some(&*kind)) {
            kind.commands.push(command);
        }
    }
}

fn read_command(mut table: Table<'_>, names: &mut Names, kind: Option<&Kind>) -> Option<CommandDef> {
    let report = table.report();
    let id_value = table.required("id");
    let id = id_value.as_ref().and_then(identifier);
    if let (Some(id), Some(value)) = (&id, &id_value) {
        names.add(id, value, report);
    }
    let title = table.required("title").and_then(|title| title.title());
    let verify = table.required("verify").and_then(|verify| proof(&verify, kind));
    let unless = table.optional("unless").and_then(|unless| proof(&unless, kind));
    let within = within(&mut table);
    let attempts = attempts(&mut table);
    let opens = table.optional("opens").and_then(|opens| opens.boolean());
    Some(CommandDef {
        id: id?,
        title: title?,
        verify: verify?,
        unless,
        within: within.unwrap_or(DEFAULT_WITHIN),
        attempts: attempts.unwrap_or(DEFAULT_ATTEMPTS),
        opens: opens.unwrap_or(false),
    })
}

/// A condition on what the device says after the command; checked where the kind is known.
fn proof(value: &Value<'_>, kind: Option<&Kind>) -> Option<String> {
    let source = value.filled_text()?;
    if let Some(kind) = kind
        && let Err(problem) = compile_proof(&source, kind)
    {
        value.place().explain(&source, &problem, value.scope.report);
    }
    Some(source.into_owned())
}

/// `within`: how long a device has for an attempt.
pub(super) fn within(table: &mut Table<'_>) -> Option<Millis> {
    let within = table.optional("within")?.duration(WITHIN)?;
    u64::try_from(within.as_millis()).ok().map(Millis)
}

/// `attempts`: how often a command is sent at most.
pub(super) fn attempts(table: &mut Table<'_>) -> Option<u8> {
    let attempts = table.optional("attempts")?.integer(ATTEMPTS)?;
    u8::try_from(attempts).ok()
}
