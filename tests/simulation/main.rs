//! The real gateway, store, recovery and notice schedule in a simulated world: thousands of seeds, each with its own
//! crashes, lost connections, failing disks, deaf targets and impatient operators (docs/simulation.md).

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that breaks down has failed"
)]

mod broker;
mod dice;
mod follower;
mod kept;
mod ledger;
mod link;
mod manner;
mod officer;
mod orders;
mod postgres;
mod process;
mod signals;
mod site;
mod town;
mod valves;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use site::Site;
use world::{Tally, play};

/// Seeds that are played when nobody says how many.
const SEEDS: u64 = 200;

/// Steps of a seed before everything settles.
const STEPS: u64 = 250;

/// Seeds within which each bug has to show.
const SEEDS_FOR_A_BUG: u64 = 1_000;

/// What the simulation does wrong on purpose, to show that it would see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    /// Receipts go out when a batch reaches the writer.
    AckBeforeCommit,
    /// Answers go out when a batch reaches the writer.
    AnswerBeforeCommit,
    /// A committed journal row disappears.
    JournalRowDropped,
    /// A notice counts as delivered when its first attempt begins.
    MarkedBeforeSent,
    /// A checkpoint holds inputs that are not committed.
    CheckpointAhead,
    /// Recovery does not play the newest row.
    LastRowSkipped,
    /// The follower's cursor is committed after its rows, apart from them.
    CursorApart,
    /// Retention takes one row too many.
    OneRowTooMany,
    /// The samples of a batch are kept a second time when a message comes again.
    SampleTwice,
    /// Receipts that are to wait for PostgreSQL go out after the store's commit.
    AckBeforeReplica,
    /// What is sent again when the devices can be heard after a restart is lost.
    NotRenewed,
    /// What the broker retained of a valve passes for news.
    RetainedProves,
    /// A command that opens leaves when its batch reaches the writer.
    OpenedBeforeCommit,
    /// How far the chains have come is forgotten at a crash.
    ChainsForgotten,
}

const BUGS: [Bug; 14] = [
    Bug::AckBeforeCommit,
    Bug::AnswerBeforeCommit,
    Bug::JournalRowDropped,
    Bug::MarkedBeforeSent,
    Bug::CheckpointAhead,
    Bug::LastRowSkipped,
    Bug::CursorApart,
    Bug::OneRowTooMany,
    Bug::SampleTwice,
    Bug::AckBeforeReplica,
    Bug::NotRenewed,
    Bug::RetainedProves,
    Bug::OpenedBeforeCommit,
    Bug::ChainsForgotten,
];

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is a whole number, not {text:?}")))
}

fn steps() -> u64 {
    number("NINEWATCH_STEPS").unwrap_or(STEPS)
}

/// What becomes of a seed; a panic is a violation like any other.
fn outcome(site: &Site, seed: u64, steps: u64) -> Result<Tally, String> {
    let played = catch_unwind(AssertUnwindSafe(|| play(site, seed, steps, (None, false))));
    played.unwrap_or_else(|_| Err("it panicked".to_owned()))
}

/// What a seed breaks, and how to see it in as few steps as possible: the first steps of a seed are the same however many
/// there are.
fn report(site: &Site, seed: u64, violation: &str) -> String {
    let enough = (0..steps()).find(|steps| outcome(site, seed, *steps).is_err());
    let steps = enough.unwrap_or_else(steps);
    format!(
        "seed {seed}: {violation}\n  NINEWATCH_SEED={seed} NINEWATCH_STEPS={steps} cargo test --test simulation no_seed -- --nocapture"
    )
}

#[test]
fn no_seed_breaks_a_promise() {
    let site = Site::new();
    if let Some(seed) = number("NINEWATCH_SEED") {
        let played = play(&site, seed, steps(), (None, true));
        println!("seed {seed}: {played:#?}");
        played.expect("a seed without a violation");
        return;
    }
    let first = number("NINEWATCH_FIRST_SEED").unwrap_or(0);
    let seeds = number("NINEWATCH_SEEDS").unwrap_or(SEEDS);
    let mut sum = Tally::default();
    let mut violations = Vec::new();
    for seed in first..first + seeds {
        match outcome(&site, seed, steps()) {
            Ok(tally) => sum.add(tally),
            Err(violation) => violations.push(report(&site, seed, &violation)),
        }
        assert!(violations.len() < 5, "{}", violations.join("\n"));
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    println!("seeds {first} to {}: {sum:#?}", first + seeds - 1);
    sum.assert_all_happened();
}

#[test]
fn every_bug_is_seen() {
    let site = Site::new();
    for bug in BUGS {
        let found = (0..SEEDS_FOR_A_BUG).find_map(|seed| {
            let violation = play(&site, seed, steps(), (Some(bug), false)).err()?;
            Some((seed, violation))
        });
        let (seed, violation) =
            found.unwrap_or_else(|| panic!("{bug:?}: not seen in {SEEDS_FOR_A_BUG} seeds"));
        println!(
            "{bug:?}: seed {seed}: {}",
            violation.chars().take(160).collect::<String>()
        );
    }
}
