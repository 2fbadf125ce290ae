//! Births, deaths, numbering and rebirths: what is believed when.

use super::*;

const LEL_60: &str = "gas_detector plant/e1/g1 @5s lel=60";
const LEL_60_DOUBTFUL: &str = "gas_detector plant/e1/g1 @5s doubtful lel=60";

fn lel_60(seq: u64) -> Vec<u8> {
    payload_at(5, seq, &[M::default().alias(7).double(60.0)])
}

#[test]
fn a_birth_says_what_is_and_data_what_changed() {
    let mut desk = Desk::new();
    let said = desk.hear(
        NBIRTH,
        &payload(0, &[long("bdSeq", 3), double("Temperature", 31.0).alias(1)]),
        0,
    );
    assert_eq!(said, ["gas_detector plant/e1 @0s temperature=31 online=1"]);
    let metrics = [double("Gas/LEL", 1.5).alias(7), double("Unmapped", 4.0).alias(8)];
    let said = desk.hear(DBIRTH, &payload(1, &metrics), 0);
    assert_eq!(said, ["gas_detector plant/e1/g1 @0s lel=1.5 online=1"]);
    assert_eq!(desk.hear(DDATA, &lel_60(2), 5), [LEL_60]);
    let said = desk.hear(DDATA, &payload(3, &[M::default().alias(8).double(5.0)]), 6);
    assert!(said.is_empty(), "unmapped: {said:?}");
    let said = desk.hear(NDATA, &payload(4, &[M::default().alias(1).double(32.0)]), 6);
    assert_eq!(said, ["gas_detector plant/e1 @0s temperature=32"]);
}

#[test]
fn one_device_has_not_the_aliases_of_another() {
    let mut desk = Desk::new();
    desk.born();
    let said = desk.hear("spBv1.0/plant/DDATA/e1/g2", &lel_60(2), 5);
    assert_eq!(said, ["! no_birth", "> spBv1.0/plant/NCMD/e1"]);
}

#[test]
fn a_gap_makes_the_node_doubtful_until_its_rebirth() {
    let mut desk = Desk::new();
    desk.born();
    let request = format!("> {NCMD}");
    assert_eq!(
        desk.hear(DDATA, &lel_60(3), 5),
        [LEL_60_DOUBTFUL, &request],
        "2 was missed"
    );
    assert_eq!(
        desk.hear(DDATA, &lel_60(4), 5),
        [LEL_60_DOUBTFUL],
        "asked a moment ago"
    );
    desk.hear(NBIRTH, &payload(0, &[long("bdSeq", 3)]), 5);
    let said = desk.hear(DDATA, &lel_60(1), 5);
    assert_eq!(
        said,
        ["! no_birth"],
        "the aliases of before the birth count no more"
    );
    desk.hear(DBIRTH, &payload(2, &[double("Gas/LEL", 1.0).alias(7)]), 5);
    assert_eq!(desk.hear(DDATA, &lel_60(3), 5), [LEL_60]);
}

#[test]
fn the_number_goes_round_after_255_and_0_may_be_left_out() {
    let mut desk = Desk::new();
    desk.born();
    for seq in (2..=255).chain(0..10) {
        assert_eq!(desk.hear(DDATA, &lel_60(seq), 5), [LEL_60], "{seq}");
    }
    for seq in 10..=255 {
        desk.hear(DDATA, &lel_60(seq), 5);
    }
    let without = M::default().bytes(2, &M::default().alias(7).double(60.0).0).0;
    assert_eq!(desk.hear(DDATA, &without, 5), ["gas_detector plant/e1/g1 lel=60"]);
    assert_eq!(
        desk.hear(DDATA, &lel_60(256), 5),
        [LEL_60_DOUBTFUL, "> spBv1.0/plant/NCMD/e1"]
    );
}

#[test]
fn after_a_start_a_rebirth_is_asked_for_with_patience() {
    let mut desk = Desk::new();
    let mut asked = Vec::new();
    for second in 0..200 {
        let said = desk.hear(DDATA, &lel_60(second % 256), second);
        assert_eq!(said[0], "! no_birth");
        if said.len() > 1 {
            assert_eq!(said[1], format!("> {NCMD}"));
            asked.push(second);
        }
    }
    assert_eq!(asked, [0, 1, 3, 7, 15, 31, 63, 127, 191]);
}

#[test]
fn a_named_value_of_a_node_never_born_may_raise() {
    let mut desk = Desk::new();
    let said = desk.hear(DDATA, &payload_at(5, 9, &[double("Gas/LEL", 60.0)]), 5);
    assert_eq!(said, [LEL_60_DOUBTFUL, "> spBv1.0/plant/NCMD/e1"]);
}

#[test]
fn an_unknown_alias_shows_that_a_birth_was_missed() {
    let mut desk = Desk::new();
    desk.born();
    let said = desk.hear(DDATA, &payload(2, &[M::default().alias(70).double(60.0)]), 5);
    assert_eq!(said, ["! no_birth", "> spBv1.0/plant/NCMD/e1"]);
    assert_eq!(desk.hear(DDATA, &lel_60(3), 5), [LEL_60_DOUBTFUL]);
}

#[test]
fn the_death_of_a_node_is_that_of_its_devices() {
    let mut desk = Desk::new();
    desk.hear(
        NBIRTH,
        &payload(0, &[long("bdSeq", 3), double("Temperature", 31.0)]),
        0,
    );
    desk.hear(DBIRTH, &payload(1, &[double("Gas/LEL", 1.5).alias(7)]), 0);
    let late = payload(0, &[long("bdSeq", 2)]);
    assert!(
        desk.hear(NDEATH, &late, 1).is_empty(),
        "the will of an earlier session"
    );
    let said = desk.hear(NDEATH, &payload(0, &[long("bdSeq", 3)]), 1);
    assert_eq!(
        said,
        [
            "gas_detector plant/e1 online=0",
            "gas_detector plant/e1/g1 online=0"
        ]
    );
    let said = desk.hear(DDATA, &lel_60(2), 5);
    assert_eq!(
        said,
        [LEL_60_DOUBTFUL, "> spBv1.0/plant/NCMD/e1"],
        "it speaks: it cannot be dead"
    );
}

#[test]
fn the_death_of_a_device_is_its_own() {
    let mut desk = Desk::new();
    desk.born();
    desk.hear(
        "spBv1.0/plant/DBIRTH/e1/g2",
        &payload(2, &[double("Gas/LEL", 2.0).alias(17)]),
        0,
    );
    assert_eq!(
        desk.hear(DDEATH, &payload(3, &[]), 5),
        ["gas_detector plant/e1/g1 online=0"]
    );
    let alive = desk.hear(
        "spBv1.0/plant/DDATA/e1/g2",
        &payload(4, &[M::default().alias(17).double(3.0)]),
        5,
    );
    assert_eq!(alive, ["gas_detector plant/e1/g2 @0s lel=3"]);
    let said = desk.hear(DBIRTH, &payload(5, &[double("Gas/LEL", 0.0).alias(7)]), 6);
    assert_eq!(said, ["gas_detector plant/e1/g1 @0s lel=0 online=1"]);
}

#[test]
fn a_lost_connection_leaves_nothing_certain() {
    let mut desk = Desk::new();
    desk.born();
    desk.codec.interrupted(at(1));
    let asked: Vec<_> = desk.codec.requests().map(|request| request.topic).collect();
    assert_eq!(asked, [NCMD]);
    assert_eq!(desk.hear(DDATA, &lel_60(2), 5)[0], LEL_60_DOUBTFUL);
}

#[test]
fn a_message_of_the_node_is_a_sign_of_life_of_its_devices() {
    let mut desk = Desk::new();
    desk.born();
    let quiet = |seq| payload(seq, &[]);
    assert!(desk.hear(NDATA, &quiet(2), 59).is_empty());
    assert_eq!(desk.hear(NDATA, &quiet(3), 60), ["gas_detector plant/e1/g1"]);
    assert!(desk.hear(NDATA, &quiet(4), 61).is_empty(), "once a minute");
    let said = desk.hear(NDATA, &quiet(9), 130);
    assert_eq!(
        said,
        ["> spBv1.0/plant/NCMD/e1"],
        "of a doubted one nothing is certain"
    );
}

#[test]
fn the_request_is_what_the_specification_says() {
    let mut desk = Desk::new();
    let line = desk.codec.resolve(NDATA).unwrap().unwrap().unwrap();
    desk.codec.receive(line, &[], at(0));
    let request = desk.codec.requests().next().unwrap();
    let metric = M::default()
        .name("Node Control/Rebirth")
        .datatype(11)
        .boolean(true);
    let expected = M::default().number(1, T0).bytes(2, &metric.0).0;
    assert_eq!((request.topic.as_str(), request.payload), (NCMD, expected));
}
