//! The transition table of the life cycle: every state × every stimulus. What the code does is what
//! `docs/alarm-lifecycle.md` shows.

use std::fmt::Write as _;

use ninewatch::domain::alarm::{
    Ack, Handling, HandlingStimulus, HandlingTransition, Judgement, Life, Mask, MaskChange, MaskReason,
    Operator, Pause, Standing, Stimulus, Tally, Transition, Verdict,
};
use ninewatch::domain::id::Id;
use ninewatch::domain::rule::{Repeat, RuleDef};
use ninewatch::domain::time::{Millis, Ticks, Timestamp};

use crate::bench::rule;

const NOW: Ticks = Ticks(1_000_000);

const STIMULI: [Stimulus; 8] = [
    Stimulus::Holds,
    Stimulus::Lapses,
    Stimulus::Clears,
    Stimulus::Unknown,
    Stimulus::Deadline,
    Stimulus::Acknowledge,
    Stimulus::Reset,
    Stimulus::RuleRemoved,
];

fn standing(chatter: Option<u32>) -> Box<Standing> {
    Box::new(Standing {
        id: Id::from_bits(1),
        raised_at: Timestamp(0),
        first_out: true,
        late_by_ms: None,
        ack: Ack::Unacknowledged,
        chatter,
        mask: Mask::None,
        announced: true,
        handling: Handling::Unverified,
    })
}

fn ago(ms: u64) -> Ticks {
    Ticks(NOW.0 - ms)
}

fn pending(since: u64, confirmed: u64) -> Life {
    Life::Pending {
        since: ago(since),
        confirmed: ago(confirmed),
        tally: Tally::default(),
    }
}

fn recovering(since: u64, confirmed: u64, chatter: Option<u32>) -> Life {
    Life::Recovering {
        standing: standing(chatter),
        since: ago(since),
        confirmed: ago(confirmed),
    }
}

/// A rule with both delays of ten seconds, whose evidence counts for twenty.
fn delays() -> RuleDef {
    RuleDef {
        hold: Millis(10_000),
        keep_for: Millis(10_000),
        max_gap: Millis(20_000),
        ..rule("delays", "lel >= 25.0", None)
    }
}

/// A rule without delays.
fn at_once() -> RuleDef {
    rule("at-once", "lel >= 25.0", None)
}

/// A rule that raises at the third finding within a minute.
fn counts() -> RuleDef {
    RuleDef {
        after: Some(Repeat {
            count: 3,
            within: Millis(60_000),
        }),
        ..rule("counts", "lel >= 25.0", None)
    }
}

/// A pending life of [`counts`] that has found the condition holding so long ago.
fn found(ages: &[u64]) -> Life {
    let rule = counts();
    let mut life = pending(0, 0);
    for age in ages {
        life.confirm(ago(*age), &rule);
    }
    life
}

const fn word(transition: Transition) -> &'static str {
    match transition {
        Transition::Stay => "·",
        Transition::Confirm => "confirm",
        Transition::Pend => "pend",
        Transition::Lapse => "lapse",
        Transition::Raise => "raise",
        Transition::RaiseAgain => "raise again",
        Transition::Resume => "resume",
        Transition::BeginRecovery => "begin recovery",
        Transition::Recover => "recover",
        Transition::Acknowledge => "acknowledge",
        Transition::Reset => "reset",
        Transition::Remove => "remove",
        Transition::Refuse => "refuse",
    }
}

/// One table: a column for each life, a row for each stimulus.
fn table(rule: &RuleDef, lives: &[(&str, Life)]) -> String {
    let mut out = String::from("| |");
    for (name, _) in lives {
        write!(out, " {name} |").unwrap();
    }
    out.push_str("\n|---|");
    out.push_str(&"---|".repeat(lives.len()));
    for stimulus in STIMULI {
        write!(out, "\n| {stimulus:?} |").unwrap();
        for (_, life) in lives {
            write!(out, " {} |", word(life.transition(stimulus, NOW, rule))).unwrap();
        }
    }
    out
}

#[test]
fn the_documented_tables_are_what_the_code_does() {
    let tables = [
        table(
            &delays(),
            &[
                ("Normal", Life::Normal),
                ("Pending", pending(9_999, 1)),
                ("Pending, `for` over", pending(10_000, 20_000)),
                ("… not fresh", pending(30_000, 20_001)),
                ("Active", Life::Active(standing(None))),
                ("Recovering", recovering(9_999, 1, None)),
                ("Recovering, `keep_for` over", recovering(10_000, 20_000, None)),
                ("… not fresh", recovering(30_000, 20_001, None)),
                (
                    "Recovered",
                    Life::Recovered {
                        standing: standing(None),
                        at: Timestamp(0),
                    },
                ),
            ],
        ),
        table(
            &at_once(),
            &[
                ("Normal", Life::Normal),
                ("Active", Life::Active(standing(None))),
                ("Active, chattering", Life::Active(standing(Some(5)))),
                ("Recovering, chattering", recovering(599_999, 1, Some(5))),
                ("… quiet for long enough", recovering(600_000, 1, Some(5))),
            ],
        ),
        table(
            &counts(),
            &[
                ("Normal", Life::Normal),
                ("Pending, found once", found(&[30_000])),
                ("found twice", found(&[30_000, 10_000])),
                ("found twice, once just now", found(&[30_000, 0])),
                ("found twice, long ago", found(&[90_000, 60_000])),
            ],
        ),
    ];
    for table in tables {
        documented(&table);
    }
}

#[track_caller]
fn documented(table: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/alarm-lifecycle.md");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(
        text.contains(table),
        "docs/alarm-lifecycle.md does not have the table\n\n{table}\n"
    );
}

/// A table with these column names, and a row for each of `rows`.
fn grid(columns: &[&str], rows: &[(&str, Vec<&'static str>)]) -> String {
    let mut out = format!(
        "| | {} |\n|---|{}",
        columns.join(" | "),
        "---|".repeat(columns.len())
    );
    for (name, cells) in rows {
        write!(out, "\n| {name} | {} |", cells.join(" | ")).unwrap();
    }
    out
}

fn operator() -> Operator {
    Operator {
        by: "duty".to_owned(),
        note: None,
    }
}

#[test]
fn the_documented_table_of_the_mask_axis_is_what_the_code_does() {
    let pause = |ends| Pause {
        ends: Ticks(ends),
        until: Timestamp(0),
        operator: operator(),
    };
    let (old, new) = (pause(1), pause(2));
    let masks = [
        Mask::None,
        Mask::Limited { room_at: NOW },
        Mask::Suppressed { by: "a".to_owned() },
        Mask::Shelved(old.clone()),
        Mask::OutOfService(old.clone()),
    ];
    let reasons = [
        ("nothing", MaskReason::Nothing, false),
        ("nothing, and it is Recovering", MaskReason::Nothing, true),
        ("the rule `a`", MaskReason::Rule("a"), false),
        ("another rule", MaskReason::Rule("b"), true),
        ("the same shelf", MaskReason::Shelf(&old), false),
        ("a new shelf", MaskReason::Shelf(&new), true),
        ("the same leave of the device", MaskReason::Service(&old), false),
        ("a new leave of the device", MaskReason::Service(&new), true),
    ];
    let rows: Vec<_> = reasons
        .into_iter()
        .map(|(name, reason, recovering)| {
            let cell = |mask: &Mask| match mask.change(reason, recovering) {
                MaskChange::Stay => "·",
                MaskChange::Hold => "hold",
                MaskChange::PutOn => "put on",
                MaskChange::TakeOff => "take off",
            };
            (name, masks.iter().map(cell).collect())
        })
        .collect();
    documented(&grid(
        &["None", "Limited", "Suppressed by `a`", "Shelved", "OutOfService"],
        &rows,
    ));
}

#[test]
fn the_documented_table_of_the_handling_axis_is_what_the_code_does() {
    let judgement = || Judgement {
        verdict: Verdict::Real,
        operator: operator(),
        at: Timestamp(0),
    };
    let states = [
        Handling::Unverified,
        Handling::Verified(judgement()),
        Handling::Ended,
        Handling::Handled(judgement()),
        Handling::Closed(judgement()),
    ];
    let stimuli = [
        HandlingStimulus::Verdict,
        HandlingStimulus::End,
        HandlingStimulus::RaisedAgain,
        HandlingStimulus::Close,
    ];
    let names: Vec<String> = stimuli.iter().map(|stimulus| format!("{stimulus:?}")).collect();
    let rows: Vec<_> = names
        .iter()
        .zip(stimuli)
        .map(|(name, stimulus)| {
            let cell = |state: &Handling| match state.transition(stimulus) {
                HandlingTransition::Stay => "·",
                HandlingTransition::Verify => "verify",
                HandlingTransition::End => "end",
                HandlingTransition::Handle => "handle",
                HandlingTransition::Reopen => "reopen",
                HandlingTransition::Close => "close",
                HandlingTransition::Refuse => "refuse",
            };
            (name.as_str(), states.iter().map(cell).collect())
        })
        .collect();
    documented(&grid(
        &["Unverified", "Verified", "Ended", "Handled", "Closed"],
        &rows,
    ));
}
