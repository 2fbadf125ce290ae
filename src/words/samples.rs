//! A body of every type of event, to try templates on: of a device and of a whole venue, with everything that can be there and
//! with as little as there can be.

use serde_json::{Value, json};

/// The types that a target may be told of, with the state of the alarm after each.
const ALARM_STEPS: [(&str, &str); 15] = [
    ("alarm.raised", "active_unacknowledged"),
    ("alarm.escalated", "active_unacknowledged"),
    ("alarm.chattering", "active_unacknowledged"),
    ("alarm.acknowledged", "active_acknowledged"),
    ("alarm.recovered", "recovered_unacknowledged"),
    ("alarm.cleared", "cleared"),
    ("alarm.shelved", "active_unacknowledged"),
    ("alarm.unshelved", "active_unacknowledged"),
    ("alarm.out_of_service", "active_unacknowledged"),
    ("alarm.in_service", "active_acknowledged"),
    ("alarm.suppressed", "active_unacknowledged"),
    ("alarm.limited", "active_unacknowledged"),
    ("alarm.verified", "recovered_acknowledged"),
    ("alarm.closed", "cleared"),
    ("alarm.unclosed", "cleared"),
];

/// A sample of every type, most telling first.
pub(super) fn samples() -> Vec<String> {
    let mut samples = Vec::new();
    let steps = ALARM_STEPS.iter().enumerate();
    for (number, (event, state)) in steps {
        let device = json!({"id": "g1", "kind": "gas_detector", "name": "厨房探测器"});
        samples.push(body(event, &alarm(number, state, &device)));
        samples.push(body(event, &alarm(100 + number, state, &Value::Null)));
    }
    for event in ["command.failed", "command.verified"] {
        samples.push(order(event, &alarm(0, "active_unacknowledged", &Value::Null)));
        samples.push(order(event, &Value::Null));
    }
    samples.push(
        json!({"id": "01J", "type": "watchdog", "at": "2026-01-01T00:00:00.000Z", "gateway": "karuo-01"})
            .to_string(),
    );
    samples
}

fn body(event: &str, alarm: &Value) -> String {
    let told = json!({
        "id": "01J", "type": event, "at": "2026-01-01T00:03:20.000Z", "gateway": "karuo-01",
        "level": if event == "alarm.escalated" { 2 } else { 1 },
        "alarm": alarm, "by": "夜班", "note": "在路上", "ack_url": "http://127.0.0.1:9464/api/v1/alarms/01J/acknowledge",
    });
    told.to_string()
}

fn alarm(number: usize, state: &str, device: &Value) -> Value {
    let of_device = !device.is_null();
    json!({
        "id": format!("01J{number}"), "rule": "gas-high", "class": "alarm",
        "priority": if of_device { "critical" } else { "low" }, "state": state,
        "title": {"zh": "燃气浓度高报", "en": "Gas concentration high"},
        "venue": {"id": "r1", "name": "老灶火锅", "kind": "restaurant", "address": if of_device { "示例路 9 号" } else { "" }},
        "device": device,
        "values": if of_device { json!({"lel": 53.2, "temperature": 24, "gas": true}) } else { json!({}) },
        "raised_at": "2026-01-01T00:00:00.000Z",
        "recovered_at": if state.starts_with("active") { Value::Null } else { json!("2026-01-01T00:03:20.000Z") },
        "first_out": of_device, "late": of_device, "late_by_ms": of_device.then_some(300_000),
        "raised_count": of_device.then_some(5),
        "quality": if of_device { "uncertain" } else { "good" },
        "handling": {"state": "verified", "verdict": "false", "by": "夜班", "at": "2026-01-01T00:03:20.000Z", "note": null},
        "latched": true,
        "cleared_reason": if state == "cleared" { json!("reset") } else { Value::Null },
    })
}

fn order(event: &str, alarm: &Value) -> String {
    let failed = event == "command.failed";
    let told = json!({
        "id": "01J", "type": event, "at": "2026-01-01T00:00:30.000Z", "gateway": "karuo-01", "level": 1,
        "command": {
            "id": if alarm.is_null() { "01JC1" } else { "01JC2" }, "command": "close",
            "state": if failed { "failed" } else { "verified" },
            "venue": {"id": "r1", "name": "老灶火锅", "kind": "restaurant", "address": "示例路 9 号"},
            "device": {"id": "v1", "kind": "shutoff_valve", "name": "进气总管阀"},
            "attempt": 3, "attempts": 3, "requested_at": "2026-01-01T00:00:00.000Z",
            "expires_at": "2026-01-01T00:00:30.000Z", "took_ms": 30_000,
            "reason": failed.then_some("not_proven"), "causes": [],
        },
        "alarm": alarm, "by": null, "note": null, "ack_url": null,
    });
    told.to_string()
}
