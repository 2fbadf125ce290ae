//! An engine with devices that speak, and what of it every bench of the engine needs.

use std::sync::Arc;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use ninewatch::domain::alarm::AlarmStep;
use ninewatch::domain::definitions::{DefinitionSource, Definitions};
use ninewatch::domain::device::{DeviceIndex, DeviceKey};
use ninewatch::domain::engine::{Effects, Engine};
use ninewatch::domain::journal::{DefinitionsInput, Input};
use ninewatch::domain::kind::{Keep, Kind, PointDef, PointIndex, ValueType};
use ninewatch::domain::reading::{Arrival, Reading, ReadingKind};
use ninewatch::domain::rule::{Repeat, RuleDef};
use ninewatch::domain::text::Text;
use ninewatch::domain::time::{ClockBounds, Millis, Moment, Ticks, Timestamp};

/// The kind of the devices that speak.
pub(crate) const KIND: &str = "gas_detector";

/// Readings in one measured run: the clock's own cost is spread over them.
pub(crate) const BATCH: u32 = 1_024;

/// Devices speak in an order that no prefetcher knows: a step that has no divisor in common with their number.
pub(crate) const STEP: u32 = 61_803;

/// Small steps of a generator that is the same in every run.
pub(crate) const fn noise(turn: u32) -> u32 {
    turn.wrapping_mul(2_654_435_761) >> 8
}

/// A kind with these numbers, and behind them a `state`.
pub(crate) fn kind(id: &str, numbers: &[&str]) -> Kind {
    let number = |id: &&str| PointDef {
        id: (*id).to_owned(),
        value: ValueType::Number {
            unit: String::new(),
            min: -1e9,
            max: 1e9,
        },
        default: None,
        stale_after: None,
        keep: Keep::default(),
        title: Text::default(),
    };
    let words = ["normal", "warmup", "fault", "end_of_life"];
    let state = PointDef {
        id: "state".to_owned(),
        value: ValueType::Enum {
            values: words.map(str::to_owned).to_vec(),
        },
        default: Some(0.0),
        stale_after: None,
        keep: Keep::default(),
        title: Text::default(),
    };
    let points = numbers.iter().map(number).chain([state]);
    Kind::new(id.to_owned(), Text::default(), points.collect())
}

/// `kinds` under rules that are given by what they are on, and when they hold.
pub(crate) fn definitions<'a>(
    kinds: Vec<Kind>,
    rules: impl IntoIterator<Item = (&'a str, String)>,
) -> Definitions {
    let rules = rules.into_iter().enumerate().map(|(place, (on, when))| RuleDef {
        // A storm of alarms is not what is measured.
        chatter: Repeat {
            count: 16,
            within: Millis(1),
        },
        ..RuleDef::new(&format!("rule-{place}"), on, &when)
    });
    Definitions::compile(DefinitionSource {
        kinds,
        rules: rules.collect(),
        ..DefinitionSource::default()
    })
    .expect("the rules are right")
}

/// An engine, its clock, and what it wants done.
pub(crate) struct Town {
    engine: Engine,
    effects: Effects,
}

impl Town {
    /// So many devices of [`KIND`], of which so many stand in each venue.
    pub(crate) fn new(definitions: Definitions, devices: u32, of_a_venue: u32) -> Town {
        let mut town = Town {
            engine: Engine::new("bench"),
            effects: Effects::default(),
        };
        let definitions = Arc::new(definitions);
        let input = Input::Definitions(DefinitionsInput {
            hash: [0; 32],
            definitions: &definitions,
        });
        town.handle(&input, Moment::default());
        for device in 0..devices {
            let key = DeviceKey {
                venue: format!("v{}", device / of_a_venue),
                kind: KIND.to_owned(),
                device: format!("g{device}"),
            };
            town.handle(&Input::Device(&key), Moment::default());
        }
        town
    }

    /// A device says these values, `ticks` milliseconds after the start.
    #[inline]
    pub(crate) fn say(&mut self, device: u32, ticks: u32, points: &[(PointIndex, f64)]) {
        let now = Moment {
            wall: Timestamp(1_767_225_600_000 + i64::from(ticks)),
            ticks: Ticks(u64::from(ticks)),
        };
        let reading = Reading {
            device: DeviceIndex(device),
            device_at: Some(ClockBounds::default().judge(now.wall, now.wall)),
            seq: None,
            kind: ReadingKind::Live,
            arrival: Arrival::First,
            points,
        };
        self.handle(&Input::Reading(black_box(reading)), now);
        if self.engine.next_deadline().is_some_and(|at| at <= now.ticks) {
            self.handle(&Input::Timeout, now);
        }
    }

    /// Measures what a reading costs; `next` says who speaks, when, and what.
    pub(crate) fn measure<const POINTS: usize>(
        mut self,
        bencher: Bencher<'_, '_>,
        mut next: impl FnMut() -> (u32, u32, [(PointIndex, f64); POINTS]),
    ) {
        let mut run = Vec::with_capacity(RUN);
        bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
            self.effects.alarms.clear();
            self.effects.samples.clear();
            let mut left = BATCH;
            while left > 0 {
                // As the gateway does with the messages that one look at the socket brings.
                run.clear();
                run.extend(std::iter::repeat_with(&mut next).take(RUN.min(left as usize)));
                self.engine
                    .approach(run.iter().map(|(device, ..)| DeviceIndex(*device)));
                for (device, ticks, points) in &run {
                    self.say(*device, *ticks, points);
                }
                left -= u32::try_from(run.len()).unwrap_or(left);
            }
        });
    }

    fn handle(&mut self, input: &Input<'_>, now: Moment) {
        self.engine
            .handle(input, now, &mut self.effects)
            .expect("only operators are refused");
    }

    /// How many conditions came to hold since the last call.
    pub(crate) fn raised(&mut self) -> usize {
        let events = self.effects.alarms.drain(..);
        events
            .filter(|event| matches!(event.step, AlarmStep::Raised | AlarmStep::Chattering))
            .count()
    }
}

/// So many messages come at once.
const RUN: usize = 256;

/// Measures what a reading costs by hand. `read` says how many conditions came to hold.
pub(crate) fn measure_by_hand(bencher: Bencher<'_, '_>, mut read: impl FnMut() -> usize) {
    bencher
        .counter(ItemsCount::new(BATCH))
        .bench_local(|| (0..BATCH).map(|_| read()).sum::<usize>());
}
