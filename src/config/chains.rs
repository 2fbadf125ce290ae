//! `[[chain]]` and its levels: who is told next as long as nobody acknowledges.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::document::Table;
use super::finding::did_you_mean;
use super::names::{Names, own_name};
use super::source::Place;
use super::targets::Targets;
use super::value::Value;
use crate::domain::chain::{Addressee, Chain, FIRST_REPEAT, LAST_REPEAT, Level, SECOND_LEVEL, THIRD_LEVEL};
use crate::domain::time::Millis;

/// The most levels that a chain has.
const MOST_LEVELS: usize = 16;

const AFTER: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(7 * 24);

/// Zero: never.
const REPEAT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(7 * 24);

/// More often than that nobody can read it.
const SHORTEST_REPEAT: Millis = Millis(10_000);

/// A chain and where its table stands.
#[derive(Debug)]
pub(super) struct ChainDraft {
    pub(super) chain: Chain,
    pub(super) place: Place,
}

/// What chains may refer to.
pub(super) struct Around<'a> {
    pub(super) targets: &'a Targets,
    pub(super) rosters: &'a Names,
    pub(super) officers: &'a Names,
}

/// Reads every `[[chain]]`; their names go to `names`.
pub(super) fn read(tables: Vec<Table<'_>>, names: &mut Names, around: &Around<'_>) -> Vec<ChainDraft> {
    tables
        .into_iter()
        .map(|table| read_chain(table, names, around))
        .collect()
}

fn read_chain(mut table: Table<'_>, names: &mut Names, around: &Around<'_>) -> ChainDraft {
    let place = table.place().clone();
    let name = own_name(&mut table, "name", names);
    if !table.has("level") {
        table.missing("[[chain.level]]");
    }
    let tables = table.tables("level", "[[chain.level]]");
    let last = tables.len();
    if last > MOST_LEVELS {
        let problem = table.place().problem(format!(
            "a chain has at most {MOST_LEVELS} levels, and this one {last}"
        ));
        table.report().add(problem);
    }
    let mut levels: Vec<Level> = Vec::new();
    for (number, table) in (1..).zip(tables) {
        let earlier = levels.last().map(|level| level.after);
        levels.push(read_level(table, (number, last), earlier, around));
    }
    ChainDraft {
        chain: Chain { name, levels },
        place,
    }
}

/// The level with this number, from 1, of so many; the one before begins at `earlier`.
fn read_level(
    mut table: Table<'_>,
    (number, last): (usize, usize),
    earlier: Option<Millis>,
    around: &Around<'_>,
) -> Level {
    let to = table
        .required("to")
        .map_or_else(Vec::new, |to| read_addressees(&to, around));
    let written = table.optional("after");
    let after = match (number, &written) {
        (1, None) => Some(Millis::ZERO),
        (1, Some(value)) => {
            value.key_wrong("the first level begins at once: only later ones have an `after`");
            Some(Millis::ZERO)
        }
        (2, None) => Some(SECOND_LEVEL),
        (3, None) => Some(THIRD_LEVEL),
        (_, None) => {
            table.missing("`after`: from the fourth level on it must be there");
            None
        }
        (_, Some(value)) => value.duration(AFTER).map(millis),
    };
    if let (Some(after), Some(earlier)) = (after, earlier)
        && after <= earlier
    {
        let place = written.map_or_else(|| table.place().clone(), |value| value.place());
        let message = format!(
            "level {number} begins {} s after the announcement, and level {} {} s after it",
            after.0 / 1_000,
            number - 1,
            earlier.0 / 1_000
        );
        let problem = place.problem(message);
        table
            .report()
            .add(problem.help("each level's `after` must be longer than that before it".to_owned()));
    }
    let usual = match number {
        1 => Some(FIRST_REPEAT),
        _ => (number == last).then_some(LAST_REPEAT),
    };
    let repeat = table.optional("repeat");
    Level {
        to,
        after: after.or(earlier).unwrap_or_default(),
        repeat: repeat.map_or(usual, |value| read_repeat(&value)),
    }
}

fn read_repeat(value: &Value<'_>) -> Option<Millis> {
    let repeat = millis(value.duration(REPEAT)?);
    if repeat > Millis::ZERO && repeat < SHORTEST_REPEAT {
        value.wrong_with("`repeat` must be 10s or more", "\"0s\": never".to_owned());
    }
    (repeat > Millis::ZERO).then_some(repeat)
}

fn read_addressees(value: &Value<'_>, around: &Around<'_>) -> Vec<Addressee> {
    let items = value.list();
    if items.as_ref().is_some_and(Vec::is_empty) {
        value.wrong("`to` is empty: the level would tell nobody");
    }
    let items = items.unwrap_or_default();
    items
        .iter()
        .filter_map(|value| read_addressee(value, around))
        .collect()
}

/// `roster:NAME`, `officer:ID` or `target:NAME`.
fn read_addressee(value: &Value<'_>, around: &Around<'_>) -> Option<Addressee> {
    let report = value.scope.report;
    let text = value.filled_text()?;
    let Some((sort, name)) = text.split_once(':') else {
        let form = "write roster:NAME, officer:ID or target:NAME".to_owned();
        value.wrong_with(format!("{text:?} does not say what it is"), form);
        return None;
    };
    let place = value.place().inside(&text, &(sort.len() + 1..text.len()));
    let owned = name.to_owned();
    match sort {
        "roster" => {
            around.rosters.check(name, &place, report);
            Some(Addressee::Roster(owned))
        }
        "officer" => {
            around.officers.check(name, &place, report);
            Some(Addressee::Officer(owned))
        }
        "target" => {
            around.targets.names.check(name, &place, report);
            Some(Addressee::Target(owned))
        }
        _ => {
            let help = did_you_mean(sort, ["roster", "officer", "target"]);
            value.wrong_with(format!("nobody can be told by `{sort}:`"), help);
            None
        }
    }
}

fn millis(length: Duration) -> Millis {
    Millis(u64::try_from(length.as_millis()).unwrap_or(u64::MAX))
}
