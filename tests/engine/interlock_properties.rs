//! What holds of orders for every sequence of inputs: a restart anywhere changes nothing, one order a device, and danger that
//! nothing has answered is never forgotten.

use std::collections::HashMap;

use ninewatch::domain::id::Id;
use ninewatch::domain::interlock::Report;
use ninewatch::domain::journal::Input;
use proptest::prelude::*;

use crate::site::{CLOSED, OPEN, Site, close_failed, gas_closes};

/// One step of a random run.
#[derive(Debug, Clone)]
enum Act {
    Gas(bool, f64),
    Valve(bool, f64),
    Pass(u64),
    Report(Report),
    Command(bool),
    Listen(bool),
    Define(f64),
    Appear,
}

fn act() -> impl Strategy<Value = Act> {
    let reports = [
        Report::Sent,
        Report::Acknowledged,
        Report::Declined,
        Report::Unwritable,
    ];
    prop_oneof![
        6 => (any::<bool>(), prop::sample::select(vec![5.0, 30.0, 60.0, 90.0])).prop_map(|(device, lel)| Act::Gas(device, lel)),
        6 => (any::<bool>(), prop::sample::select(vec![OPEN, CLOSED, 2.0])).prop_map(|(device, at)| Act::Valve(device, at)),
        6 => (1_u64..70_000).prop_map(Act::Pass),
        3 => prop::sample::select(reports.to_vec()).prop_map(Act::Report),
        2 => any::<bool>().prop_map(Act::Command),
        1 => any::<bool>().prop_map(Act::Listen),
        1 => prop::sample::select(vec![50.0, 55.0, 100.0]).prop_map(Act::Define),
        1 => Just(Act::Appear),
    ]
}

fn site(confirms: bool) -> Site {
    let mut site = Site::with(vec![gas_closes(), close_failed()], confirms);
    for (kind, device) in [
        ("gas_detector", "g1"),
        ("gas_detector", "g2"),
        ("shutoff_valve", "s1"),
    ] {
        site.admit(kind, device);
    }
    site
}

fn perform(site: &mut Site, act: &Act, confirms: bool) {
    match act {
        Act::Gas(first, lel) => site.gas(if *first { "g1" } else { "g2" }, *lel),
        Act::Valve(first, at) => {
            let other = site
                .engine
                .find(&crate::site::key("shutoff_valve", "s2"))
                .is_some();
            site.valve(if *first || !other { "s1" } else { "s2" }, *at);
        }
        Act::Pass(ms) => site.pass(*ms),
        Act::Report(report) => site.report(*report),
        Act::Command(open) => {
            let _may_be_refused = site.command(if *open { "open" } else { "close" }, true);
        }
        Act::Listen(up) => site.handle(&Input::Listening(*up)).unwrap(),
        Act::Define(level) => {
            let mut rule = gas_closes();
            rule.when = format!("lel >= {level:?}");
            site.define(vec![close_failed(), rule], confirms);
        }
        Act::Appear => {
            site.admit("shutoff_valve", "s2");
        }
    }
}

/// Everything that came of it, in words.
fn outcome(site: &mut Site) -> String {
    format!("{:?} {:?} {:?}", site.sent(), site.steps(), site.alarms())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_restart_anywhere_changes_nothing(
        acts in prop::collection::vec((act(), prop::bool::weighted(0.3)), 1..60),
        confirms in prop::bool::weighted(0.3),
    ) {
        let (mut one, mut other) = (site(confirms), site(confirms));
        for (act, restarts) in &acts {
            perform(&mut one, act, confirms);
            perform(&mut other, act, confirms);
            prop_assert_eq!(outcome(&mut one), outcome(&mut other));
            if *restarts {
                other.restart();
            }
        }
        prop_assert_eq!(one.engine.snapshot().unwrap(), other.engine.snapshot().unwrap());
    }

    #[test]
    fn one_order_a_device_and_each_ends_once(
        acts in prop::collection::vec(act(), 1..80),
    ) {
        let mut site = site(false);
        let mut under_way: HashMap<String, Id> = HashMap::new();
        for act in &acts {
            perform(&mut site, act, false);
            for event in site.effects.commands.drain(..) {
                let (device, id) = (event.order.device.device.clone(), event.order.id);
                prop_assert!(event.order.attempt <= event.order.attempts);
                if event.step.event_type() == "command.requested" {
                    prop_assert_eq!(under_way.insert(device, id), None);
                } else {
                    prop_assert_eq!(under_way.get(&device), Some(&id));
                }
                if event.step.result().is_some() {
                    under_way.remove(&event.order.device.device);
                }
            }
        }
        // Whatever is under way comes to an end by itself.
        site.pass(300_000);
        for event in site.effects.commands.drain(..) {
            if event.step.result().is_some() {
                under_way.remove(&event.order.device.device);
            } else if event.step.event_type() == "command.requested" {
                under_way.insert(event.order.device.device.clone(), event.order.id);
            }
        }
        prop_assert!(under_way.is_empty(), "{under_way:?}");
    }

    /// Where gas is and the valve is not proven closed, there is an order under way, or people know that it failed.
    #[test]
    fn danger_that_nothing_answers_is_known(
        acts in prop::collection::vec(act(), 1..60),
    ) {
        let mut site = site(false);
        for act in &acts {
            if !matches!(act, Act::Define(_) | Act::Command(_)) {
                perform(&mut site, act, false);
            }
        }
        site.handle(&Input::Listening(true)).unwrap();
        site.gas("g1", 90.0);
        site.valve("s1", OPEN);
        site.pass(120_000);
        site.valve("s1", OPEN);
        site.effects.alarms.clear();
        site.effects.commands.clear();
        site.pass(120_000);
        site.valve("s1", OPEN);
        let (sent, steps) = (site.sent(), site.steps());
        prop_assert!(!sent.is_empty(), "it is still tried");
        prop_assert!(steps.iter().any(|step| step.starts_with("s1 close")), "{steps:?}");
        site.valve("s1", CLOSED);
        site.pass(300_000);
        prop_assert_eq!(site.sent().iter().filter(|sent| sent.starts_with("s1")).count(), 0);
    }
}
