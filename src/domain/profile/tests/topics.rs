//! Topics: whose they are, what is remembered of them, what is subscribed to.

use super::{STATUS, TELEMETRY, decoder, json, key, key_of, map, message, profile, read, topic};
use crate::domain::device::DeviceIndex;
use crate::domain::profile::decoder::{Decoder, Resolved};
use crate::domain::registry::UNREGISTERED;

#[test]
fn topics_are_devices_ignored_or_refused() {
    let mut decoder = decoder(&[]);
    let table = [
        ("ninewatch/v1/gas_detector/g1/command", Ok(())),
        ("ninewatch/v1/toaster/g1/telemetry", Err("unknown_kind")),
        ("ninewatch/v1/gateway/karuo-01/telemetry", Err("unknown_kind")),
        ("ninewatch/v1/gateway/karuo-01/status", Err("unknown_kind")),
        ("ninewatch/v1/gas_detector/g1/other", Err("unknown_topic")),
        ("ninewatch//gas_detector/g1/telemetry", Err("unknown_topic")),
        ("ninewatch/v1/gas_detector/g\u{1}/telemetry", Err("unknown_topic")),
        ("", Err("unknown_topic")),
        ("$SYS/x", Err("unknown_topic")),
    ];
    for (topic, expected) in table {
        // The second time out of the cache.
        for _ in 0..2 {
            let seen = decoder.resolve(topic);
            let seen = seen.map(|resolved| assert_eq!(resolved, Resolved::Ignored));
            assert_eq!(seen.map_err(|reject| reject.reason()), expected, "{topic}");
        }
    }
}

#[test]
fn a_bound_device_is_kept_by_topic() {
    let mut decoder = decoder(&[]);
    let first = topic(&mut decoder, TELEMETRY);
    let second = topic(&mut decoder, STATUS);
    let slots = [first, second].map(|id| decoder.slot(id).unwrap());
    assert_eq!(decoder.expected(first), None);
    decoder.bind(slots[0], DeviceIndex(3));
    assert_eq!(topic(&mut decoder, TELEMETRY), first);
    assert_eq!(decoder.expected(first), Some(DeviceIndex(3)));
    assert_eq!(decoder.device(slots[0]), Some(DeviceIndex(3)));
    assert_eq!(decoder.expected(second), None);
    assert_eq!(slots.map(|slot| decoder.kind(slot)), [0, 0]);
}

#[test]
fn a_flood_of_topics_does_not_grow_memory_and_stale_ids_are_nobodys() {
    let mut decoder = decoder(&[]);
    let first = topic(&mut decoder, TELEMETRY);
    let slot = decoder.slot(first).unwrap();
    decoder.bind(slot, DeviceIndex(3));
    for at in 0..Decoder::MAX_KNOWN_TOPICS {
        topic(&mut decoder, &format!("ninewatch/v/gas_detector/{at}/status"));
        let _ = decoder.resolve(&format!("noise/{at}"));
    }
    assert!(decoder.remembered() <= Decoder::MAX_KNOWN_TOPICS);
    assert_eq!(decoder.expected(first), None);
    assert_eq!(
        (decoder.device(slot), decoder.key(slot)),
        (None, &key("", "", ""))
    );
    assert!(!read(&mut decoder, first, b"{}").usable);
    let again = topic(&mut decoder, TELEMETRY);
    assert_ne!(again, first);
    assert_eq!(decoder.expected(again), None);
}

#[test]
fn the_registry_gives_the_venue_where_the_topic_does_not() {
    let mut message = message("x/{device}", json(vec![map("lel", "/lel")], None));
    message.venue = None;
    let mut decoder = decoder(&[profile(vec![message])]);
    let id = topic(&mut decoder, "x/kitchen");
    assert_eq!(key_of(&decoder, id), key("v9", "gas_detector", "kitchen"));
    // Registered, but of another kind; not at all.
    for name in ["plug-1", "cellar"] {
        let id = topic(&mut decoder, &format!("x/{name}"));
        assert_eq!(key_of(&decoder, id), key(UNREGISTERED, "gas_detector", name));
    }
}

#[test]
fn ignore_never_hides_another_profiles_devices() {
    let mut first = profile(vec![message("x/{device}", json(vec![], None))]);
    first.ignore = vec!["y/#".to_owned(), "x/bridge".to_owned()];
    let second = profile(vec![message("y/{device}", json(vec![], None))]);
    let mut decoder = decoder(&[first, second]);
    topic(&mut decoder, "y/g1");
    assert_eq!(decoder.resolve("x/bridge"), Ok(Resolved::Ignored));
    assert_eq!(decoder.resolve("y/g1/more"), Ok(Resolved::Ignored));
}

#[test]
fn no_subscription_covers_another() {
    let mut second = profile(vec![
        message("x/{device}/a", json(vec![], None)),
        message("ninewatch/x/{device}", json(vec![], None)),
    ]);
    assert_eq!(
        decoder(&[second.clone()]).subscriptions(),
        ["ninewatch/#", "x/+/a"]
    );
    second.subscribe = vec!["x/#".to_owned(), "x/+/a".to_owned(), "ninewatch/x/+".to_owned()];
    assert_eq!(
        decoder(&[second.clone(), second]).subscriptions(),
        ["ninewatch/#", "x/#"]
    );
}

#[test]
fn refused_devices_are_forgotten_between_runs_and_never_within_one() {
    let mut decoder = decoder(&[]);
    let first = topic(&mut decoder, TELEMETRY);
    let most = 50_000;
    for at in 0..most {
        let refused = topic(&mut decoder, &format!("ninewatch/v/gas_detector/{at}/status"));
        let slot = decoder.slot(refused).unwrap();
        // One that goes on speaking is one.
        decoder.refuse(slot);
        decoder.refuse(slot);
    }
    assert_eq!(decoder.remembered(), most + 1);
    assert_eq!(
        topic(&mut decoder, TELEMETRY),
        first,
        "an id stands for the whole run"
    );
    decoder.make_room(1);
    assert_eq!(decoder.remembered(), 0);
    for at in 0..10 {
        topic(&mut decoder, &format!("ninewatch/v/gas_detector/{at}/status"));
        decoder.make_room(1);
    }
    assert_eq!(decoder.remembered(), 10, "nobody was refused since");
}
