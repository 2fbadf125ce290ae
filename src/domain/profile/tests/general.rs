//! Messages with items, conditions, fallbacks, bytes and ids of the payload.

use super::{decoder, key, map, message, profile, topic, with_map};
use crate::domain::profile::Reject;
use crate::domain::profile::command::{Address, CommandBook, NoWire, OrderFacts};
use crate::domain::profile::decoder::Decoder;
use crate::domain::profile::def::{
    ByteField, Coding, CommandDef, CommandPayload, ConditionDef, Form, MarkDef, MessageDef, Packing,
    PointMap, ProfileDef, RecordsDef, SourceDef, TestDef, TimeDef, TimeUnit,
};
use crate::domain::profile::native::native;
use crate::domain::reading::ReadingKind;
use crate::domain::time::{Moment, Timestamp};

/// A part: device, time, points by place in the kind.
type Said = (String, Option<i64>, Vec<(u8, f64)>);

/// The parts of a payload.
fn parts(decoder: &mut Decoder, name: &str, payload: &[u8]) -> (Vec<Said>, Option<Reject>) {
    let id = topic(decoder, name);
    let answer = decoder.decode(id, payload, Moment::default());
    let parts = (0..answer.parts)
        .map(|at| {
            let part = decoder.part(at).unwrap();
            (
                decoder.key(part.device).device.clone(),
                part.device_at.map(|at| at.0),
                part.points
                    .iter()
                    .map(|(point, value)| (point.0, *value))
                    .collect(),
            )
        })
        .collect();
    (parts, answer.reject)
}

fn port_profile(each: &str, change: impl FnOnce(&mut MessageDef)) -> ProfileDef {
    let mut def = MessageDef {
        kind: Some("charging_port".to_owned()),
        device: Some("{station}-{port}".to_owned()),
        capture: vec![("port".to_owned(), SourceDef::at("/port"))],
        each: Some(each.to_owned()),
        time: Some(TimeDef {
            source: SourceDef {
                at: vec!["/ts".to_owned(), "^/ts".to_owned()],
                bytes: None,
            },
            base: None,
            unit: TimeUnit::Epoch,
            zone: None,
        }),
        points: vec![map("power", "/w"), map("current", "/a")],
        ..message("s/{station}/up", MessageDef::default())
    };
    change(&mut def);
    profile(vec![def])
}

#[test]
fn each_item_is_a_device_below_its_station() {
    let mut decoder = decoder(&[port_profile("/ports/*", |_| {})]);
    let payload = br#"{"ports":[{"port":1,"w":10,"ts":1700000001},{"port":2,"a":0.5},{"w":3},{"port":"1-2","w":3}],"ts":1700000000}"#;
    let (seen, reject) = parts(&mut decoder, "s/st-1/up", payload);
    let expected = vec![
        ("st-1-1".to_owned(), Some(1_700_000_001_000), vec![(1, 10.0)]),
        ("st-1-2".to_owned(), Some(1_700_000_000_000), vec![(2, 0.5)]),
    ];
    assert_eq!(seen, expected);
    // No port, and a port that would be another station's.
    assert_eq!(reject.map(|reject| reject.reason()), Some("bad_identity"));
}

#[test]
fn items_of_objects_and_of_items() {
    let keyed = port_profile("/*", |message| {
        message.capture = vec![("port".to_owned(), SourceDef::at("key"))];
    });
    let nested = port_profile("/*/[]", |message| {
        message.capture = vec![("port".to_owned(), SourceDef::at("^key"))];
    });
    let table = [
        (&keyed, r#"{"ts":1700000000,"7":{"w":1},"8":{"w":2}}"#, "s-7 s-8"),
        (
            &nested,
            r#"{"7":[{"w":1,"ts":1},{"w":2,"ts":2}],"8":{"w":2}}"#,
            "s-7 s-7 s-8",
        ),
        (&nested, r#"{"7":[],"8":null}"#, ""),
    ];
    for (def, payload, expected) in table {
        let mut decoder = decoder(std::slice::from_ref(def));
        let (seen, reject) = parts(&mut decoder, "s/s/up", payload.as_bytes());
        let devices: Vec<&str> = seen.iter().map(|(device, ..)| device.as_str()).collect();
        assert_eq!(
            (devices.join(" "), reject),
            (expected.to_owned(), None),
            "{payload}"
        );
    }
}

#[test]
fn names_choose_points_and_one_instant_is_one_part() {
    let def = MessageDef {
        each: Some("/params/*".to_owned()),
        name: Some("{name}".to_owned()),
        capture: vec![("name".to_owned(), SourceDef::at("key"))],
        time: Some(TimeDef {
            source: SourceDef::at("/time"),
            base: None,
            unit: TimeUnit::Milliseconds,
            zone: None,
        }),
        points: vec![PointMap {
            name: Some("gas".to_owned()),
            source: SourceDef {
                at: vec!["/value".to_owned(), String::new()],
                bytes: None,
            },
            ..map("lel", "")
        }],
        by_name: true,
        ..message("a/{device}", MessageDef::default())
    };
    let mut decoder = decoder(&[profile(vec![def])]);
    let payload = br#"{"params":{"gas":{"value":5,"time":7},"battery":3,"x":1,"temperature":4}}"#;
    let (seen, reject) = parts(&mut decoder, "a/g", payload);
    let expected = vec![
        ("g".to_owned(), Some(7), vec![(1, 5.0)]),
        ("g".to_owned(), None, vec![(3, 3.0), (2, 4.0)]),
    ];
    assert_eq!((seen, reject), (expected, None));
}

#[test]
fn of_several_mappings_the_first_that_says_something_counts() {
    let default = PointMap {
        default: Some("20".to_owned()),
        conditions: vec![ConditionDef {
            source: SourceDef::at("/object"),
            test: TestDef::Present(true),
        }],
        ..map("temperature", "/object/t")
    };
    let def = MessageDef {
        points: vec![
            with_map("state", "/fault_alarm", &[("true", "fault"), ("false", "")]),
            with_map("state", "/preheat", &[("true", "warmup"), ("*", "normal")]),
            default,
        ],
        test: Some(MarkDef {
            source: SourceDef::at("/gas"),
            is: vec!["test".to_owned()],
        }),
        ..message("a/{device}", MessageDef::default())
    };
    let mut decoder = decoder(&[profile(vec![def])]);
    let table = [
        (r#"{"fault_alarm":true,"preheat":true}"#, vec![(4, 2.0)]),
        (r#"{"fault_alarm":false,"preheat":true}"#, vec![(4, 1.0)]),
        (
            r#"{"fault_alarm":false,"preheat":false,"object":{}}"#,
            vec![(4, 0.0), (2, 20.0)],
        ),
        (r#"{"fault_alarm":false}"#, vec![]),
    ];
    for (payload, expected) in table {
        let (seen, reject) = parts(&mut decoder, "a/g", payload.as_bytes());
        assert_eq!((seen[0].2.clone(), reject), (expected, None), "{payload}");
    }
    let id = topic(&mut decoder, "a/g");
    decoder.decode(id, br#"{"gas":"Test"}"#, Moment::default());
    assert_eq!(decoder.part(0).unwrap().kind, ReadingKind::Test);
}

pub(super) fn byte(point: &str, at: &str, byte: i32, width: usize, coding: Coding) -> PointMap {
    PointMap {
        source: SourceDef {
            at: vec![at.to_owned()],
            bytes: Some(ByteField {
                byte,
                width,
                little: true,
                swapped: false,
                coding,
            }),
        },
        ..map(point, "")
    }
}

#[test]
fn bytes_have_fields_tags_and_records() {
    let tagged = MessageDef {
        unpack: vec![("/data".to_owned(), Packing::Base64)],
        tags: vec![("0175".to_owned(), 1), ("0367".to_owned(), 2)],
        points: vec![
            byte("battery", "/data/0175", 0, 1, Coding::Unsigned),
            PointMap {
                scale: 0.1,
                ..byte("temperature", "/data/0367", 0, 2, Coding::Signed)
            },
        ],
        ..message("m/{device}", MessageDef::default())
    };
    let records = port_profile("/*", |message| {
        message.form = Form::Packed(Packing::Hex);
        message.records = Some(RecordsDef {
            start: 2,
            size: 2,
            count: Some(1),
        });
        message.capture = vec![("port".to_owned(), SourceDef::at("number"))];
        message.time = None;
        message.conditions = vec![ConditionDef {
            source: byte("", "^", 0, 1, Coding::Unsigned).source,
            test: TestDef::Is(vec!["33".to_owned()]),
        }];
        message.points = vec![byte("power", "", 0, 2, Coding::Unsigned)];
    });
    let mut decoder = decoder(&[
        profile(vec![tagged]),
        ProfileDef {
            name: "q".to_owned(),
            ..records
        },
    ]);
    let (seen, reject) = parts(&mut decoder, "m/g", br#"{"data":"AXVkA2f2/w=="}"#);
    assert_eq!(
        (seen, reject),
        (vec![("g".to_owned(), None, vec![(3, 100.0), (2, -1.0)])], None)
    );
    let (seen, reject) = parts(&mut decoder, "s/st/up", b"21 02 0a00 0100");
    let expected = vec![
        ("st-1".to_owned(), None, vec![(1, 10.0)]),
        ("st-2".to_owned(), None, vec![(1, 1.0)]),
    ];
    assert_eq!((seen, reject), (expected, None));
    for (payload, reason) in [
        ("2102 0a00", Some("bad_value")),
        ("22 01 0a00", None),
        ("xy", Some("bad_value")),
    ] {
        let (seen, reject) = parts(&mut decoder, "s/st/up", payload.as_bytes());
        assert_eq!(
            (seen.len(), reject.map(|reject| reject.reason())),
            (0, reason),
            "{payload}"
        );
    }
}

#[test]
fn json_may_stand_in_text() {
    let def = MessageDef {
        unpack: vec![
            ("/a".to_owned(), Packing::Json),
            ("/b".to_owned(), Packing::Base64Json),
        ],
        points: vec![map("lel", "/a/lel"), map("battery", "/b/x/0")],
        ..message("a/{device}", MessageDef::default())
    };
    let mut decoder = decoder(&[profile(vec![def])]);
    let (seen, reject) = parts(&mut decoder, "a/g", br#"{"a":"{\"lel\":5}","b":"eyJ4IjpbN119"}"#);
    assert_eq!((seen[0].2.clone(), reject), (vec![(1, 5.0), (3, 7.0)], None));
    for broken in [r#"{"a":"{\"lel\":"}"#, r#"{"b":"!"}"#] {
        let (seen, reject) = parts(&mut decoder, "a/g", broken.as_bytes());
        assert!(seen.is_empty() && reject.is_some(), "{broken}");
    }
}

#[test]
fn a_payload_cannot_name_another_device() {
    let def = MessageDef {
        same: vec![("/id".to_owned(), "{device}".to_owned())],
        points: vec![map("lel", "/lel")],
        ..message("a/{device}", MessageDef::default())
    };
    let alone = MessageDef {
        device: Some("{id}".to_owned()),
        capture: vec![("id".to_owned(), SourceDef::at("/id"))],
        ..message("b/{x}", MessageDef::default())
    };
    let mut own = decoder(&[profile(vec![def])]);
    for (payload, count) in [
        (r#"{"id":"G1","lel":1}"#, 1),
        (r#"{"lel":1}"#, 1),
        (r#"{"id":"g2","lel":1}"#, 0),
    ] {
        let (seen, reject) = parts(&mut own, "a/g1", payload.as_bytes());
        assert_eq!((seen.len(), reject.is_some()), (count, count == 0), "{payload}");
    }
    let refused = Decoder::new(
        &[profile(vec![alone.clone()])],
        &super::kinds(),
        &super::registry(),
    );
    assert!(refused.unwrap_err()[0].problem.contains("trust_payload_ids"));
    let trusted = MessageDef {
        trust_payload_ids: true,
        ..alone
    };
    let mut decoder = decoder(&[profile(vec![trusted])]);
    assert_eq!(parts(&mut decoder, "b/x", br#"{"id":"g9"}"#).0[0].0, "g9");
}

#[test]
fn a_bound_is_kept_on_items() {
    let mut decoder = decoder(&[port_profile("/*", |message| {
        message.capture = vec![("port".to_owned(), SourceDef::at("key"))];
    })]);
    let many = format!("[{}0]", "0,".repeat(3_000));
    let (seen, reject) = parts(&mut decoder, "s/s/up", many.as_bytes());
    assert_eq!((seen.len(), reject), (0, Some(Reject::TooManyItems(2_048))));
    let some = format!("[{}0]", "0,".repeat(1_000));
    let (seen, reject) = parts(&mut decoder, "s/s/up", some.as_bytes());
    assert_eq!((seen.len(), reject), (512, Some(Reject::TooManyItems(512))));
}

#[test]
fn messages_of_one_topic_all_read_it() {
    let word = with_map("online", "", &[("online", "true"), ("offline", "false")]);
    let object = with_map("online", "/state", &[("online", "true"), ("offline", "false")]);
    let mut decoder = decoder(&[profile(vec![
        message("z/{device...}/availability", super::text(word)),
        message("z/{device...}/availability", super::json(vec![object], None)),
    ])]);
    for payload in ["offline", r#"{"state":"offline"}"#] {
        let (seen, reject) = parts(&mut decoder, "z/a/b/availability", payload.as_bytes());
        assert_eq!(
            (seen, reject.is_none()),
            (vec![("a/b".to_owned(), None, vec![(0, 0.0)])], true),
            "{payload}"
        );
    }
    let (seen, reject) = parts(&mut decoder, "z/a/availability", b"?");
    assert!(seen.is_empty() && reject.is_some());
}

#[test]
fn commands_are_written_by_the_devices_profile() {
    let mut ports = port_profile("/ports/*", |_| {});
    ports.commands = vec![CommandDef {
        kind: Some("charging_port".to_owned()),
        command: Some("off".to_owned()),
        topic: "s/{station}/down".to_owned(),
        payload: CommandPayload::Json(
            serde_json::json!({"port": "{port:number}", "cmd": "stop", "msg": "{id}", "until": "{expires_at}"}),
        ),
    }];
    let book = CommandBook::new(&[native(), ports.clone()]);
    let mut decoder = decoder(&[ports]);
    parts(&mut decoder, "s/st/up", br#"{"ports":[{"port":2,"w":1}]}"#);
    let slot = decoder.part(0).unwrap().device;
    let key = key("v1", "charging_port", "st-2");
    assert_eq!(decoder.key(slot), &key);
    let order = OrderFacts {
        id: "01J",
        key: &key,
        command: "off",
        expires_at: Timestamp(5),
        attempt: 1,
    };
    let address = decoder.address(slot).unwrap().clone();
    let out = book.write(&address, &order).unwrap();
    assert_eq!(out.topic, "s/st/down");
    assert_eq!(out.payload, br#"{"cmd":"stop","msg":"01J","port":2,"until":5}"#);
    let out = book.write(&Address::native(), &order).unwrap();
    assert_eq!(out.topic, "ninewatch/v1/charging_port/st-2/command");
    assert_eq!(out.payload, br#"{"command":"off","expires_at":5,"id":"01J"}"#);
    let other = OrderFacts {
        command: "on",
        ..order
    };
    assert!(matches!(
        book.write(&address, &other),
        Err(NoWire::NoCommand { .. })
    ));
    assert!(matches!(
        book.write(&Address::of("p"), &order),
        Err(NoWire::NoCapture { .. })
    ));
    assert!(matches!(
        book.write(&Address::of("?"), &order),
        Err(NoWire::NoProfile(_))
    ));
    // What we say ourselves is not for us.
    assert!(decoder.resolve("ninewatch/v1/charging_port/st-2/command").is_ok());
}

#[test]
fn an_answer_to_a_command_is_no_reading() {
    let mut decoder = decoder(&[]);
    let id = topic(&mut decoder, "ninewatch/v1/gas_detector/g1/ack");
    let seen = decoder.decode(id, br#"{"id":"01J","ok":true}"#, Moment::default());
    assert_eq!((seen.parts, seen.acks, seen.reject), (0, 1, None));
    let ack = decoder.ack(0).unwrap();
    assert_eq!((ack.id, ack.ok), (Some("01J"), true));
    for broken in [r#"{"ok":true}"#, r#"{"id":"x","ok":"maybe"}"#, "1"] {
        let seen = decoder.decode(id, broken.as_bytes(), Moment::default());
        assert!(seen.acks == 0 && seen.reject.is_some(), "{broken}");
    }
}

/// A profile of every shape: items of items, records, tags, JSON in text.
pub(super) fn shapes() -> Vec<ProfileDef> {
    let items = MessageDef {
        topic: "j/{station}".to_owned(),
        ..port_profile("/ports/*/[]", |_| {}).messages.remove(0)
    };
    let records = |name: &str, packing| MessageDef {
        topic: format!("{name}/{{station}}"),
        form: Form::Packed(packing),
        records: Some(RecordsDef {
            start: 1,
            size: 3,
            count: Some(0),
        }),
        capture: vec![("port".to_owned(), byte("", "", -1, 1, Coding::Bcd).source)],
        points: vec![
            byte("power", "", 0, 8, Coding::Float),
            byte("current", "^", 2, 4, Coding::Signed),
        ],
        ..port_profile("/*", |_| {}).messages.remove(0)
    };
    let tagged = MessageDef {
        device: Some("{station}".to_owned()),
        form: Form::Packed(Packing::Hex),
        tags: vec![("01".to_owned(), 0), ("02".to_owned(), 1)],
        points: vec![byte("lel", "/02", 0, 1, Coding::Unsigned)],
        ..message("t/{station}", MessageDef::default())
    };
    let packed = MessageDef {
        device: Some("{station}".to_owned()),
        unpack: vec![
            (String::new(), Packing::Base64Json),
            ("/x".to_owned(), Packing::Json),
        ],
        points: vec![map("lel", "/x/t")],
        ..message("j/{station}", MessageDef::default())
    };
    vec![profile(vec![
        items,
        packed,
        records("h", Packing::Hex),
        records("b", Packing::Bytes),
        tagged,
    ])]
}
