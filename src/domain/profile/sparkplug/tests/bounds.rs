//! What is kept is bounded, and being full takes nothing from those who are known.

use super::super::{MAX_DEVICES, MAX_METRICS, MAX_NODES};
use super::*;
use crate::domain::profile::Reject;

#[test]
fn nodes_and_devices_are_bounded() {
    let mut desk = Desk::new();
    desk.born();
    for node in 1..MAX_NODES {
        assert!(
            desk.codec
                .resolve(&format!("spBv1.0/plant/NDATA/x{node}"))
                .unwrap()
                .is_ok()
        );
    }
    let full = desk.codec.resolve("spBv1.0/plant/NDATA/more").unwrap();
    assert_eq!(full, Err(Reject::TooManyDevices));
    for device in 1..MAX_DEVICES {
        assert!(
            desk.codec
                .resolve(&format!("spBv1.0/plant/DDATA/e1/d{device}"))
                .unwrap()
                .is_ok()
        );
    }
    let full = desk.codec.resolve("spBv1.0/plant/DDATA/e1/more").unwrap();
    assert_eq!(full, Err(Reject::TooManyDevices));
    let said = desk.hear(DDATA, &payload(2, &[M::default().alias(7).double(2.0)]), 1);
    assert_eq!(said, ["gas_detector plant/e1/g1 @0s lel=2"]);
}

#[test]
fn names_and_aliases_are_bounded_and_a_birth_gives_its_own_back() {
    let mut desk = Desk::new();
    let batch = 50_000;
    let flood = |first: usize| -> Vec<M> {
        (first..first + batch)
            .map(|alias| M::default().name("x").alias(alias as u64))
            .collect()
    };
    for turn in 0..MAX_METRICS / batch {
        let said = desk.hear(
            &format!("spBv1.0/plant/NBIRTH/x{turn}"),
            &payload(0, &flood(0)),
            0,
        );
        assert!(said.is_empty(), "{said:?}");
    }
    let refused = desk.hear(NBIRTH, &payload(0, &[double("Gas/LEL", 60.0).alias(1)]), 0);
    assert_eq!(
        refused,
        ["gas_detector plant/e1 @0s lel=60 online=1", "! too_many_devices"]
    );
    let again = desk.hear("spBv1.0/plant/NBIRTH/x0", &payload(0, &flood(1)[1..]), 1);
    assert!(again.is_empty(), "{again:?}");
    let taken = desk.hear(
        NBIRTH,
        &payload(0, &[M::default().name("Gas/LEL").alias(1).double(5.0)]),
        2,
    );
    assert_eq!(
        taken.last().unwrap(),
        "! too_many_devices",
        "an alias and a name: room for one"
    );
}

#[test]
fn ids_that_are_too_long_are_no_devices() {
    let mut desk = Desk::new();
    desk.hear(NBIRTH, &payload(0, &[]), 0);
    let name = format!("Port{}/Power", "9".repeat(200));
    let said = desk.hear(
        DBIRTH,
        &payload(1, &[double(&name, 1.0), double("Gas/LEL", 2.0)]),
        0,
    );
    assert_eq!(
        said,
        ["gas_detector plant/e1/g1 @0s lel=2 online=1", "! unknown_topic"]
    );
}
