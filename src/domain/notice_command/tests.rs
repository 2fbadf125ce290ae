//! Bodies of command events, and who is told of them.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::alarm::{
    Ack, AlarmEvent, AlarmState, AlarmStep, AlarmView, Handling, Mask, Operator, Quality,
};
use super::super::device::DeviceKey;
use super::super::directions::Directions;
use super::super::id::Id;
use super::super::interlock::{Cause, CommandEvent, CommandStep, Failure, OrderView, Stage};
use super::super::notice::{AlarmBody, EventBody};
use super::super::registry::{RegisteredDevice, Registry, Venue};
use super::super::route::{Route, Subject};
use super::super::rule::{Class, Priority, RuleDef};
use super::super::text::Text;
use super::super::time::{Millis, Timestamp};
use super::{CommandEventBody, OrderBody};

fn key(kind: &str, device: &str) -> Arc<DeviceKey> {
    Arc::new(DeviceKey {
        venue: "v1".to_owned(),
        kind: kind.to_owned(),
        device: device.to_owned(),
    })
}

fn registry() -> Registry {
    let venue = Venue {
        id: "v1".to_owned(),
        name: "示例餐馆".to_owned(),
        kind: "restaurant".to_owned(),
        address: "示例路 1 号".to_owned(),
        ..Venue::default()
    };
    let valve = RegisteredDevice {
        key: DeviceKey::clone(&key("shutoff_valve", "s1")),
        name: "总阀".to_owned(),
        ..RegisteredDevice::default()
    };
    Registry::new(vec![venue], vec![valve])
}

fn alarm(number: u128, class: Class, notify: Option<&str>) -> AlarmView {
    let rule = RuleDef {
        class,
        priority: Priority::Critical,
        title: Text {
            zh: "燃气浓度高报".to_owned(),
            en: "Gas concentration high".to_owned(),
        },
        notify: notify.map(str::to_owned),
        ..RuleDef::new("gas-high", "gas_detector", "lel >= 50.0")
    };
    AlarmView {
        id: Id::from_bits(number),
        rule: Arc::new(rule),
        device: key("gas_detector", "g1"),
        state: AlarmState::ActiveUnacknowledged,
        raised_at: Timestamp(1_767_225_600_000),
        ack: Ack::Unacknowledged,
        recovered_at: None,
        first_out: true,
        late_by_ms: None,
        chatter: None,
        mask: Mask::None,
        quality: Quality::Good,
        handling: Some(Handling::default()),
        ended: None,
        values: vec![("lel".to_owned(), json!(53.5))],
    }
}

fn wang() -> Cause {
    Cause::Operator(Operator {
        by: "王强".to_owned(),
        note: Some("smell of gas".to_owned()),
    })
}

fn event(step: CommandStep, stage: Stage, causes: Vec<Cause>) -> CommandEvent {
    CommandEvent {
        id: Id::from_bits(7),
        at: Timestamp(1_767_225_630_000),
        step,
        notify: true,
        order: OrderView {
            id: Id::from_bits(6),
            device: key("shutoff_valve", "s1"),
            command: "close".into(),
            stage,
            attempt: 3,
            attempts: 3,
            requested_at: Timestamp(1_767_225_600_000),
            expires_at: Timestamp(1_767_225_630_000),
            took: Millis(30_000),
            causes,
        },
    }
}

fn body(event: &CommandEvent) -> Value {
    let registry = registry();
    let order = OrderBody::new(event, &registry);
    let body = CommandEventBody::new(event, &order, &registry, ("karuo-01", "http://gw"));
    serde_json::to_value(body).unwrap()
}

#[test]
fn a_failed_close_says_which_valve_why_and_for_whom() {
    let raised = alarm(1, Class::Alarm, None);
    let causes = vec![
        Cause::Exercise,
        Cause::Alarm(Box::new(raised.clone())),
        wang(),
        Cause::Alarm(Box::new(alarm(2, Class::Alarm, None))),
    ];
    let failed = event(
        CommandStep::Failed(Failure::NotProven),
        Stage::Acknowledged,
        causes,
    );
    let mut body = body(&failed);
    let told = body["alarm"].take();
    assert_eq!(
        body,
        json!({
            "id": Id::from_bits(7),
            "type": "command.failed",
            "at": "2026-01-01T00:00:30.000Z",
            "gateway": "karuo-01",
            "level": 1,
            "command": {
                "id": Id::from_bits(6),
                "command": "close",
                "state": "failed",
                "venue": { "id": "v1", "name": "示例餐馆", "kind": "restaurant", "address": "示例路 1 号" },
                "device": { "id": "s1", "kind": "shutoff_valve", "name": "总阀" },
                "attempt": 3,
                "attempts": 3,
                "requested_at": "2026-01-01T00:00:00.000Z",
                "expires_at": "2026-01-01T00:00:30.000Z",
                "took_ms": 30_000,
                "reason": "not_proven",
                "causes": [
                    { "exercise": true },
                    { "alarm": Id::from_bits(1), "rule": "gas-high" },
                    { "by": "王强", "note": "smell of gas" },
                    { "alarm": Id::from_bits(2), "rule": "gas-high" },
                ],
            },
            "alarm": null,
            "by": "王强",
            "note": "smell of gas",
            "ack_url": format!("http://gw/api/v1/alarms/{}/acknowledge", Id::from_bits(1)),
        })
    );
    let registry = registry();
    let alone = AlarmEvent {
        id: Id::from_bits(5),
        at: Timestamp(0),
        step: AlarmStep::Raised,
        notify: true,
        alarm: raised,
    };
    let alarm_body = AlarmBody::new(&alone.alarm, &registry);
    let alone = EventBody::new(&alone, &alarm_body, "karuo-01", "http://gw");
    let alone = serde_json::to_value(alone).unwrap();
    assert_eq!(told, alone["alarm"], "as in the alarm's own messages");
    let members = |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    let missing: Vec<String> = members(&alone)
        .into_iter()
        .filter(|member| !members(&body).contains(member))
        .collect();
    assert_eq!(
        missing, [""; 0],
        "what an alarm's message has, an order's has too"
    );
}

#[test]
fn each_step_has_its_type_and_state() {
    for (step, name, state) in [
        (CommandStep::Requested, "command.requested", "sent"),
        (CommandStep::Joined, "command.joined", "sent"),
        (CommandStep::Sent, "command.sent", "sent"),
        (CommandStep::Repeated, "command.repeated", "sent"),
        (CommandStep::Acknowledged, "command.acknowledged", "sent"),
        (CommandStep::Verified, "command.verified", "verified"),
        (CommandStep::Failed(Failure::Declined), "command.failed", "failed"),
        (CommandStep::Superseded, "command.superseded", "superseded"),
    ] {
        let reason = step.failure().map(Failure::as_str);
        let body = body(&event(step, Stage::Sent, vec![Cause::Exercise]));
        assert_eq!(body["type"], name);
        assert_eq!(body["command"]["state"], state, "{name}");
        assert_eq!(body["command"]["reason"], json!(reason), "{name}");
    }
}

#[test]
fn without_an_alarm_there_is_none_and_whoever_joined_is_named() {
    let ordered = body(&event(CommandStep::Verified, Stage::Sent, vec![wang()]));
    assert_eq!(
        (&ordered["alarm"], &ordered["ack_url"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        (&ordered["by"], &ordered["note"]),
        (&json!("王强"), &json!("smell of gas"))
    );
    let li = Cause::Operator(Operator {
        by: "Li".to_owned(),
        note: None,
    });
    let joined = body(&event(CommandStep::Joined, Stage::Sent, vec![wang(), li]));
    assert_eq!((&joined["by"], &joined["note"]), (&json!("Li"), &Value::Null));
    let by_alarm = Cause::Alarm(Box::new(alarm(1, Class::Alarm, None)));
    let joined = body(&event(CommandStep::Joined, Stage::Sent, vec![wang(), by_alarm]));
    assert_eq!(joined["by"], Value::Null, "no person joined");
    let exercise = body(&event(CommandStep::Verified, Stage::Sent, vec![Cause::Exercise]));
    assert_eq!(
        (&exercise["by"], &exercise["alarm"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn whoever_is_told_of_the_alarm_is_told_of_its_command_and_else_whoever_is_told_of_alarms() {
    let route = |name: &str, classes: &[Class], targets: &[&str]| Route {
        name: name.to_owned(),
        classes: classes.to_vec(),
        targets: targets.iter().map(|target| (*target).to_owned()).collect(),
        ..Route::default()
    };
    let directions = Directions {
        routes: vec![
            route("gas", &[Class::Alarm, Class::Fault], &["duty", "control"]),
            route("fire", &[Class::Alarm], &["control", "brigade"]),
            route("minor", &[Class::Warning], &["office"]),
        ],
        ..Directions::default()
    };
    let registry = registry();
    let told = |causes: Vec<Cause>| {
        let failed = event(CommandStep::Failed(Failure::NotSent), Stage::Requested, causes);
        let owed = directions.told(&Subject::of_command(&failed, &registry), failed.at);
        owed.into_iter().map(|owed| owed.target).collect::<Vec<String>>()
    };
    let by = |class, notify| Cause::Alarm(Box::new(alarm(1, class, notify)));
    assert_eq!(told(vec![by(Class::Alarm, None)]), ["duty", "control", "brigade"]);
    assert_eq!(told(vec![by(Class::Alarm, Some("fire"))]), ["control", "brigade"]);
    assert_eq!(told(vec![by(Class::Warning, None)]), ["office"]);
    assert_eq!(told(vec![by(Class::Warning, Some("gas"))]), [""; 0]);
    assert_eq!(
        told(vec![wang(), by(Class::Fault, None), by(Class::Warning, None)]),
        ["duty", "control"],
        "as the first alarm"
    );
    for person in [wang(), Cause::Exercise] {
        assert_eq!(told(vec![person]), ["duty", "control", "brigade"]);
    }
}
