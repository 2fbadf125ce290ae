//! Mapped points, times and texts, and what is said of a wrong profile.

use super::{
    TELEMETRY, decoder, json, kinds, map, mapped, message, profile, read, registry, text, time, topic,
    with_map,
};
use crate::domain::kind::PointIndex;
use crate::domain::profile::Reject;
use crate::domain::profile::decoder::Decoder;
use crate::domain::profile::def::{MessageDef, PointMap, ProfileDef, TimeUnit};
use crate::domain::time::{ClockBounds, Millis};

#[test]
fn pointers_reach_into_objects_and_arrays() {
    let points = vec![
        map("lel", "/a~1b/m~0n"),
        map("temperature", "/list/1/t"),
        map("battery", "/list/0"),
        with_map(
            "fault",
            "/a~1b/code",
            &[("0", "false"), ("1", "true"), ("E7", "true")],
        ),
    ];
    let table = [
        (
            r#"{"a/b":{"m~n":5,"code":1},"list":[80,{"t":20}]}"#,
            vec![
                ("lel", 5.0),
                ("fault", 1.0),
                ("battery", 80.0),
                ("temperature", 20.0),
            ],
            None,
        ),
        (r#"{"a/b":{"code":0.0},"list":[]}"#, vec![("fault", 0.0)], None),
        (
            r#"{"a/b":{"code":"E7"},"list":{"0":7}}"#,
            vec![("fault", 1.0), ("battery", 7.0)],
            None,
        ),
        (r#"{"a/b":null,"list":[null,null,3]}"#, vec![], None),
        (
            r#"{"a/b":{"code":"E8","m~n":5}}"#,
            vec![("lel", 5.0)],
            Some("bad_value"),
        ),
        (
            r#"{"a/b":7,"list":[3]}"#,
            vec![("battery", 3.0)],
            Some("bad_value"),
        ),
        (r#"{"a/b":{"m~n":5},"a/b":{}}"#, vec![], Some("duplicate_member")),
    ];
    for (payload, expected, reason) in table {
        let (seen, reject) = mapped(points.clone(), payload);
        let seen: Vec<(&str, f64)> = seen.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(
            (seen, reject.as_ref().map(Reject::reason)),
            (expected, reason),
            "{payload}"
        );
    }
}

#[test]
fn scale_and_offset_apply_before_the_range() {
    let scaled = PointMap {
        scale: 0.1,
        offset: -5.0,
        ..map("lel", "/raw")
    };
    assert_eq!(
        mapped(vec![scaled.clone()], r#"{"raw":550}"#).0,
        [("lel".to_owned(), 50.0)]
    );
    let (points, reject) = mapped(vec![scaled], r#"{"raw":1e308}"#);
    assert_eq!(
        (points.len(), reject),
        (0, Some(Reject::OutOfRange("lel".to_owned())))
    );
}

#[test]
fn a_message_that_should_say_online_and_does_not_proves_no_life() {
    let online = || with_map("online", "/a/state", &[("up", "true"), ("down", "false")]);
    let alone = || vec![online()];
    let with_lel = || vec![online(), map("lel", "/lel")];
    let table = [
        (alone(), r#"{"a":{"state":"down"}}"#, true),
        (alone(), r#"{"a":{"state":"gone"}}"#, false),
        (alone(), r#"{"a":{"state":null}}"#, false),
        (alone(), r#"{"a":"up"}"#, false),
        (alone(), "{}", false),
        (with_lel(), "{}", true),
        (with_lel(), r#"{"a":{"state":"gone"}}"#, false),
        (with_lel(), r#"{"a":{"state":"gone"},"lel":60}"#, true),
    ];
    for (points, payload, usable) in table {
        let mut decoder = decoder(&[profile(vec![message("x/{device}", json(points, None))])]);
        let id = topic(&mut decoder, "x/g1");
        let seen = read(&mut decoder, id, payload.as_bytes());
        assert_eq!(seen.usable, usable, "{payload}");
        assert!(usable || seen.reject.is_some(), "{payload}");
    }
}

#[test]
fn the_example_of_the_manual_gives_what_it_says() {
    let words = [("0", "normal"), ("1", "warmup"), ("2", "fault")];
    let points = vec![
        PointMap {
            scale: 0.002,
            ..map("lel", "/data/gas/ppm")
        },
        map("temperature", "/data/temp"),
        with_map("state", "/st", &words),
    ];
    let payload = r#"{"time": 1767225600, "data": {"gas": {"ppm": 12500}, "temp": "21.4"}, "st": 2, "mode": "selftest"}"#;
    let (points, reject) = mapped(points, payload);
    let expected = [("lel", 25.0), ("temperature", 21.4), ("state", 2.0)];
    assert_eq!(points, expected.map(|(name, value)| (name.to_owned(), value)));
    assert_eq!(reject, None);
}

#[test]
fn a_mapped_point_goes_before_by_name() {
    let payload = MessageDef {
        by_name: true,
        points: vec![map("lel", "/gas")],
        ..MessageDef::default()
    };
    let mut decoder = decoder(&[profile(vec![message("x/{device}", payload)])]);
    let id = topic(&mut decoder, "x/g1");
    let seen = read(&mut decoder, id, br#"{"lel":1,"gas":2,"battery":3}"#);
    assert_eq!(seen.points, [(PointIndex(1), 2.0), (PointIndex(3), 3.0)]);
}

#[test]
fn times_come_in_four_units() {
    let table = [
        (TimeUnit::Seconds, "1767225600", Some(1_767_225_600_000)),
        (TimeUnit::Seconds, "1767225600.25", Some(1_767_225_600_250)),
        (TimeUnit::Seconds, "9223372036854775807", None),
        (TimeUnit::Seconds, "-1", Some(-1000)),
        (TimeUnit::Milliseconds, "1767225600000.9", Some(1_767_225_600_000)),
        (TimeUnit::Milliseconds, "9223372036854775807", Some(i64::MAX)),
        (TimeUnit::Milliseconds, "9223372036854775808", None),
        (TimeUnit::Milliseconds, "9.3e18", None),
        (TimeUnit::Milliseconds, "true", None),
        (
            TimeUnit::Microseconds,
            "1767225600000999",
            Some(1_767_225_600_000),
        ),
        (
            TimeUnit::Rfc3339,
            r#""2022-07-18T09:34:15.775023242+00:00""#,
            Some(1_658_136_855_775),
        ),
        (TimeUnit::Rfc3339, r#""2018-02-15T17:37:10""#, None),
        (TimeUnit::Rfc3339, "5", None),
    ];
    for (unit, wire, expected) in table {
        let payload = json(vec![map("lel", "/lel")], Some(time("/t", unit.clone())));
        let mut decoder = decoder(&[profile(vec![message("x/{device}", payload)])]);
        let id = topic(&mut decoder, "x/g1");
        let seen = read(&mut decoder, id, format!(r#"{{"t":{wire},"lel":60}}"#).as_bytes());
        let at = seen.device_at.map(|at| at.0);
        assert_eq!((at, seen.points.len()), (expected, 1), "{unit:?} {wire}");
        assert_eq!(seen.reject.is_none(), expected.is_some(), "{unit:?} {wire}");
    }
}

#[test]
fn each_profile_has_bounds_of_its_own_for_the_clocks_of_its_devices() {
    let clock = ClockBounds {
        max_ahead: Millis(1),
        max_behind: Millis(2),
    };
    let own = ProfileDef {
        clock,
        ..profile(vec![message("x/{device}", json(vec![map("lel", "/lel")], None))])
    };
    let mut decoder = decoder(&[own]);
    for (name, expected) in [("x/g1", clock), (TELEMETRY, ClockBounds::default())] {
        let id = topic(&mut decoder, name);
        assert_eq!(read(&mut decoder, id, br#"{"lel":60}"#).clock, expected, "{name}");
    }
}

#[test]
fn every_error_of_every_profile_is_told_at_once() {
    let bad_kind = MessageDef {
        kind: Some("gas_detecter".to_owned()),
        ..message("a/{device}", json(vec![], None))
    };
    let twice = vec![
        map("lell", "/x"),
        map("battery", "x"),
        map("state", "/s"),
        map("state", "/t"),
    ];
    let words = with_map("state", "/s", &[("a", "norml"), ("b", "normal")]);
    let scaled = PointMap {
        scale: 0.0,
        ..map("lel", "/~2")
    };
    let mut broken = profile(vec![
        bad_kind,
        message("b/{x}", json(vec![], None)),
        message("c/{device}", json(twice, None)),
        message("d/{device}", json(vec![words, scaled], None)),
        message("e/{kind}/{device}", json(vec![], None)),
        message("f/{device}", json(vec![], None)),
    ]);
    broken.subscribe = ["a/+", "b/+", "c/+", "d/+", "e/#", "g#"]
        .map(str::to_owned)
        .to_vec();
    broken.ignore = vec!["a/#".to_owned()];
    let errors = Decoder::new(&[broken], &kinds(), &registry()).unwrap_err();
    let shown: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let expected = [
        "filter \"g#\"",
        "message 1: kind \"gas_detecter\" is not configured; did you mean \"gas_detector\"?",
        "message 2: no device",
        "message 3, point \"lell\": no such point in kind gas_detector; did you mean \"lel\"?",
        "message 3, point \"battery\": \"x\" is no JSON Pointer",
        "message 4, point \"state\": the map's \"a\" gives \"norml\"",
        "message 4, point \"lel\": scale must be",
        "message 5: the kind is given and captured",
        "message 1: `ignore` has \"a/#\"",
        "message 6: no filter of `subscribe` covers \"f/{device}\"",
    ];
    for (error, start) in shown.iter().zip(expected) {
        assert!(error.contains(start), "{error} should say {start}");
    }
    assert_eq!(shown.len(), expected.len(), "{shown:#?}");
}

#[test]
fn a_text_payload_is_one_point() {
    let one = |point| message("x/{device}/v", text(point));
    let table = [
        (map("lel", ""), "12.5", Some(12.5), true),
        (map("lel", ""), "nan", None, true),
        (map("lel", ""), "-1", None, true),
        (map("fault", ""), "true", Some(1.0), true),
        (map("state", ""), "fault", Some(2.0), true),
        (
            with_map("online", "", &[("Offline", "false")]),
            "Offline",
            Some(0.0),
            true,
        ),
        (
            with_map("online", "", &[("Offline", "false")]),
            "gone",
            None,
            false,
        ),
    ];
    for (point, payload, expected, usable) in table {
        let mut decoder = decoder(&[profile(vec![one(point)])]);
        let id = topic(&mut decoder, "x/g1/v");
        let seen = read(&mut decoder, id, payload.as_bytes());
        let value = seen.points.first().map(|(_, value)| *value);
        assert_eq!((value, seen.usable), (expected, usable), "{payload}");
    }
}
