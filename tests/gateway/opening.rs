//! A command that opens leaves once the record of it is durable, every other at once; and what the broker gives out once
//! more proves neither.

use std::path::Path;

use ninewatch::clock::Clock;
use ninewatch::config;
use ninewatch::domain::alarm::Operator;
use ninewatch::domain::device::DeviceKey;
use ninewatch::domain::engine::Engine;
use ninewatch::domain::interlock::CommandStep;
use ninewatch::domain::journal::CommandInput;
use ninewatch::domain::time::{Moment, Ticks, Timestamp};
use ninewatch::gateway::Gateway;
use ninewatch::handoff::{CommandMessage, Envelope, OperatorAct, OperatorRequest};
use ninewatch::metrics::Metrics;
use ninewatch::reload::configured;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

/// How long a valve has for an attempt, in milliseconds.
const WITHIN: i64 = 10_000;

/// Closes on the second signal.
const RULE: &str = "[[rule]]\nid = 'gas'\non = 'gas_detector'\nwhen = 'lel >= 25.0'\nclass = 'alarm'\n\
    priority = 'critical'\nlatch = true\ntitle = { zh = 'a', en = 'a' }\n\
    [[rule.then]]\ncommand = 'close'\nto = 'shutoff_valve'\n";

/// A gateway whose valve `s1` may be opened from afar, and the way to its devices.
struct Bench {
    gateway: Gateway,
    wire: mpsc::Receiver<CommandMessage>,
    now: Moment,
}

impl Bench {
    fn new(folder: &Path) -> Bench {
        let venues = "[[venue]]\nid = 'v1'\nname = 'v'\nkind = 'shop'\nconfirm_linkage = true\n\
            [[venue.device]]\nid = 'g1'\nkind = 'gas_detector'\n\
            [[venue.device]]\nid = 's1'\nkind = 'shutoff_valve'\nremote_open = true\n";
        std::fs::write(folder.join("venues.toml"), venues).expect("a file");
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/kinds.toml");
        let kinds = std::fs::read_to_string(shipped).expect("the shipped kinds");
        let open = "within = \"10s\"\nattempts = 1\nopens = true";
        assert!(kinds.contains(open), "a valve is told to open once");
        let thrice = kinds.replace(open, "within = \"10s\"\nattempts = 3\nopens = true");
        std::fs::write(folder.join("kinds.toml"), thrice).expect("a file");
        std::fs::write(folder.join("rules.toml"), RULE).expect("a file");
        let text = "[gateway]\nid = 'test'\n[mqtt]\nurl = 'mqtt://127.0.0.1'\n[http]\nauth = 'none'\n\
            [files]\nkinds = ['kinds.toml']\nvenues = ['venues.toml']\nrules = ['rules.toml']\n";
        let settings = config::load_str("t", text, folder).expect("a sound configuration");
        let (decoder, surroundings) = configured(&settings).expect("they fit");
        let mut gateway = Gateway::new(Engine::new("test"), decoder, surroundings, Metrics::new());
        let (commands, wire) = mpsc::channel(8);
        gateway.connect(commands);
        let now = Clock::new().now();
        gateway.start(now).expect("it starts");
        gateway.listen(true, now).expect("no error");
        let mut bench = Bench { gateway, wire, now };
        bench.commit();
        bench
    }

    /// A person asks the valve to do `command`.
    fn ask(&mut self, command: &str) {
        let input = CommandInput {
            device: DeviceKey {
                venue: "v1".to_owned(),
                kind: "shutoff_valve".to_owned(),
                device: "s1".to_owned(),
            },
            command: command.to_owned(),
            remote_open: false,
            operator: Operator {
                by: "Wang".to_owned(),
                note: None,
            },
        };
        let act = OperatorAct::Command(input);
        let request = OperatorRequest {
            act,
            answer: oneshot::channel().0,
        };
        self.gateway.operate(request, self.now).expect("it is taken");
    }

    /// A detector of the venue measures gas, for the first time: the first signal of two.
    fn smell(&mut self) {
        self.say("gas_detector/g1", r#"{"lel":60.0}"#, false);
    }

    /// A device says something; `again`: the broker gives it out once more.
    fn say(&mut self, device: &str, payload: &'static str, again: bool) {
        let envelope = Envelope {
            topic: format!("ninewatch/v1/{device}/telemetry"),
            payload: payload.into(),
            received: self.now,
            duplicate: again,
            retained: false,
            oversize: None,
            receipt: None,
        };
        self.gateway.receive(vec![envelope]).expect("it is taken");
    }

    /// The time of the attempt under way passes.
    fn pass_deadline(&mut self) {
        self.now = Moment {
            wall: Timestamp(self.now.wall.0 + WITHIN),
            ticks: Ticks(self.now.ticks.0 + WITHIN.unsigned_abs()),
        };
        self.gateway.expire(self.now).expect("no error");
    }

    /// How far the store is once it has what is open now.
    fn close(&mut self) -> u64 {
        let batch = self.gateway.close(self.now);
        batch.first_input + u64::from(batch.inputs)
    }

    /// Whether an order is on record as proven since this was last asked.
    fn is_proven(&mut self) -> bool {
        let batch = self.gateway.close(self.now);
        let proven = |step: &CommandStep| matches!(step, CommandStep::Verified);
        batch.commands.iter().any(|commit| proven(&commit.event.step))
    }

    fn commit(&mut self) {
        let reached = self.close();
        self.gateway.note_committed(reached);
    }

    /// The commands that have left.
    fn left(&mut self) -> Vec<String> {
        let mut left = Vec::new();
        while let Ok(message) = self.wire.try_recv() {
            let body: Value = serde_json::from_slice(&message.payload).expect("a command is JSON");
            left.push(body["command"].as_str().expect("it is named").to_owned());
        }
        left
    }
}

#[test]
fn an_opening_waits_for_its_commit_and_a_closing_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bench = Bench::new(folder.path());
    bench.ask("open");
    assert_eq!(bench.left(), [""; 0], "it is in no batch yet");
    let reached = bench.close();
    assert_eq!(bench.left(), [""; 0], "it is on its way to the disk");
    bench.gateway.note_committed(reached - 1);
    assert_eq!(bench.left(), [""; 0], "what came before it is committed");
    bench.gateway.note_committed(reached);
    assert_eq!(bench.left(), ["open"]);
    bench.gateway.note_committed(reached + 1);
    assert_eq!(bench.left(), [""; 0], "once");

    let mut bench = Bench::new(folder.path());
    bench.ask("close");
    assert_eq!(bench.left(), ["close"]);
    bench.commit();
    assert_eq!(bench.left(), [""; 0], "once");
}

#[test]
fn each_attempt_to_open_waits_for_its_own_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bench = Bench::new(folder.path());
    bench.ask("open");
    bench.commit();
    assert_eq!(bench.left(), ["open"]);
    bench.pass_deadline();
    assert_eq!(bench.left(), [""; 0], "the second attempt is not on record");
    // The disk hangs for longer than an attempt has: the later takes the place of the earlier.
    let second = bench.close();
    bench.pass_deadline();
    bench.gateway.note_committed(second);
    assert_eq!(bench.left(), [""; 0], "nor is the third");
    let third = bench.close();
    bench.gateway.note_committed(third);
    assert_eq!(bench.left(), ["open"]);

    let mut bench = Bench::new(folder.path());
    bench.ask("open");
    for _ in 0..2 {
        bench.pass_deadline();
    }
    let third = bench.close();
    bench.pass_deadline();
    bench.gateway.note_committed(third);
    bench.gateway.note_committed(second);
    assert_eq!(bench.left(), [""; 0], "the order has failed meanwhile");
}

#[test]
fn an_opening_that_made_way_never_leaves() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bench = Bench::new(folder.path());
    bench.ask("open");
    bench.ask("close");
    assert_eq!(bench.left(), ["close"]);
    bench.commit();
    assert_eq!(bench.left(), [""; 0]);

    let mut bench = Bench::new(folder.path());
    bench.ask("open");
    bench.gateway.listen(false, bench.now).expect("no error");
    bench.gateway.listen(true, bench.now).expect("no error");
    bench.commit();
    assert_eq!(bench.left(), [""; 0], "nobody wants it any more");
}

#[test]
fn an_opening_that_was_given_up_does_not_leave_from_where_it_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bench = Bench::new(folder.path());
    bench.ask("open");
    bench.commit();
    // Handed over, and the connection has not come to it when the broker goes.
    bench.gateway.listen(false, bench.now).expect("no error");
    let message = bench.wire.try_recv().expect("it was handed over");
    assert!(message.is_withdrawn());
    bench.ask("open");
    bench.commit();
    bench.ask("close");
    assert_eq!(
        bench.left(),
        ["close"],
        "nothing is opened while nobody can hear the valve"
    );

    // It finds no room on its way.
    let mut bench = Bench::new(folder.path());
    let (commands, wire) = mpsc::channel(1);
    let place = commands.clone().try_reserve_owned().expect("a place");
    bench.gateway.connect(commands);
    bench.wire = wire;
    bench.ask("open");
    bench.commit();
    bench.gateway.listen(false, bench.now).expect("no error");
    drop(place);
    bench.gateway.listen(true, bench.now).expect("no error");
    bench.commit();
    assert_eq!(bench.left(), [""; 0]);
}

#[test]
fn nothing_opens_into_a_danger_that_began_meanwhile() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bench = Bench::new(folder.path());
    bench.ask("open");
    // Nothing is ordered yet: linkage waits for a second signal.
    bench.smell();
    bench.commit();
    assert_eq!(bench.left(), [""; 0], "it waited for its record");
    bench.pass_deadline();
    bench.commit();
    assert_eq!(bench.left(), [""; 0], "nor is it repeated");

    let mut bench = Bench::new(folder.path());
    bench.ask("open");
    bench.commit();
    bench.smell();
    let message = bench.wire.try_recv().expect("it was handed over");
    assert!(message.is_withdrawn(), "the connection had not come to it");

    let mut bench = Bench::new(folder.path());
    bench.ask("open");
    bench.commit();
    assert_eq!(bench.left(), ["open"]);
    bench.smell();
    bench.pass_deadline();
    bench.commit();
    assert_eq!(bench.left(), [""; 0], "one attempt had left; there is no second");
    bench.ask("close");
    assert_eq!(bench.left(), ["close"], "the order is over");
}

#[test]
fn a_position_that_is_delivered_again_may_be_older_than_the_order_and_does_not_prove_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bench = Bench::new(folder.path());
    bench.ask("close");
    bench.say("shutoff_valve/s1", r#"{"position":"closed"}"#, true);
    assert!(!bench.is_proven(), "it may have been closed, and opened since");
    bench.say("shutoff_valve/s1", r#"{"battery":50}"#, false);
    assert!(!bench.is_proven(), "nor does what it says of something else");
    bench.say("shutoff_valve/s1", r#"{"position":"closed"}"#, false);
    assert!(bench.is_proven());
}
