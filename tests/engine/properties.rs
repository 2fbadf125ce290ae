//! What holds for every sequence of inputs: independent devices, repeated messages, dangers that stand, ends that
//! are explained.

use std::collections::BTreeMap;

use ninewatch::domain::alarm::{AlarmStep, ClearReason};
use ninewatch::domain::device::DeviceIndex;
use ninewatch::domain::id::Id;
use ninewatch::domain::journal::{Input, OperatorAction, ServiceAction};
use ninewatch::domain::kind::PointIndex;
use ninewatch::domain::reading::{Arrival, Reading, ReadingKind};
use ninewatch::domain::rule::RuleDef;
use proptest::prelude::*;

use crate::bench::{
    Bench, LEL, STATE, device_time, high, key, limited, low, often, operation, rule, service, slow,
};

/// One step of a random run.
#[derive(Debug, Clone)]
enum Action {
    Read {
        device: u32,
        lel: f64,
        /// The device's time, from now.
        at: Option<i64>,
        kind: ReadingKind,
        retained: bool,
    },
    Online {
        device: u32,
        online: bool,
    },
    Wait(u64),
    /// On the alarm that came so many before the last.
    Operate(OperatorAction, usize),
    Serve(ServiceAction),
    Define(bool),
}

fn reading(times: impl Strategy<Value = Option<i64>>) -> impl Strategy<Value = Action> {
    let kinds = prop_oneof![
        8 => Just(ReadingKind::Live),
        1 => Just(ReadingKind::Test),
        1 => Just(ReadingKind::History),
    ];
    let lel = prop_oneof![
        6 => 0.0_f64..80.0,
        1 => Just(f64::INFINITY),
        1 => Just(f64::MIN),
        1 => Just(-0.0),
    ];
    (0_u32..3, lel, times, kinds, prop::bool::weighted(0.1)).prop_map(|(device, lel, at, kind, retained)| {
        Action::Read {
            device,
            lel,
            at,
            kind,
            retained,
        }
    })
}

fn action() -> impl Strategy<Value = Action> {
    let times = prop::option::of(prop_oneof![-90_000_i64..90_000, Just(i64::MIN), Just(i64::MAX)]);
    prop_oneof![
        8 => reading(times),
        1 => (0_u32..3, any::<bool>()).prop_map(|(device, online)| Action::Online { device, online }),
        3 => (0_u64..40_000).prop_map(Action::Wait),
        3 => (operation(), 0_usize..4).prop_map(|(action, back)| Action::Operate(action, back)),
        1 => service().prop_map(Action::Serve),
        1 => any::<bool>().prop_map(Action::Define),
    ]
}

fn rules(other: bool) -> Vec<RuleDef> {
    let quiet = RuleDef {
        suppressed_by: vec!["gas-high".to_owned()],
        ..low()
    };
    if other {
        vec![often(), slow(), high(), limited()]
    } else {
        vec![high(), quiet, slow(), limited(), often()]
    }
}

/// Those rules, and others on windows.
fn over_time() -> Vec<RuleDef> {
    let windows = [
        rule("mean", "avg(lel, '1m') > 40.0", Some("min(lel, '1m') < 10.0")),
        rule("rising", "rate(lel, '30s') > 0.5", None),
        rule(
            "restless",
            "changes(lel, '1m') >= 5",
            Some("max(lel, '2m') < 70.0"),
        ),
        rule("lasting", "held('1m', avg(lel, '30s') > 20.0)", None),
    ];
    rules(false).into_iter().chain(windows).collect()
}

/// A reading of a gas concentration that stands for danger.
const fn danger(device: u32) -> Reading<'static> {
    Reading {
        device: DeviceIndex(device),
        seq: None,
        device_at: None,
        kind: ReadingKind::Live,
        arrival: Arrival::First,
        points: &[(LEL, 60.0), (STATE, 0.0)],
    }
}

/// What has happened: device, rule, step.
type Log = Vec<(String, String, AlarmStep)>;

/// A bench with three devices.
fn bench() -> Bench {
    let mut bench = Bench::with(rules(false));
    for device in ["g2", "g3"] {
        let (now, effects) = (bench.now, &mut bench.effects);
        bench
            .engine
            .handle(&Input::Device(&key(device)), now, effects)
            .unwrap();
    }
    bench
}

fn act(bench: &mut Bench, action: &Action, known: &mut Vec<Id>) -> Log {
    match action {
        Action::Read {
            device,
            lel,
            at,
            kind,
            retained,
        } => {
            let device_at = at.map(|at| device_time(bench.now.wall.0.saturating_add(at), bench.now));
            bench.feed(Reading {
                device: DeviceIndex(*device),
                device_at,
                seq: None,
                kind: *kind,
                arrival: if *retained { Arrival::Kept } else { Arrival::First },
                points: &[(LEL, *lel), (STATE, 0.0)],
            });
        }
        Action::Online { device, online } => bench.feed(Reading {
            device: DeviceIndex(*device),
            device_at: None,
            seq: None,
            kind: ReadingKind::Live,
            arrival: Arrival::First,
            points: &[(PointIndex(0), f64::from(u8::from(*online)))],
        }),
        Action::Wait(ms) => bench.wait(*ms),
        Action::Operate(action, back) => {
            let alarm = known.iter().rev().nth(*back).copied();
            let alarm = alarm.unwrap_or(Id::from_bits(1));
            // Whether it is refused is the life cycle's matter.
            let _answer = bench.operate(alarm, *action);
        }
        Action::Serve(action) => {
            let _answer = bench.serve(*action);
        }
        Action::Define(other) => bench.define(rules(*other)),
    }
    let mut log = Log::new();
    for event in bench.effects.alarms.drain(..) {
        let id = event.alarm.id;
        if !known.contains(&id) {
            known.push(id);
        }
        log.push((
            event.alarm.device.device.clone(),
            event.alarm.rule.id.clone(),
            event.step,
        ));
    }
    log
}

/// The log of each device by itself.
fn by_device(log: Log) -> BTreeMap<String, Vec<(String, AlarmStep)>> {
    let mut devices: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (device, rule, step) in log {
        devices.entry(device).or_default().push((rule, step));
    }
    devices
}

proptest! {
    #[test]
    fn a_danger_that_stands_is_never_normal_and_every_end_is_explained(
        actions in prop::collection::vec(action(), 1..80),
    ) {
        let mut bench = bench();
        let mut known = Vec::new();
        let mut active: Vec<(String, String)> = Vec::new();
        for action in &actions {
            for (device, rule, step) in act(&mut bench, action, &mut known) {
                let ended = match step {
                    AlarmStep::Cleared(ClearReason::Recovered) => matches!(
                        action,
                        Action::Wait(_)
                            | Action::Online { .. }
                            | Action::Read { kind: ReadingKind::Live, retained: false, .. }
                    ),
                    AlarmStep::Cleared(ClearReason::Reset(_)) => {
                        matches!(action, Action::Operate(OperatorAction::Reset, _))
                    }
                    AlarmStep::Cleared(ClearReason::RuleRemoved) => matches!(action, Action::Define(_)),
                    // Nobody is retired here.
                    AlarmStep::Cleared(ClearReason::DeviceRetired) => false,
                    AlarmStep::Recovered => {
                        !matches!(action, Action::Operate(..) | Action::Serve(_) | Action::Define(_))
                    }
                    AlarmStep::Raised
                    | AlarmStep::Chattering
                    | AlarmStep::Announced
                    | AlarmStep::Suppressed
                    | AlarmStep::Limited
                    | AlarmStep::Shelved { .. }
                    | AlarmStep::Unshelved(_)
                    | AlarmStep::OutOfService { .. }
                    | AlarmStep::InService(_)
                    | AlarmStep::Acknowledged(_)
                    | AlarmStep::Verified { .. }
                    | AlarmStep::Closed(_)
                    | AlarmStep::Unclosed
                    | AlarmStep::Escalated(_) => true,
                };
                prop_assert!(ended, "{rule} of {device}: {step:?} by {action:?}");
                let alarm = (device, rule);
                if matches!(step, AlarmStep::Raised | AlarmStep::Chattering) {
                    active.push(alarm);
                } else if matches!(step, AlarmStep::Cleared(_) | AlarmStep::Recovered) {
                    active.retain(|known| *known != alarm);
                }
            }
            if let Action::Read { device, lel, at: None, kind: ReadingKind::Live, retained: false } = action
                && *lel >= 50.0
            {
                let danger = (format!("g{}", device + 1), "gas-high".to_owned());
                prop_assert!(active.contains(&danger), "{lel} %LEL and no alarm");
            }
        }
    }

    #[test]
    fn whatever_people_keep_quiet_a_danger_that_lasts_is_told_of_again(
        acts in prop::collection::vec((action(), 0_u64..60_000), 1..40),
    ) {
        let mut bench = bench();
        let mut known = Vec::new();
        let mut told: BTreeMap<Id, bool> = BTreeMap::new();
        let mut note = |bench: &mut Bench| {
            for event in bench.effects.alarms.drain(..) {
                let masked = !event.alarm.mask.is_none();
                if event.alarm.rule.id == "gas-high" {
                    known.push(event.alarm.id);
                    // Whoever is kept from hearing of it has to be told of it anew.
                    told.insert(event.alarm.id, told.get(&event.alarm.id) == Some(&true) && !masked || event.notify);
                }
                assert!(!(masked && event.notify && matches!(event.step, AlarmStep::Raised | AlarmStep::Announced)));
            }
            (known.clone(), told.clone())
        };
        for (act, wait) in acts {
            for device in 0..3 {
                bench.feed(danger(device));
            }
            let (known, _) = note(&mut bench);
            match act {
                Action::Operate(action, back) => {
                    let alarm = known.iter().rev().nth(back).copied().unwrap_or(Id::from_bits(1));
                    let _answer = bench.operate(alarm, action);
                }
                Action::Serve(action) => {
                    let _answer = bench.serve(action);
                }
                Action::Define(_) => bench.restart(),
                Action::Read { .. } | Action::Online { .. } | Action::Wait(_) => {}
            }
            bench.wait(wait);
        }
        // Every pause is shorter than that.
        bench.wait(200_000);
        let (_, told) = note(&mut bench);
        prop_assert_eq!(told.len(), 3);
        prop_assert!(told.values().all(|told| *told), "{told:?}");
    }

    #[test]
    fn messages_that_come_twice_change_nothing(
        readings in prop::collection::vec((0_u32..3, 0.0_f64..80.0, 1_u64..20_000, 0_usize..4), 1..60),
    ) {
        let mut once = bench();
        let mut twice = bench();
        for bench in [&mut once, &mut twice] {
            bench.define(over_time());
        }
        let (mut of_once, mut of_twice) = (Log::new(), Log::new());
        let mut sent: Vec<Action> = Vec::new();
        for (device, lel, wait, again) in readings {
            let reading = |at| Action::Read {
                device,
                lel,
                at: Some(at),
                kind: ReadingKind::Live,
                retained: false,
            };
            for (bench, log) in [(&mut once, &mut of_once), (&mut twice, &mut of_twice)] {
                log.extend(act(bench, &Action::Wait(wait), &mut Vec::new()));
                log.extend(act(bench, &reading(0), &mut Vec::new()));
            }
            // What was sent before, at its own time, which lies as far back as we have waited since.
            for earlier in &mut sent {
                if let Action::Read { at: Some(at), .. } = earlier {
                    *at -= i64::try_from(wait).unwrap();
                }
            }
            sent.push(reading(0));
            for earlier in sent.iter().rev().take(again) {
                of_twice.extend(act(&mut twice, earlier, &mut Vec::new()));
            }
        }
        prop_assert_eq!(of_once, of_twice);
    }

    #[test]
    fn the_order_of_independent_devices_does_not_matter(
        rounds in prop::collection::vec(([0.0_f64..80.0, 0.0..80.0, 0.0..80.0], 0_u64..20_000), 1..40),
    ) {
        // A limit counts all devices of the venue together: under one they do not act independently.
        let mut forward = bench();
        let mut backward = bench();
        for bench in [&mut forward, &mut backward] {
            bench.define(rules(false).into_iter().filter(|rule| rule.limit.is_none()).collect());
        }
        let (mut one, mut other) = (Log::new(), Log::new());
        for (levels, wait) in rounds {
            let mut readings: Vec<Action> = (0_u32..)
                .zip(levels)
                .map(|(device, lel)| Action::Read {
                    device,
                    lel,
                    at: None,
                    kind: ReadingKind::Live,
                    retained: false,
                })
                .collect();
            for reading in &readings {
                one.extend(act(&mut forward, reading, &mut Vec::new()));
            }
            readings.reverse();
            for reading in &readings {
                other.extend(act(&mut backward, reading, &mut Vec::new()));
            }
            one.extend(act(&mut forward, &Action::Wait(wait), &mut Vec::new()));
            other.extend(act(&mut backward, &Action::Wait(wait), &mut Vec::new()));
        }
        prop_assert_eq!(by_device(one), by_device(other));
    }
}
