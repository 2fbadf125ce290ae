//! The native form: golden payloads and poison ones.

use super::{STATUS, Seen, TELEMETRY, decoder, key, key_of, points_of, read, topic};
use crate::domain::kind::{ONLINE, PointIndex};
use crate::domain::profile::Reject;
use crate::domain::reading::ReadingKind;
use crate::domain::time::{ClockBounds, Timestamp};

#[test]
fn native_telemetry_gives_points_by_name() {
    let mut decoder = decoder(&[]);
    let id = topic(&mut decoder, TELEMETRY);
    assert_eq!(key_of(&decoder, id), key("v1", "gas_detector", "g1"));
    let payload =
        br#"{"ts":1767225600000,"lel":12.5,"temperature":21.4,"battery":88,"seq":7,"state":"warmup"}"#;
    let seen = read(&mut decoder, id, payload);
    let expected = [(1, 12.5), (2, 21.4), (3, 88.0), (4, 1.0)].map(|(at, value)| (PointIndex(at), value));
    assert_eq!(
        seen,
        Seen {
            device_at: Some(Timestamp(1_767_225_600_000)),
            clock: ClockBounds::default(),
            seq: Some(7),
            kind: ReadingKind::Live,
            points: expected.to_vec(),
            usable: true,
            reject: None,
        }
    );
}

#[test]
fn a_bad_value_costs_only_its_own_point() {
    let lel = || vec![("lel".to_owned(), 60.0)];
    let table = [
        (r#"{"temperature":"hot","lel":60}"#, Some("bad_value")),
        (r#"{"temperature":true,"lel":60}"#, Some("bad_value")),
        (r#"{"temperature":[21],"lel":60}"#, Some("bad_value")),
        (r#"{"temperature":{"c":21},"lel":60}"#, Some("bad_value")),
        (r#"{"temperature":"NaN","lel":60}"#, Some("bad_value")),
        (r#"{"temperature":"1e999","lel":60}"#, Some("bad_value")),
        (r#"{"temperature":"","lel":60}"#, Some("bad_value")),
        (r#"{"temperature":126,"lel":60}"#, Some("out_of_range")),
        (r#"{"state":"asleep","lel":60}"#, Some("bad_value")),
        (r#"{"state":0,"lel":60}"#, Some("bad_value")),
        (r#"{"fault":"yes","lel":60}"#, Some("bad_value")),
        (r#"{"fault":2,"lel":60}"#, Some("bad_value")),
        (r#"{"ts":"yesterday","lel":60}"#, Some("bad_value")),
        (r#"{"ts":18446744073709551615,"lel":60}"#, Some("bad_value")),
        (r#"{"ts":1e300,"lel":60}"#, Some("bad_value")),
        (r#"{"test":"maybe","lel":60}"#, Some("bad_value")),
        (r#"{"temperature":null,"ts":null,"test":null,"lel":60}"#, None),
        (r#"{"online":false,"lel":"60"}"#, None),
        (r#"{"lel":" 60 ","x":{"lel":1,"lel":2},"y":[[]],"x":null}"#, None),
    ];
    for (payload, reason) in table {
        assert_eq!(points_of(payload), (lel(), reason), "{payload}");
    }
    assert_eq!(points_of(r#"{"lel":101}"#), (vec![], Some("out_of_range")));
    assert_eq!(points_of("{}"), (vec![], None));
}

#[test]
fn the_first_bad_point_is_named() {
    let mut decoder = decoder(&[]);
    let id = topic(&mut decoder, TELEMETRY);
    let seen = read(&mut decoder, id, br#"{"battery":"\u0007flat","lel":-1}"#);
    let problem = r#"expected a number, got "\u{7}flat""#.to_owned();
    let point = "battery".to_owned();
    assert_eq!(seen.reject, Some(Reject::BadValue { point, problem }));
}

#[test]
fn broken_payloads_are_dead_letters_only() {
    let deep = format!(r#"{{"lel":60,"x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let table: [(&[u8], &str); 20] = [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (br#"{"lel":60"#, "invalid_json"),
        (br#"{"lel":60,"temperature":2"#, "invalid_json"),
        (br#"{"lel":60}x"#, "invalid_json"),
        (br#"{"lel":60}{"lel":1}"#, "invalid_json"),
        (br#"{"lel":NaN}"#, "invalid_json"),
        (br#"{"lel":Infinity}"#, "invalid_json"),
        (br#"{"lel":1e999}"#, "invalid_json"),
        (br#"{"lel":60,"x":1e999}"#, "invalid_json"),
        (br#"{"lel":60,}"#, "invalid_json"),
        (b"[]", "invalid_json"),
        (b"60", "invalid_json"),
        (b"null", "invalid_json"),
        (b"\"lel\"", "invalid_json"),
        (b"{\"lel\":60,\"x\":\"\xff\"}", "invalid_utf8"),
        (b"\xef\xbb\xbf{}", "invalid_json"),
        (br#"{"lel":60,"lel":1}"#, "duplicate_member"),
        (br#"{"lel":60,"x":1,"ts":1,"ts":1}"#, "duplicate_member"),
        (deep.as_bytes(), "invalid_json"),
    ];
    let mut decoder = decoder(&[]);
    let id = topic(&mut decoder, TELEMETRY);
    for (payload, reason) in table {
        let seen = read(&mut decoder, id, payload);
        let shown = String::from_utf8_lossy(payload);
        assert!(!seen.usable && seen.points.is_empty(), "{shown}");
        assert_eq!(seen.reject.as_ref().map(Reject::reason), Some(reason), "{shown}");
    }
}

#[test]
fn marks_make_the_kind() {
    let mut decoder = decoder(&[]);
    let id = topic(&mut decoder, TELEMETRY);
    let table = [
        (r#"{"test":true}"#, ReadingKind::Test),
        (r#"{"history":1}"#, ReadingKind::History),
        (r#"{"history":true,"test":true}"#, ReadingKind::Test),
        (r#"{"history":false,"test":0}"#, ReadingKind::Live),
        (r#"{"test":"maybe"}"#, ReadingKind::Live),
    ];
    for (payload, kind) in table {
        assert_eq!(read(&mut decoder, id, payload.as_bytes()).kind, kind, "{payload}");
    }
}

#[test]
fn a_message_may_have_a_number() {
    let mut decoder = decoder(&[]);
    let id = topic(&mut decoder, TELEMETRY);
    for (wire, seq) in [
        ("0", Some(0)),
        ("18446744073709551615", Some(u64::MAX)),
        ("-1", Some(u64::MAX)),
        (r#"" 12 ""#, Some(12)),
        ("null", None),
        ("1.5", None),
        ("true", None),
        (r#""""#, None),
        ("[1]", None),
    ] {
        let seen = read(
            &mut decoder,
            id,
            format!(r#"{{"lel":60,"seq":{wire}}}"#).as_bytes(),
        );
        assert_eq!((seen.seq, seen.points.len()), (seq, 1), "{wire}");
        assert_eq!(
            seen.reject.is_none(),
            seq.is_some() || wire == "null",
            "{wire}: {:?}",
            seen.reject
        );
    }
}

#[test]
fn status_is_online_or_offline_and_nothing_else() {
    let mut decoder = decoder(&[]);
    let id = topic(&mut decoder, STATUS);
    for (payload, value) in [("online", 1.0), ("offline\n", 0.0)] {
        let seen = read(&mut decoder, id, payload.as_bytes());
        assert_eq!((seen.usable, seen.points), (true, vec![(ONLINE, value)]));
    }
    for payload in ["", "On line", "true", "{}"] {
        let seen = read(&mut decoder, id, payload.as_bytes());
        assert!(!seen.usable && seen.reject.is_some(), "{payload}");
    }
}
