//! The codec is total: any topics and any bytes, in any order, give answers that hold together.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn any_metric() -> impl Strategy<Value = M> {
    let name = prop_oneof![
        Just(None),
        Just(Some("Gas/LEL")),
        Just(Some("Valve/State")),
        Just(Some("Port3/Power")),
        Just(Some("bdSeq")),
        Just(Some("other")),
    ];
    let value = prop_oneof![
        any::<u32>().prop_map(|value| M::default().int(value)),
        any::<u64>().prop_map(|value| M::default().long(value)),
        any::<f64>().prop_map(|value| M::default().double(value)),
        any::<bool>().prop_map(|value| M::default().boolean(value)),
        Just(M::default().null()),
        vec(any::<u8>(), 0..20).prop_map(M),
    ];
    (
        name,
        proptest::option::of(0_u64..4),
        0_u32..14,
        any::<bool>(),
        value,
    )
        .prop_map(|(name, alias, datatype, past, value)| {
            let mut metric = name.map_or_else(M::default, |name| M::default().name(name));
            if let Some(alias) = alias {
                metric = metric.alias(alias);
            }
            metric = metric.datatype(datatype);
            if past {
                metric = metric.historical();
            }
            metric.0.extend(value.0);
            metric
        })
}

fn any_message() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    let topic = prop::sample::select(vec![
        NBIRTH,
        NDEATH,
        NDATA,
        DBIRTH,
        DDEATH,
        DDATA,
        "spBv1.0/plant/DDATA/e1/g2",
        "spBv1.0/plant/NDATA/e2",
    ]);
    let bytes = prop_oneof![
        1 => vec(any::<u8>(), 0..60),
        4 => (0_u64..6, vec(any_metric(), 0..5)).prop_map(|(seq, metrics)| payload(seq, &metrics)),
    ];
    (topic, bytes)
}

proptest! {
    #[test]
    fn any_messages_in_any_order_are_answered(messages in vec(any_message(), 0..60)) {
        let mut desk = Desk::new();
        for (second, (topic, bytes)) in (0..).zip(messages) {
            let line = desk.codec.resolve(topic).unwrap().unwrap().unwrap();
            desk.codec.receive(line, &bytes, at(second));
            for part in desk.codec.parts() {
                let subject = desk.codec.subject(part.subject).unwrap();
                let kind = &desk.kinds[subject.kind];
                let points = desk.codec.points(part);
                for (place, (point, value)) in points.iter().enumerate() {
                    prop_assert!(value.is_finite());
                    prop_assert!(kind.point_at(*point).is_some());
                    prop_assert!(points[..place].iter().all(|(other, _)| other != point), "{points:?}");
                }
            }
            prop_assert!(desk.codec.requests().count() <= 1);
        }
    }

    #[test]
    fn any_topic_is_answered(topic in "(spBv1.0/)?[a-zA-Z/+#]{0,40}") {
        let mut codec = Desk::new().codec;
        let _answered = codec.resolve(&topic);
    }
}
