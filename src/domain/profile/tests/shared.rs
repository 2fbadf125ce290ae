//! Messages of one topic share a pass over the payload where they can: each says what it says alone.

use proptest::prelude::*;

use super::{decoder, map, message, profile, topic};
use crate::domain::kind::PointIndex;
use crate::domain::profile::def::{
    Coding, ConditionDef, MessageDef, Packing, PointMap, ProfileDef, SourceDef, TestDef,
};
use crate::domain::time::Moment;

fn reads(points: Vec<PointMap>) -> MessageDef {
    MessageDef {
        // Not flat, so that it goes by a plan.
        conditions: vec![ConditionDef {
            source: SourceDef::at("/none"),
            test: TestDef::Present(false),
        }],
        points,
        ..MessageDef::default()
    }
}

fn each(steps: &str, point: PointMap) -> MessageDef {
    MessageDef {
        each: Some(steps.to_owned()),
        capture: vec![("port".to_owned(), SourceDef::at("key"))],
        device: Some("{device}-{port}".to_owned()),
        ..reads(vec![point])
    }
}

/// Messages that can share, and some that cannot.
fn messages() -> Vec<MessageDef> {
    let mut messages = vec![
        reads(vec![map("lel", "/a"), map("temperature", "/b/a")]),
        reads(vec![map("temperature", "/a")]),
        reads(vec![map("battery", "/b/0"), map("lel", "/b")]),
        each("/b/*", map("lel", "/a")),
        each("/b/*", map("temperature", "")),
        each("/b/[]", map("lel", "/a")),
        each("/b/*/b/*", map("battery", "/a")),
        MessageDef {
            unpack: vec![("/a".to_owned(), Packing::Json)],
            ..reads(vec![map("lel", "/a/a")])
        },
        MessageDef {
            unpack: vec![("/a".to_owned(), Packing::Octets)],
            ..reads(vec![super::general::byte("lel", "/a", 0, 1, Coding::Unsigned)])
        },
        MessageDef {
            carry: vec!["/a".to_owned()],
            ..each("/b/*", map("lel", "/a"))
        },
    ];
    for message in &mut messages {
        *message = super::message("x/{device}", std::mem::take(message));
    }
    messages
}

/// By part: the device and its points; and why not all was used.
type Said = (Vec<(String, Vec<(PointIndex, f64)>)>, Option<&'static str>);

fn said(messages: Vec<MessageDef>, payload: &str) -> Said {
    let profile: ProfileDef = profile(messages);
    let mut decoder = decoder(&[profile]);
    let id = topic(&mut decoder, "x/d");
    let answer = decoder.decode(id, payload.as_bytes(), Moment::default());
    let parts = (0..answer.parts).filter_map(|at| decoder.part(at));
    let parts = parts.map(|part| (decoder.key(part.device).device.clone(), part.points.to_vec()));
    (parts.collect(), answer.reject.map(|reject| reject.reason()))
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        (0_i64..200).prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
        prop_oneof!["\\{\"a\":[0-9]{1,3}\\}?", "[0-9]{1,2}", "x"].prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            proptest::collection::btree_map("[abc]", inner, 0..4)
                .prop_map(|members| { serde_json::Value::Object(members.into_iter().collect()) }),
        ]
    })
}

proptest! {
    #[test]
    fn together_they_say_what_each_says_alone(
        payload in json(),
        order in proptest::sample::subsequence((0..messages().len()).collect::<Vec<_>>(), 2..6).prop_shuffle(),
    ) {
        let payload = payload.to_string();
        let all = messages();
        let chosen: Vec<MessageDef> = order.iter().map(|at| all[*at].clone()).collect();
        let (mut parts, mut rejects) = (Vec::new(), Vec::new());
        for message in &chosen {
            let (own, reject) = said(vec![message.clone()], &payload);
            parts.extend(own);
            rejects.extend(reject);
        }
        let (together, reject) = said(chosen, &payload);
        prop_assert_eq!(together, parts);
        prop_assert_eq!(reject.is_some(), !rejects.is_empty());
        prop_assert!(reject.is_none_or(|reject| rejects.contains(&reject)));
    }
}

#[test]
fn what_does_not_unpack_is_no_trouble_to_those_beside_it() {
    let all = messages();
    let payload = r#"{"a":"{","b":{"a":7}}"#;
    let beside = message("x/{device}", reads(vec![map("battery", "/b/a")]));
    let (parts, reject) = said(vec![beside, all[7].clone()], payload);
    assert_eq!(parts, [("d".to_owned(), vec![(PointIndex(3), 7.0)])]);
    assert_eq!(reject, Some("invalid_json"));
}
