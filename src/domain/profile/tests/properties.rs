//! Whatever comes, there is an answer; what was sent comes back.

use proptest::prelude::*;

use super::{TELEMETRY, decoder, read, topic};
use crate::domain::kind::{ONLINE, PointIndex};
use crate::domain::time::{Moment, Timestamp};

proptest! {
    #[test]
    fn any_topic_and_bytes_give_an_answer(
        name in "(ninewatch|\\PC{0,8})(/(v1|gas_detector|charging_port|telemetry|status|\\PC{0,9})){0,5}",
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut decoder = decoder(&[]);
        let _ = decoder.resolve(&name);
        let id = topic(&mut decoder, TELEMETRY);
        let seen = read(&mut decoder, id, &bytes);
        prop_assert!(seen.usable || seen.reject.is_some());
    }

    #[test]
    fn any_bytes_give_an_answer_also_where_items_and_bytes_are_read(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            "[0-9a-f ]{0,60}".prop_map(String::into_bytes),
            "[\\[{]{0,3}(\"(ports|port|w|t|data|x)\":(-?[0-9]{1,3}|\"\\PC{0,9}\"|null|\\[1,\\{\\}\\]|\\{\"t\":1\\}),?){0,5}[\\]}]{0,3}"
                .prop_map(String::into_bytes),
        ],
    ) {
        let mut decoder = decoder(&super::general::shapes());
        for name in ["j/s", "h/s", "b/s", "t/s"] {
            let id = topic(&mut decoder, name);
            let answer = decoder.decode(id, &bytes, Moment::default());
            for at in 0..answer.parts {
                let part = decoder.part(at).unwrap();
                prop_assert!(part.points.iter().all(|(_, value)| value.is_finite()));
                prop_assert!(!decoder.key(part.device).device.is_empty());
            }
        }
    }

    #[test]
    fn any_near_json_gives_sound_points(
        payload in "\\{(\"(lel|ts|state|test|x)\":(-?[0-9]{1,3}(\\.[0-9])?|\"\\PC{0,5}\"|null|true|\\[1\\]|\\{\\}),?){0,5}\\}?",
    ) {
        let mut decoder = decoder(&[]);
        let id = topic(&mut decoder, TELEMETRY);
        for (index, value) in read(&mut decoder, id, payload.as_bytes()).points {
            prop_assert!(value.is_finite() && index != ONLINE);
        }
    }

    #[test]
    fn a_native_payload_gives_back_its_points(
        lel in 0.0..=100.0_f64,
        temperature in -40.0..=125.0_f64,
        state in 0..4_usize,
        fault in any::<bool>(),
        ts in any::<i64>(),
        turn in 0..5_usize,
    ) {
        let words = ["normal", "warmup", "fault", "end_of_life"];
        let mut members = [
            format!(r#""lel":{lel}"#),
            format!(r#""temperature":{temperature:?}"#),
            format!(r#""state":"{}""#, words[state]),
            format!(r#""fault":{fault}"#),
            format!(r#""ts":{ts}"#),
        ];
        members.rotate_left(turn);
        let payload = format!("{{{}}}", members.join(" , "));
        let mut decoder = decoder(&[]);
        let id = topic(&mut decoder, TELEMETRY);
        let seen = read(&mut decoder, id, payload.as_bytes());
        prop_assert_eq!(seen.device_at, Some(Timestamp(ts)));
        prop_assert_eq!(&seen.reject, &None);
        let mut points = seen.points;
        points.sort_by_key(|(index, _)| *index);
        let expected = [(1, lel), (2, temperature), (4, state as f64), (5, f64::from(u8::from(fault)))];
prop_assert_eq!(points.len(), expected.len());
        for ((index, value), (at, sent)) in points.into_iter().zip(expected) {
            // serde_json's fast float path may be off by one in the 17th digit.
            prop_assert!(index == PointIndex(at) && (value - sent).abs() <= sent.abs() * 1e-15, "{value} {sent}");
        }
    }
}
