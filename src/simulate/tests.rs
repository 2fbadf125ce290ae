//! The town at work, instant by instant, without a broker.

use serde_json::Value;

use super::counts::Counts;
use super::plan::{Act, Plan};
use super::simulator::Simulator;
use super::town::Town;
use super::voice::Message;
use crate::config::{Happening, Incident};
use crate::domain::device::DeviceKey;
use crate::domain::time::{Millis, Moment, Ticks, Timestamp};

/// Noon in China on 2026-01-01.
const START: i64 = 1_767_240_000_000;
const STEP: u64 = 100;

/// A town, and everything that happened in it.
struct Played {
    simulator: Simulator,
    at: u64,
    acts: Vec<(u64, Act)>,
}

fn moment(at: u64) -> Moment {
    Moment {
        wall: Timestamp(START + i64::try_from(at).unwrap()),
        ticks: Ticks(at),
    }
}

impl Played {
    fn new(venues: usize, plan: Plan) -> Played {
        Played {
            simulator: Simulator::new(&Town::new(venues), plan),
            at: 0,
            acts: Vec::new(),
        }
    }

    fn until(mut self, seconds: u64) -> Played {
        while self.at < seconds * 1_000 {
            let (from, now) = (self.at, self.at + STEP);
            let acts = self.simulator.step(moment(now));
            self.acts.extend(acts.into_iter().map(|act| (from, act)));
            self.at = now;
        }
        self
    }

    /// Tells the device of this topic to do something, `ttl` milliseconds from now on.
    fn tell(mut self, device: &str, (id, command): (&str, &str), ttl: i64, retained: bool) -> Played {
        let now = moment(self.at);
        let order = serde_json::json!({ "id": id, "command": command, "expires_at": now.wall.0 + ttl });
        let topic = format!("ninewatch/{device}/command");
        self.simulator
            .hear(&topic, order.to_string().as_bytes(), retained, now);
        self
    }

    fn messages(&self) -> impl Iterator<Item = (u64, &Message)> {
        self.acts.iter().filter_map(|(at, act)| match act {
            Act::Publish(_, message) => Some((*at, message)),
            Act::Appear(_) | Act::Vanish(_) => None,
        })
    }

    /// What this device said of this point: when it changed, and to what.
    fn said(&self, device: &str, point: &str) -> Vec<(u64, Value)> {
        let topic = format!("ninewatch/{device}/telemetry");
        let of = self.messages().filter(|(_, message)| message.topic == topic);
        let mut said: Vec<(u64, Value)> = of
            .filter_map(|(at, message)| Some((at, read(message)?.get(point)?.clone())))
            .collect();
        said.dedup_by(|later, earlier| later.1 == earlier.1);
        said
    }

    fn acks(&self, device: &str) -> Vec<Value> {
        let topic = format!("ninewatch/{device}/ack");
        let of = self.messages().filter(|(_, message)| message.topic == topic);
        of.filter_map(|(_, message)| read(message)).collect()
    }

    fn lel_at(&self, device: &str, at: u64) -> f64 {
        let said = self.said(device, "lel");
        let last = said.iter().rev().find(|(then, _)| *then <= at).unwrap();
        last.1.as_f64().unwrap()
    }
}

fn read(message: &Message) -> Option<Value> {
    serde_json::from_slice(&message.payload).ok()
}

fn story(seed: u64) -> Plan {
    Plan {
        seed,
        story: true,
        ..Plan::default()
    }
}

fn script(incidents: &[(u64, u64, &str, Happening)]) -> Plan {
    let incident = |(at, lasts, device, what): &(u64, u64, &str, Happening)| {
        let mut parts = device.split('/').map(str::to_owned);
        let mut part = || parts.next().unwrap();
        Incident {
            at: Millis(*at),
            lasts: Millis(*lasts),
            device: DeviceKey {
                venue: part(),
                kind: part(),
                device: part(),
            },
            what: *what,
        }
    };
    Plan {
        incidents: incidents.iter().map(incident).collect(),
        ..Plan::default()
    }
}

const LEAK: Happening = Happening::GasLeak {
    rise: Millis(4_000),
    peak: 60.0,
};
const DETECTOR: &str = "v001/gas_detector/g1";
const VALVE: &str = "v001/shutoff_valve/valve";
const PORT: &str = "v001/charging_port/port1";

#[test]
fn one_seed_plays_one_town() {
    let acts = |seed| Played::new(8, story(seed)).until(30).acts;
    assert_eq!(acts(7), acts(7));
    assert_ne!(acts(7), acts(8));
}

#[test]
fn a_venue_sends_two_to_five_messages_a_second() {
    let played = Played::new(50, story(1)).until(60);
    let rate = played.messages().count() as f64 / (50.0 * 60.0);
    assert!((2.0..5.0).contains(&rate), "{rate}");
}

#[test]
fn a_rate_is_kept_to_the_message() {
    for (venues, rate) in [(1, 0.5), (3, 7.0), (50, 100.0), (10, 1_500.0)] {
        let plan = Plan {
            rate: Some(rate),
            ..Plan::default()
        };
        let played = Played::new(venues, plan).until(20);
        let (sent, wanted) = (played.messages().count() as f64, rate * 20.0);
        assert!(
            (sent - wanted).abs() <= 1.0 + wanted / 1_000.0,
            "{sent} of {wanted}"
        );
        assert_eq!(
            played.simulator.counts().reports,
            played.messages().count() as u64
        );
        // Evenly: no second has a tenth more than another.
        let in_second = |second: u64| {
            let of = played.messages().filter(|(at, _)| at / 1_000 == second);
            of.count() as f64
        };
        for second in 0..20 {
            let off = (in_second(second) - rate).abs();
            assert!(off <= 2.0 + rate / 10.0, "{venues} venues, {rate}: {off}");
        }
    }
}

#[test]
fn a_town_that_was_held_up_leaves_reports_out_and_says_so() {
    let mut played = Played::new(10, Plan::default()).until(10);
    let before = *played.simulator.counts();
    let acts = played.simulator.step(moment(100_000)).len() as u64;
    let after = *played.simulator.counts();
    assert_eq!(acts, after.reports - before.reports);
    assert!(acts < 400, "a burst of {acts}");
    assert!(after.skipped > 1_500, "{after:?}");
}

#[test]
fn the_first_leak_passes_50_lel_within_ten_seconds_and_is_aired_within_twenty_five() {
    for venues in [1, 2, 50] {
        let played = Played::new(venues, story(42)).until(35);
        let said = played.said(DETECTOR, "lel");
        let high = said.iter().find(|(_, lel)| lel.as_f64() >= Some(50.0)).unwrap().0;
        assert!(high <= 10_000, "{venues} venues: {high} ms");
        let clear = said
            .iter()
            .find(|(at, lel)| *at > high && lel.as_f64() < Some(8.0))
            .unwrap();
        assert!(clear.0 <= 25_000, "{venues} venues: {} ms", clear.0);
    }
}

#[test]
fn a_leak_comes_every_half_minute_or_so_and_not_twice_at_once_in_a_venue() {
    let played = Played::new(50, story(3)).until(300);
    let mut leaking: Vec<&str> = played
        .messages()
        .filter(|(_, message)| {
            let lel = read(message).and_then(|value| value.get("lel")?.as_f64());
            lel.is_some_and(|lel| (50.0..80.0).contains(&lel))
        })
        .filter_map(|(_, message)| message.topic.split('/').nth(1))
        .collect();
    leaking.dedup();
    leaking.sort_unstable();
    leaking.dedup();
    assert!((8..=13).contains(&leaking.len()), "{}", leaking.len());
    assert!(played.simulator.counts().incidents > 15);
}

#[test]
fn one_device_lies_and_every_other_payload_is_sound() {
    let played = Played::new(50, story(5)).until(60);
    let unsound = played
        .messages()
        .filter(|(_, message)| read(message).is_none_or(|value| value["lel"] == "soon"));
    let mut topics: Vec<&str> = unsound.map(|(_, message)| message.topic.as_str()).collect();
    topics.dedup();
    assert_eq!(topics.len(), 1, "{topics:?}");
}

#[test]
fn an_offline_device_vanishes_says_nothing_and_comes_back() {
    let played = Played::new(2, script(&[(5_000, 20_000, DETECTOR, Happening::Offline)])).until(40);
    let alone: Vec<usize> = played.simulator.alone().collect();
    let turns: Vec<(u64, &Act)> = played
        .acts
        .iter()
        .filter(|(_, act)| matches!(act, Act::Appear(_) | Act::Vanish(_)))
        .map(|(at, act)| (*at, act))
        .collect();
    assert_eq!(
        turns,
        [(5_000, &Act::Vanish(alone[0])), (25_000, &Act::Appear(alone[0]))]
    );
    let said = played.said(DETECTOR, "ts");
    assert!(said.iter().any(|(at, _)| *at < 5_000) && said.iter().any(|(at, _)| *at >= 25_000));
    assert!(!said.iter().any(|(at, _)| (5_000..25_000).contains(at)));
    let status = played.simulator.status(alone[0], false).unwrap();
    assert_eq!(status.topic, format!("ninewatch/{DETECTOR}/status"));
}

#[test]
fn a_closed_valve_proves_it_and_ends_the_leak_of_its_venue_only() {
    let leaks = script(&[
        (1_000, 60_000, DETECTOR, LEAK),
        (1_000, 60_000, "v002/gas_detector/g1", LEAK),
    ]);
    let played = Played::new(2, leaks).until(8);
    assert!(played.lel_at(DETECTOR, 7_000) > 50.0);
    let played = played.tell(VALVE, ("a", "close"), 10_000, false).until(25);
    let positions: Vec<Value> = played
        .said(VALVE, "position")
        .into_iter()
        .map(|(_, position)| position)
        .collect();
    assert_eq!(positions, ["open", "moving", "closed"]);
    assert_eq!(played.acks(VALVE), [serde_json::json!({ "id": "a", "ok": true })]);
    assert!(played.lel_at(DETECTOR, 24_000) < 8.0);
    assert!(played.lel_at("v002/gas_detector/g1", 24_000) > 50.0);
    let played = played.until(75);
    let last = played.said(VALVE, "position").pop().unwrap();
    assert_eq!(last.1, "open", "somebody opened it by hand");
}

#[test]
fn gas_does_not_flow_through_a_closed_valve() {
    let played = Played::new(1, script(&[(10_000, 30_000, DETECTOR, LEAK)]));
    let played = played
        .until(1)
        .tell(VALVE, ("a", "close"), 10_000, false)
        .until(20);
    assert!(played.lel_at(DETECTOR, 19_000) < 8.0);
}

#[test]
fn a_retained_an_expired_a_foreign_and_an_unreadable_command_move_nothing() {
    let mut played = Played::new(1, Plan::default())
        .until(1)
        .tell(VALVE, ("a", "close"), 10_000, true)
        .tell(VALVE, ("b", "close"), 0, false)
        .tell(VALVE, ("c", "close"), -60_000, false)
        .tell("v009/shutoff_valve/valve", ("d", "close"), 10_000, false)
        .tell(VALVE, ("e", "off"), 10_000, false);
    let topic = format!("ninewatch/{VALVE}/command");
    played.simulator.hear(&topic, b"close!", false, moment(1_000));
    let played = played.until(10);
    assert_eq!(played.said(VALVE, "position").len(), 1, "it stays open");
    assert_eq!(
        played.acks(VALVE),
        [serde_json::json!({ "id": "e", "ok": false })]
    );
    let counts = *played.simulator.counts();
    let expected = Counts {
        heard: 5,
        retained: 1,
        expired: 2,
        refused: 1,
        unreadable: 1,
        reports: counts.reports,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
}

#[test]
fn a_command_that_expires_on_its_way_is_not_obeyed() {
    let played = Played::new(1, Plan::default()).until(1);
    let played = played.tell(VALVE, ("a", "close"), 10, false).until(5);
    assert_eq!(played.simulator.counts().expired, 1);
    assert_eq!(played.said(VALVE, "position").len(), 1);
}

#[test]
fn the_same_command_again_is_acknowledged_again_and_moves_nothing() {
    let played = Played::new(1, Plan::default()).until(1);
    let played = played.tell(VALVE, ("a", "close"), 300_000, false).until(70);
    assert_eq!(played.said(VALVE, "position").len(), 4, "open again by hand");
    let played = played.tell(VALVE, ("a", "close"), 300_000, false).until(80);
    assert_eq!(played.said(VALVE, "position").len(), 4);
    assert_eq!(played.acks(VALVE).len(), 2);
    assert_eq!(
        (
            played.simulator.counts().obeyed,
            played.simulator.counts().repeated
        ),
        (1, 1)
    );
}

#[test]
fn a_mute_valve_says_nothing_and_a_stuck_one_acknowledges_and_stays_open() {
    for (ill, acks, unheard) in [(Happening::Mute, 0, 1), (Happening::Stuck, 1, 0)] {
        let played = Played::new(1, script(&[(500, 60_000, VALVE, ill)])).until(1);
        let played = played.tell(VALVE, ("a", "close"), 10_000, false).until(30);
        assert_eq!(played.acks(VALVE).len(), acks, "{ill:?}");
        assert_eq!(played.simulator.counts().unheard, unheard, "{ill:?}");
        let said = played.said(VALVE, "position");
        assert!(
            said.iter().all(|(_, position)| position == "open"),
            "{ill:?}: {said:?}"
        );
        let later = played
            .said(VALVE, "ts")
            .iter()
            .filter(|(at, _)| *at >= 500)
            .count();
        assert_eq!(later == 0, ill == Happening::Mute, "{later}");
    }
}

#[test]
fn a_cut_port_is_without_power_and_a_welded_one_is_not() {
    for welded in [false, true] {
        let mut incidents = vec![(500, 120_000, PORT, Happening::Overcharge)];
        if welded {
            incidents.push((500, 120_000, PORT, Happening::Welded));
        }
        let played = Played::new(1, script(&incidents)).until(3);
        let session = played.said(PORT, "session_s").pop().unwrap();
        assert!(session.1.as_f64() > Some(36_000.0));
        let played = played.tell(PORT, ("a", "off"), 10_000, false).until(20);
        assert_eq!(played.said(PORT, "state").pop().unwrap().1, "idle");
        let power = played.said(PORT, "power").pop().unwrap().1;
        assert_eq!(power == 0.0, !welded, "{power}");
        assert_eq!(played.acks(PORT).len(), 1);
    }
}

#[test]
fn a_script_ends_with_what_each_incident_led_to() {
    let incidents = [
        (500, 60_000, VALVE, Happening::Mute),
        (1_000, 60_000, "v002/gas_detector/g1", LEAK),
        (90_000, 1_000, PORT, Happening::Welded),
    ];
    let played = Played::new(2, script(&incidents)).until(3);
    let played = played
        .tell(VALVE, ("a", "close"), 10_000, false)
        .tell("v002/shutoff_valve/valve", ("b", "close"), 10_000, false)
        .until(20);
    let lines = played.simulator.outcomes().lines();
    let expected = [
        ("00:00  mute", "close → valve: not heard after 2.5 s"),
        ("00:01  gas_leak", "close → valve: obeyed after 2.0 s"),
        ("01:30  welded", "not begun"),
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:?}");
    for (line, (head, end)) in lines.iter().zip(expected) {
        assert!(line.contains(head) && line.ends_with(end), "{line}");
    }
}
