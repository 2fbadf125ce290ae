//! How metrics become points: datatypes, nulls, history, children, several points of one metric, bad values.

use super::*;

fn born_with(metric: M) -> Vec<String> {
    let mut desk = Desk::new();
    desk.hear(NBIRTH, &payload(0, &[]), 0);
    desk.hear(DBIRTH, &payload(1, &[metric]), 0)
}

#[test]
fn numbers_of_every_datatype() {
    let lel = || M::default().name("Gas/LEL");
    let table = [
        (lel().datatype(INT8).int(0xff), "-1"),
        (lel().datatype(INT8).int(u32::MAX), "-1"),
        (lel().datatype(INT16).int(0xfffe), "-2"),
        (lel().datatype(INT32).int(u32::MAX - 2), "-3"),
        (lel().datatype(INT64).long(u64::MAX - 3), "-4"),
        (lel().datatype(UINT32).int(60_000), "60000"),
        (lel().datatype(UINT32).long(60_001), "60001"),
        (lel().datatype(9).float(12.5), "12.5"),
        (lel().datatype(DOUBLE).double(12.25), "12.25"),
        (lel().double(7.0), "7"),
        (lel().datatype(12).text("12.75"), "12.75"),
    ];
    for (metric, value) in table {
        assert_eq!(
            born_with(metric),
            [format!("gas_detector plant/e1/g1 @0s lel={value} online=1")]
        );
    }
}

#[test]
fn bad_values_are_told_and_the_device_lives() {
    let lel = || M::default().name("Gas/LEL");
    let table = [
        (lel().text("much"), "bad_value"),
        (lel().boolean(true), "bad_value"),
        (lel().bytes(16, &[1, 2]), "bad_value"),
        (lel().bytes(17, &[]), "bad_value"),
        (lel().bytes(18, &[]), "bad_value"),
        (lel().double(f64::NAN), "bad_value"),
        (lel().double(1e9), "out_of_range"),
        (lel().datatype(8).long(u64::MAX), "out_of_range"),
    ];
    for (metric, reason) in table {
        let said = born_with(metric);
        assert_eq!(
            said,
            [
                "gas_detector plant/e1/g1 online=1".to_owned(),
                format!("! {reason}")
            ]
        );
    }
}

#[test]
fn null_is_no_reading() {
    let null = M::default().name("Gas/LEL").null();
    assert_eq!(born_with(null), ["gas_detector plant/e1/g1 online=1"]);
    let nothing = M::default().name("Gas/LEL").datatype(DOUBLE);
    assert_eq!(born_with(nothing), ["gas_detector plant/e1/g1 online=1"]);
}

#[test]
fn the_past_is_apart_instant_by_instant() {
    let mut desk = Desk::new();
    desk.born();
    let lel = |value: f64| M::default().alias(7).double(value);
    let metrics = [
        lel(50.0).taken(2).historical(),
        lel(3.0).taken(6),
        lel(55.0).taken(3).historical(),
        M::default().alias(8).taken(2).historical().double(21.0),
    ];
    let said = desk.hear(DDATA, &payload_at(7, 2, &metrics), 7);
    let expected = [
        "gas_detector plant/e1/g1 @6s lel=3",
        "gas_detector plant/e1/g1 @2s history lel=50 temperature=21",
        "gas_detector plant/e1/g1 @3s history lel=55",
    ];
    assert_eq!(said, expected);
}

#[test]
fn live_values_of_one_message_are_of_its_latest_instant_and_a_second_value_is_a_second_reading() {
    let mut desk = Desk::new();
    desk.born();
    let metrics = [
        M::default().alias(7).taken(2).double(10.0),
        M::default().alias(8).taken(4).double(21.0),
        M::default().alias(7).taken(3).double(60.0),
    ];
    let said = desk.hear(DDATA, &payload_at(5, 2, &metrics), 5);
    let expected = [
        "gas_detector plant/e1/g1 @4s lel=10 temperature=21",
        "gas_detector plant/e1/g1 @3s lel=60",
    ];
    assert_eq!(said, expected);
}

#[test]
fn one_metric_may_be_several_points_and_a_device_several_kinds() {
    let mut desk = Desk::new();
    desk.hear(NBIRTH, &payload(0, &[]), 0);
    let metrics = [
        M::default().name("Valve/State").alias(1).datatype(UINT32).int(0),
        double("Gas/LEL", 2.0).alias(2),
    ];
    let said = desk.hear(DBIRTH, &payload(1, &metrics), 0);
    let expected = [
        "shutoff_valve plant/e1/g1 @0s position=0 fault=0 online=1",
        "gas_detector plant/e1/g1 @0s lel=2 online=1",
    ];
    assert_eq!(said, expected);
    let said = desk.hear(DDATA, &payload(2, &[M::default().alias(1).int(9)]), 0);
    assert_eq!(said, ["shutoff_valve plant/e1/g1 @0s position=1 fault=1"]);
    let said = desk.hear(DDATA, &payload(3, &[M::default().alias(1).int(5)]), 0);
    assert_eq!(said, ["! bad_value"], "a word that the map does not know");
}

#[test]
fn a_part_of_the_name_may_be_a_device_of_its_own() {
    let mut desk = Desk::new();
    desk.hear(NBIRTH, &payload(0, &[]), 0);
    let metrics = [
        double("Port1/Power", 100.0).alias(1),
        double("Port12/Power", 200.0).alias(2),
        double("Port/Power", 1.0).alias(3),
        double("Port1/2/Power", 1.0).alias(4),
        double("Fort1/Power", 1.0).alias(5),
    ];
    let said = desk.hear(DBIRTH, &payload(1, &metrics), 0);
    let expected = [
        "charging_port plant/e1/g1/1 @0s power=100 online=1",
        "charging_port plant/e1/g1/12 @0s power=200 online=1",
    ];
    assert_eq!(said, expected);
    let said = desk.hear(DDATA, &payload(2, &[M::default().alias(2).double(0.0)]), 1);
    assert_eq!(said, ["charging_port plant/e1/g1/12 @0s power=0"]);
    let said = desk.hear(DDEATH, &payload(3, &[]), 2);
    assert_eq!(
        said,
        [
            "charging_port plant/e1/g1/1 online=0",
            "charging_port plant/e1/g1/12 online=0"
        ]
    );
}

#[test]
fn a_name_goes_before_an_alias() {
    let mut desk = Desk::new();
    desk.born();
    let said = desk.hear(DDATA, &payload(2, &[double("Temperature", 40.0).alias(7)]), 0);
    assert_eq!(said, ["gas_detector plant/e1/g1 @0s temperature=40"]);
}

#[test]
fn wrong_mappings_are_refused() {
    let refused = |metrics: Vec<MetricDef>| {
        Sparkplug::new(
            &SparkplugDef {
                metrics,
                ..SparkplugDef::default()
            },
            &kinds(),
        )
        .unwrap_err()
    };
    let twice = metric("Gas/LEL", "gas_detector", "lel");
    let table = [
        (vec![metric("", "gas_detector", "lel")], "the name is empty"),
        (
            vec![metric("A", "lamp", "lel")],
            "kind \"lamp\" is not configured",
        ),
        (
            vec![metric("A", "gas_detector", "power")],
            "no such point in kind gas_detector: \"power\"",
        ),
        (
            vec![metric("{child}{child}", "gas_detector", "lel")],
            "{child} stands twice in \"{child}{child}\"",
        ),
        (
            vec![twice.clone(), twice],
            "metric \"Gas/LEL\" is mapped to this point twice",
        ),
    ];
    for (metrics, problem) in table {
        let last = metrics.len() - 1;
        assert_eq!(refused(metrics), [(last, problem.to_owned())]);
    }
}
