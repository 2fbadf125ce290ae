//! Bytes worked out by hand from the field numbers of the specification, and topics.

use super::*;

/// `08` timestamp · `12` a metric: `0a` name "Gas/LEL", `10` alias 7, `18` timestamp, `20` datatype 10 (Double),
/// `69` a double of 12.5 · `18` seq 1.
const BIRTH: &str =
    "08 80d0eab6b733 12 1d 0a 07 4761732f4c454c 10 07 18 80d0eab6b733 20 0a 69 0000000000002940 18 01";

/// `12` a metric: `10` alias 7, `28` historical, `48` with a structure that is passed over, `65` a float of 60 · `18` seq 2.
const DATA: &str = "12 0b 10 07 28 01 4a 00 65 00007042 18 02";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|digit| *digit != b' ').collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn bytes_of_the_specification_are_read() {
    let mut desk = Desk::new();
    desk.hear(NBIRTH, &payload(0, &[]), 0);
    let said = desk.hear(DBIRTH, &bytes(BIRTH), 0);
    assert_eq!(said, ["gas_detector plant/e1/g1 @0s lel=12.5 online=1"]);
    let said = desk.hear(DDATA, &bytes(DATA), 0);
    assert_eq!(said, ["gas_detector plant/e1/g1 history lel=60"]);
}

#[test]
fn what_is_no_payload_is_told_and_changes_nothing() {
    let mut desk = Desk::new();
    desk.born();
    for hex in [
        "12 7f 10",
        "0a",
        "18 ffffffffffffffffffff01",
        "12 05 0a 03 ff fe fd",
        "07",
    ] {
        assert_eq!(desk.hear(DDATA, &bytes(hex), 1), ["! invalid_protobuf"], "{hex}");
    }
    let said = desk.hear(DDATA, &payload(2, &[M::default().alias(7).double(2.0)]), 1);
    assert_eq!(said, ["gas_detector plant/e1/g1 @0s lel=2"]);
}

#[test]
fn topics() {
    let mut codec = Desk::new().codec;
    let long = format!("spBv1.0/{}/NDATA/e", "g".repeat(129));
    let table = [
        (NBIRTH, Some(true)),
        (DDATA, Some(true)),
        (NCMD, Some(false)),
        ("spBv1.0/plant/DCMD/e1/g1", Some(false)),
        ("spBv1.0/STATE/host", Some(false)),
        ("spBv1.0/plant/NDATA", None),
        ("spBv1.0/plant/NDATA/e1/g1", None),
        ("spBv1.0/plant/DDATA/e1", None),
        ("spBv1.0/plant/DDATA/e1/g1/x", None),
        ("spBv1.0/plant/XDATA/e1", None),
        ("spBv1.0//NDATA/e1", None),
        ("spBv1.0/plant/NDATA/", None),
        ("spAv1.0/plant/NDATA/e1", None),
        ("spBv1.0", None),
        (&long, None),
    ];
    for (topic, expected) in table {
        let seen = codec.resolve(topic).map(|line| line.unwrap().is_some());
        assert_eq!(seen, expected, "{topic}");
    }
    let filters = Sparkplug::filters();
    for topic in [NBIRTH, NDEATH, NDATA, DBIRTH, DDEATH, DDATA] {
        let covers = |filter: &&String| crate::domain::profile::topic::filter_covers(filter, topic);
        assert_eq!(filters.iter().filter(covers).count(), 1, "{topic}");
    }
    assert!(
        !filters
            .iter()
            .any(|filter| crate::domain::profile::topic::filter_covers(filter, NCMD))
    );
}
