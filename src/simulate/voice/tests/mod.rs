//! Every voice against the real decoder and the shipped profiles: what a body measures is what the gateway reads, and
//! what the gateway writes is what a body does. No network.

mod ear;

use std::collections::BTreeSet;
use std::path::Path;

use self::ear::Ear;
use super::words::{GAS_AT, plain};
use super::{Voice, Voices};
use crate::config::{self, Happening, Incident, Settings};
use crate::domain::device::DeviceKey;
use crate::domain::profile::command::{Address, CommandBook, NoWire, OrderFacts, Outgoing};
use crate::domain::profile::decoder::Resolved;
use crate::domain::time::{Millis, Moment, Ticks, Timestamp};
use crate::simulate::body::{Ails, Body, Command, Points, Said};
use crate::simulate::casting::cast;
use crate::simulate::dice::Dice;
use crate::simulate::plan::{Act, Plan};
use crate::simulate::simulator::Simulator;
use crate::simulate::town::Town;

/// Noon in China on 2026-01-01.
const START: i64 = 1_767_240_000_000;

/// Twelve venues have every kind of device.
const VENUES: usize = 12;

/// What every voice says at least, by kind.
const CARRIED: [(&str, &str, &[&str]); 31] = [
    (
        "native",
        "gas_detector",
        &["lel", "state", "battery", "temperature"],
    ),
    ("native", "shutoff_valve", &["position", "fault"]),
    (
        "native",
        "charging_port",
        &["state", "power", "smoke", "session_s"],
    ),
    ("native", "smoke_detector", &["smoke", "fault"]),
    ("native", "lift_blocker", &["ebike"]),
    ("native", "swap_cabinet", &["temperature", "smoke", "water"]),
    ("zigbee2mqtt", "gas_detector", &["gas", "lel", "state", "battery"]),
    ("zigbee2mqtt", "shutoff_valve", &["position", "battery"]),
    ("zigbee2mqtt", "charging_port", &["state", "power", "temperature"]),
    ("zigbee2mqtt", "smoke_detector", &["smoke", "fault", "battery"]),
    ("tasmota", "gas_detector", &["lel"]),
    ("tasmota", "charging_port", &["state", "power", "current"]),
    ("tasmota-topic-first", "gas_detector", &["lel"]),
    (
        "tasmota-topic-first",
        "charging_port",
        &["state", "power", "current"],
    ),
    ("shelly-gen1", "gas_detector", &["gas", "lel", "state"]),
    ("shelly-gen1", "shutoff_valve", &["position", "fault"]),
    ("shelly-gen1", "charging_port", &["state", "power", "temperature"]),
    ("shelly-gen1", "smoke_detector", &["smoke", "battery"]),
    ("esphome", "lift_blocker", &["ebike", "door_held"]),
    ("esphome", "swap_cabinet", &["water", "smoke", "door"]),
    ("chirpstack-v4", "gas_detector", &["lel", "state", "battery"]),
    ("chirpstack-v4", "shutoff_valve", &["position", "fault"]),
    ("chirpstack-v4", "smoke_detector", &["smoke", "fault"]),
    ("thingsboard", "gas_detector", &["lel", "state"]),
    ("thingsboard", "shutoff_valve", &["position", "fault"]),
    ("thingsboard", "charging_port", &["power", "session_s"]),
    ("jetlinks", "charging_port", &["state", "power", "smoke"]),
    (
        "charging-station",
        "charging_port",
        &["state", "power", "session_s"],
    ),
    ("sparkplug-b", "gas_detector", &["lel", "gas", "state"]),
    ("sparkplug-b", "shutoff_valve", &["position", "fault"]),
    ("sparkplug-b", "charging_port", &["power", "current"]),
];

/// Who obeys what.
const COMMANDS: [(&str, &[&str]); 11] = [
    ("native", &["close", "off"]),
    ("zigbee2mqtt", &["close", "off"]),
    ("tasmota", &["off"]),
    ("tasmota-topic-first", &["off"]),
    ("shelly-gen1", &["close", "off"]),
    ("esphome", &["close", "off"]),
    ("chirpstack-v4", &["close"]),
    ("thingsboard", &["close", "off"]),
    ("jetlinks", &["close", "off"]),
    ("charging-station", &["off"]),
    ("sparkplug-b", &[]),
];

fn shipped() -> Settings {
    config::load(Path::new("config/ninewatch.toml")).unwrap_or_else(|findings| panic!("{findings}"))
}

fn moment(at: u64) -> Moment {
    Moment {
        wall: Timestamp(START + i64::try_from(at).unwrap()),
        ticks: Ticks(at),
    }
}

/// What the profile can make of `said` at best, where that is less than the body knows.
fn as_heard(profile: &str, kind: &str, (point, said): (&str, Said)) -> Said {
    let relay_only = ["zigbee2mqtt", "tasmota", "tasmota-topic-first", "esphome"].contains(&profile);
    match (profile, kind, point, plain(said)) {
        (_, "charging_port", "state", Said::Word("full" | "fault")) if relay_only => Said::Word("charging"),
        ("shelly-gen1", "charging_port", "state", Said::Word("full")) => Said::Word("charging"),
        ("zigbee2mqtt", "shutoff_valve", "position", Said::Word("moving")) => Said::Word("unknown"),
        (.., said) => said,
    }
}

fn assert_same(heard: Said, said: Said, shown: &str) {
    match (heard, said) {
        // Whole degrees at a charging station, whole ppm at others.
        (Said::Number(heard), Said::Number(said)) => assert!((heard - said).abs() <= 0.51, "{shown}"),
        (heard, said) => assert_eq!(heard, said, "{shown}"),
    }
}

/// What ails a device, what befell it, and what it was told; `true`: it has done it.
type State = (Ails, Vec<Happening>, Vec<(Command, bool)>);

/// What may be the matter with a device of `kind`, and what it may have been told.
fn states(kind: &str) -> Vec<State> {
    let (rise, peak) = (Millis(0), 60.0);
    let faulty = Ails {
        faulty: kind != "swap_cabinet",
        ..Ails::default()
    };
    let healthy = Ails::default;
    let mut all = vec![
        (healthy(), Vec::new(), Vec::new()),
        (faulty, Vec::new(), Vec::new()),
    ];
    all.extend(match kind {
        "gas_detector" => vec![(healthy(), vec![Happening::GasLeak { rise, peak }], Vec::new())],
        "shutoff_valve" => vec![
            (healthy(), Vec::new(), vec![(Command::Close, false)]),
            (healthy(), Vec::new(), vec![(Command::Close, true)]),
            (
                healthy(),
                Vec::new(),
                vec![(Command::Close, true), (Command::Open, false)],
            ),
        ],
        "charging_port" => vec![
            (healthy(), vec![Happening::Overcharge], Vec::new()),
            (healthy(), vec![Happening::Fire { rise, peak }], Vec::new()),
            (healthy(), vec![Happening::Overcharge], vec![(Command::Off, true)]),
        ],
        "lift_blocker" => vec![(healthy(), vec![Happening::Ebike], Vec::new())],
        "swap_cabinet" => vec![(healthy(), vec![Happening::Water], Vec::new())],
        _ => vec![(healthy(), vec![Happening::Fire { rise, peak }], Vec::new())],
    });
    all
}

fn body_in(kind: &str, state: &State) -> Points {
    let (ails, happenings, commands) = state;
    let mut dice = Dice::new(11);
    let mut body = Body::of(kind, &mut dice).unwrap();
    for happening in happenings {
        body.begin(*happening, Ticks(0));
    }
    for (command, arrives) in commands {
        body.start(*command, *ails).unwrap();
        if *arrives {
            body.finish(*command, *ails, Ticks(1_000));
        }
    }
    body.points(moment(5_000), *ails, &mut dice)
}

#[test]
fn there_is_a_voice_for_every_shipped_profile_and_no_other() {
    let profiles = shipped().profiles;
    let read: BTreeSet<&str> = profiles.iter().map(|profile| profile.name.as_str()).collect();
    let voices = Voices::default();
    let spoken: BTreeSet<&str> = voices.all().map(|(_, name, _)| name).collect();
    assert_eq!(spoken, read);
    assert_eq!(voices.named("native"), Some(Voice::NATIVE));
}

#[test]
fn what_a_body_measures_is_what_the_gateway_reads_through_every_voice() {
    let settings = shipped();
    let town = Town::new(VENUES);
    for (voice, profile, kinds) in Voices::default().all() {
        for kind in kinds {
            let mut voices = Voices::default();
            let played = cast(&town, &voices, &[voice], &[]);
            let mut ear = Ear::new(&settings, &town, &voices, &played);
            let of_kind = |device: &&crate::domain::registry::RegisteredDevice| device.key.kind == *kind;
            let key = town.devices.iter().find(of_kind).unwrap().key.clone();
            let seen_as = DeviceKey {
                device: voices.id(voice, &key),
                ..key.clone()
            };
            for (number, state) in states(kind).iter().enumerate() {
                let points = body_in(kind, state);
                let now = moment(10_000 + 1_000 * number as u64);
                for message in voices.say(voice, &[(&key, &points)], now.wall) {
                    ear.hear(&message, now);
                }
                let heard = ear.points_of(&seen_as);
                let failed = profile == "shelly-gen1" && *kind == "shutoff_valve" && state.0.faulty;
                for (point, value) in &heard {
                    let shown = format!("{profile} {kind} {state:?}: {point} {value:?} of {points:?}");
                    let said = points.iter().find(|(name, _)| name == point);
                    match (*point, said) {
                        ("online", _) => assert_eq!(*value, Said::Flag(true), "{shown}"),
                        ("gas", _) => {
                            let lel = points.iter().find(|(name, _)| *name == "lel").unwrap().1;
                            let gas = matches!(lel, Said::Number(lel) if lel >= GAS_AT);
                            assert_eq!(*value, Said::Flag(gas), "{shown}");
                        }
                        // A Shelly valve that fails does not say where it stands.
                        ("position", _) if failed => assert_eq!(*value, Said::Word("unknown"), "{shown}"),
                        (_, Some(said)) => {
                            assert_same(*value, as_heard(profile, kind, *said), &shown);
                        }
                        (_, None) => panic!("nobody measures it: {shown}"),
                    }
                }
                let least = CARRIED
                    .iter()
                    .filter(|(own, of, _)| (own, of) == (&profile, kind));
                for point in least.flat_map(|(.., points)| *points) {
                    assert!(
                        heard.contains_key(point),
                        "{profile} {kind}: {point} in {heard:?}"
                    );
                }
                assert!(!heard.is_empty(), "{profile} {kind}");
            }
        }
    }
}

/// A town that speaks one profile, beside the gateway's ear.
struct Theatre {
    simulator: Simulator,
    ear: Ear,
    at: u64,
}

impl Theatre {
    fn open(settings: &Settings, voice: Voice, incidents: Vec<Incident>) -> Theatre {
        let town = Town::new(VENUES);
        let voices = Voices::default();
        let played = cast(&town, &voices, &[voice], &[]);
        let ear = Ear::new(settings, &town, &voices, &played);
        let plan = Plan {
            incidents,
            voices: played,
            ..Plan::default()
        };
        Theatre {
            simulator: Simulator::new(&town, plan),
            ear,
            at: 0,
        }
    }

    fn play(&mut self, seconds: u64) {
        for _ in 0..seconds * 10 {
            self.at += 100;
            let now = moment(self.at);
            for act in self.simulator.step(now) {
                if let Act::Publish(_, message) = act {
                    self.ear.hear(&message, now);
                }
            }
        }
    }

    /// What the gateway publishes to the device, which was heard.
    fn order(&self, book: &CommandBook, key: &DeviceKey, command: &str) -> Result<Outgoing, NoWire> {
        let voices = Voices::default();
        let voice = self.simulator.voice_of(key).unwrap();
        let seen_as = DeviceKey {
            device: voices.id(voice, key),
            ..key.clone()
        };
        let order = OrderFacts {
            id: "01JAAAAAAAAAAAAAAAAAAAAAAA",
            key: &seen_as,
            command,
            expires_at: moment(self.at + 30_000).wall,
            attempt: 1,
        };
        let known = self.ear.addresses.get(&seen_as).cloned();
        let address = known.unwrap_or_else(|| Address::of(voices.profile(voice)));
        book.write(&address, &order)
    }
}

fn device(name: &str) -> DeviceKey {
    let town = Town::new(1);
    let mut devices = town.devices.into_iter().map(|device| device.key);
    devices.find(|key| key.device == name).unwrap()
}

#[test]
fn what_the_gateway_writes_is_what_a_body_does_through_every_voice() {
    let settings = shipped();
    let book = CommandBook::new(&settings.profiles);
    for (voice, profile, kinds) in Voices::default().all() {
        let (_, obeyed) = COMMANDS.iter().find(|(own, _)| *own == profile).unwrap();
        for (name, command, point, wanted) in [
            ("valve", "close", "position", Said::Word("closed")),
            ("port1", "off", "power", Said::Number(0.0)),
        ] {
            let key = device(name);
            if !kinds.contains(&&*key.kind) {
                assert!(!obeyed.contains(&command), "{profile} {command}");
                continue;
            }
            let overcharge = Incident {
                at: Millis(0),
                lasts: Millis(600_000),
                device: device("port1"),
                what: Happening::Overcharge,
            };
            let mut theatre = Theatre::open(&settings, voice, vec![overcharge]);
            theatre.play(6);
            let seen_as = DeviceKey {
                device: Voices::default().id(voice, &key),
                ..key.clone()
            };
            let before = theatre.ear.points_of(&seen_as)[point];
            assert_ne!(before, wanted, "{profile}");
            let Ok(outgoing) = theatre.order(&book, &key, command) else {
                assert!(!obeyed.contains(&command), "{profile} has no {command}");
                continue;
            };
            assert!(obeyed.contains(&command), "{profile} {command}");
            let filters = theatre.simulator.subscriptions();
            let heard = filters
                .iter()
                .any(|filter| rumqttc::matches(&outgoing.topic, filter));
            assert!(heard, "{profile}: {} is in none of {filters:?}", outgoing.topic);
            let now = moment(theatre.at);
            theatre
                .simulator
                .hear(&outgoing.topic, &outgoing.payload, false, now);
            theatre.play(3);
            let counts = *theatre.simulator.counts();
            assert_eq!(
                (counts.heard, counts.obeyed),
                (1, 1),
                "{profile} {command}: {counts:?}"
            );
            let after = theatre.ear.points_of(&seen_as);
            assert_eq!(after[point], wanted, "{profile} {command}");
            if let Some(state) = after.get("state").filter(|_| name == "port1") {
                assert_eq!(*state, Said::Word("idle"), "{profile}");
            }
            if ["native", "jetlinks"].contains(&profile) {
                let id = Some("01JAAAAAAAAAAAAAAAAAAAAAAA".to_owned());
                assert_eq!(theatre.ear.answers, [(seen_as, id, true)], "{profile}");
            }
        }
    }
}

#[test]
fn whoever_goes_and_comes_says_so_in_every_form_that_has_a_word_for_it() {
    let settings = shipped();
    let key = device("g1");
    let offline = || Incident {
        at: Millis(5_000),
        lasts: Millis(5_000),
        device: key.clone(),
        what: Happening::Offline,
    };
    for (voice, profile, kinds) in Voices::default().all() {
        if !kinds.contains(&"gas_detector") {
            continue;
        }
        let mut theatre = Theatre::open(&settings, voice, vec![offline()]);
        let seen_as = DeviceKey {
            device: Voices::default().id(voice, &key),
            ..key.clone()
        };
        theatre.play(8);
        let alone: Vec<usize> = theatre.simulator.alone().collect();
        for number in &alone {
            let now = moment(theatre.at);
            let will = theatre.simulator.status(*number, false).unwrap();
            assert!(will.retain, "{profile}");
            theatre.ear.hear(&will, now);
        }
        let online = |theatre: &Theatre| theatre.ear.points_of(&seen_as).get("online").copied();
        let has_word = !["chirpstack-v4", "thingsboard"].contains(&profile);
        assert_eq!(
            online(&theatre),
            has_word.then_some(Said::Flag(false)),
            "{profile}"
        );
        theatre.play(4);
        for number in alone {
            let now = moment(theatre.at);
            theatre
                .ear
                .hear(&theatre.simulator.status(number, true).unwrap(), now);
        }
        assert_eq!(
            online(&theatre),
            has_word.then_some(Said::Flag(true)),
            "{profile}"
        );
    }
}

#[test]
fn an_edge_node_says_everything_anew_when_it_is_asked_and_dies_at_the_end() {
    let settings = shipped();
    let voices = Voices::default();
    let voice = voices.named("sparkplug-b").unwrap();
    let mut theatre = Theatre::open(&settings, voice, Vec::new());
    theatre.play(6);
    // The gateway starts anew: it has no births, and what comes is a dead letter until it has them.
    let town = Town::new(VENUES);
    let played = cast(&town, &voices, &[voice], &[]);
    theatre.ear = Ear::new(&settings, &town, &voices, &played);
    let mut asked = Vec::new();
    let now = moment(theatre.at + 1_000);
    for act in theatre.simulator.step(now) {
        let Act::Publish(_, message) = act else { continue };
        if let Ok(Resolved::Message(topic)) = theatre.ear.decoder.resolve(&message.topic) {
            theatre.ear.decoder.decode(topic, &message.payload, now);
        }
        asked.extend(theatre.ear.decoder.requests());
    }
    theatre.at += 1_000;
    assert_eq!(asked.len(), VENUES, "one request an edge node");
    for request in &asked {
        theatre
            .simulator
            .hear(&request.topic, &request.payload, false, moment(theatre.at));
    }
    // What lies before the births in the same step is not counted against them.
    let now = moment(theatre.at + 100);
    let acts = theatre.simulator.step(now);
    for act in acts {
        let Act::Publish(_, message) = act else { continue };
        if let Ok(Resolved::Message(topic)) = theatre.ear.decoder.resolve(&message.topic) {
            theatre.ear.decoder.decode(topic, &message.payload, now);
        }
    }
    theatre.at += 100;
    theatre.play(6);
    let detector = DeviceKey {
        device: "ninewatch/v001/g1".to_owned(),
        ..device("g1")
    };
    assert!(theatre.ear.points_of(&detector).contains_key("lel"));
    assert_eq!(theatre.simulator.counts().heard, 0, "a rebirth is no command");
    let deaths = theatre.simulator.farewell(moment(theatre.at));
    assert_eq!(deaths.len(), VENUES);
    for death in deaths {
        theatre.ear.hear(&death, moment(theatre.at));
    }
    assert_eq!(theatre.ear.points_of(&detector)["online"], Said::Flag(false));
}
