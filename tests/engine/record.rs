//! What the history keeps: exceptions only, at their own time, once; and under numbers that never change their meaning.

use ninewatch::domain::device::DeviceIndex;
use ninewatch::domain::history::{HistoryPoint, PointNumber};
use ninewatch::domain::kind::{Keep, Kind, ONLINE, PointIndex};
use ninewatch::domain::reading::{Arrival, Reading, ReadingKind};
use ninewatch::domain::time::Millis;
use proptest::prelude::*;

use super::bench::{Bench, LEL, START, STATE, device_time, gas_kind, key};

/// A gas detector of whose concentration the history keeps what is 2 %LEL away, or a minute old.
fn keeping() -> Kind {
    let mut kind = gas_kind();
    for point in &mut kind.points {
        point.keep = Keep {
            deadband: if point.id == "lel" { 2.0 } else { 0.0 },
            max_interval: Millis(60_000),
        };
    }
    kind
}

fn bench() -> Bench {
    let mut bench = Bench::with(Vec::new());
    bench.define_on(vec![keeping()], Vec::new());
    bench.effects.samples.clear();
    bench
}

/// What was kept since the last call: the point by name, the time since the start, the value.
fn kept(bench: &mut Bench) -> Vec<(String, i64, f64)> {
    let points = &bench.effects.points;
    bench
        .effects
        .samples
        .drain(..)
        .map(|sample| {
            let point = &points[usize::from(sample.point.0)];
            (point.point.clone(), sample.at.0 - START, sample.value)
        })
        .collect()
}

fn of(point: &str, at: i64, value: f64) -> (String, i64, f64) {
    (point.to_owned(), at, value)
}

#[test]
fn a_value_is_kept_when_it_leaves_the_deadband_or_after_the_longest_interval() {
    let mut bench = bench();
    for (wait, lel, expected) in [
        (0, 10.0, vec![of("lel", 0, 10.0), of("online", 0, 1.0)]),
        (1_000, 10.0, vec![]),
        (1_000, 12.0, vec![]),
        (1_000, 8.0, vec![]),
        (1_000, 12.5, vec![of("lel", 4_000, 12.5)]),
        // The band lies around what was kept, not around what was said last.
        (1_000, 10.6, vec![]),
        (1_000, 10.4, vec![of("lel", 6_000, 10.4)]),
        (53_999, 10.4, vec![]),
        (1, 10.4, vec![of("online", 60_000, 1.0)]),
        (5_999, 10.4, vec![]),
        (1, 10.4, vec![of("lel", 66_000, 10.4)]),
    ] {
        bench.wait(wait);
        bench.lel(lel);
        assert_eq!(kept(&mut bench), expected, "{lel} after {wait}");
    }
}

#[test]
fn words_and_presence_are_kept_when_they_change() {
    let mut bench = bench();
    let normal = of("state", 0, 0.0);
    bench.read(&[(STATE, 0.0)], None, ReadingKind::Live);
    assert_eq!(kept(&mut bench), [normal, of("online", 0, 1.0)]);
    bench.read(&[(STATE, 0.0)], None, ReadingKind::Live);
    assert_eq!(kept(&mut bench), []);
    bench.read(&[(STATE, 2.0)], None, ReadingKind::Live);
    assert_eq!(kept(&mut bench), [of("state", 0, 2.0)]);
    bench.wait(5_000);
    // A last will, kept by the broker or not.
    bench.kept(&[(ONLINE, 0.0)]);
    assert_eq!(kept(&mut bench), [of("online", 5_000, 0.0)]);
    bench.read(&[(ONLINE, 0.0)], None, ReadingKind::Live);
    assert_eq!(kept(&mut bench), []);
    bench.read(&[(STATE, 2.0)], None, ReadingKind::Live);
    assert_eq!(kept(&mut bench), [of("online", 5_000, 1.0)]);
}

#[test]
fn a_backlog_is_kept_whole_at_its_own_time_and_hides_nothing() {
    let mut bench = bench();
    bench.wait(100_000);
    bench.read(&[(LEL, 10.0)], Some(START + 100_000), ReadingKind::Live);
    assert_eq!(
        kept(&mut bench),
        [of("lel", 100_000, 10.0), of("online", 100_000, 1.0)]
    );
    for at in [50_000, 51_000] {
        bench.read(&[(LEL, 3.0)], Some(START + at), ReadingKind::History);
        assert_eq!(kept(&mut bench), [of("lel", at, 3.0)]);
    }
    // Late, though live.
    bench.read(&[(LEL, 4.0)], Some(START + 60_000), ReadingKind::Live);
    assert_eq!(kept(&mut bench), [of("lel", 60_000, 4.0)]);
    bench.read(&[(LEL, 3.0)], None, ReadingKind::History);
    bench.read(&[(LEL, 90.0)], Some(START + 100_000), ReadingKind::Test);
    bench.kept(&[(LEL, 5.0)]);
    assert_eq!(kept(&mut bench), [], "of unknown age, or a test");
    bench.wait(1_000);
    bench.lel(10.5);
    assert_eq!(
        kept(&mut bench),
        [of("lel", 101_000, 10.5)],
        "whatever the backlog said last, this is so now"
    );
}

#[test]
fn a_message_that_comes_twice_is_kept_once() {
    let mut bench = bench();
    for seq in [7, 7, 8] {
        bench.feed(Reading {
            device: DeviceIndex(0),
            device_at: None,
            seq: Some(seq),
            kind: ReadingKind::Live,
            arrival: Arrival::First,
            points: &[(LEL, 10.0), (STATE, f64::from(u8::from(seq == 8)))],
        });
        // Whatever was said meanwhile.
        bench.lel(50.0);
    }
    let lel: Vec<f64> = kept(&mut bench)
        .into_iter()
        .filter(|(point, ..)| point == "lel")
        .map(|(_, _, value)| value)
        .collect();
    assert_eq!(lel, [10.0, 50.0, 10.0, 50.0]);
    assert_eq!(bench.effects.repetitions, 1);
}

#[test]
fn a_clock_ahead_keeps_nothing_in_the_future() {
    let mut bench = bench();
    bench.read(&[(LEL, 10.0)], Some(START + 30_000), ReadingKind::Live);
    assert_eq!(kept(&mut bench), [of("lel", 0, 10.0), of("online", 0, 1.0)]);
    bench.read(&[(LEL, 20.0)], Some(START + 3_600_000), ReadingKind::Live);
    assert_eq!(
        kept(&mut bench),
        [of("lel", 0, 20.0)],
        "not believed: received now"
    );
}

/// Number, kind and point.
fn numbers(points: &[HistoryPoint]) -> Vec<(u16, &str, &str)> {
    points
        .iter()
        .map(|point| (point.number.0, point.kind.as_str(), point.point.as_str()))
        .collect()
}

#[test]
fn a_points_number_is_for_ever() {
    let mut bench = Bench::with(Vec::new());
    let first = std::mem::take(&mut bench.effects.points);
    let gas = "gas_detector";
    assert_eq!(
        numbers(&first),
        [
            (0, gas, "online"),
            (1, gas, "lel"),
            (2, gas, "state"),
            (3, "gateway", "online"),
            (4, "gateway", "broker"),
            (5, "gateway", "disk_low"),
            (6, "gateway", "disk_full"),
            (7, "gateway", "store_failed"),
            (8, "gateway", "history_lost"),
            (9, "gateway", "command_link"),
        ]
    );
    bench.lel(10.0);
    // A rule more is no new point; another order is none; another type is one; the old comes back under its old number.
    let mut turned = gas_kind();
    turned.points.swap(1, 2);
    bench.define_on(vec![turned.clone()], Vec::new());
    assert_eq!(numbers(&bench.effects.points), []);
    turned.points[2].value = turned.points[0].value.clone();
    bench.define_on(vec![turned], Vec::new());
    assert_eq!(
        numbers(&std::mem::take(&mut bench.effects.points)),
        [(10, gas, "lel")]
    );
    bench.restart();
    bench.define_on(vec![gas_kind()], Vec::new());
    assert_eq!(numbers(&bench.effects.points), []);
    bench.effects.samples.clear();
    bench.lel(70.0);
    let kept: Vec<PointNumber> = bench.effects.samples.iter().map(|sample| sample.point).collect();
    assert_eq!(kept, [PointNumber(1)]);
}

#[test]
fn what_was_kept_last_is_carried_to_other_definitions_by_name() {
    let mut bench = bench();
    bench.read(&[(LEL, 10.0), (STATE, 0.0)], None, ReadingKind::Live);
    kept(&mut bench);
    let mut turned = keeping();
    turned.points.swap(1, 2);
    bench.define_on(vec![turned], Vec::new());
    bench.read(
        &[(PointIndex(2), 11.0), (PointIndex(1), 0.0)],
        None,
        ReadingKind::Live,
    );
    assert_eq!(kept(&mut bench), []);
}

proptest! {
    /// Stopped and restored anywhere, the engine keeps the same as one that never stopped; and of the concentration
    /// nobody is ever shown what was farther off than the deadband.
    #[test]
    fn the_history_is_the_same_whenever_the_engine_is_restored(
        said in proptest::collection::vec((0_u64..3_000, 0_u8..40, 0_u8..12, any::<bool>()), 1..60),
    ) {
        let (mut straight, mut stopped) = (bench(), bench());
        for (wait, lel, how, restart) in said {
            let lel = f64::from(lel) / 2.0;
            for bench in [&mut straight, &mut stopped] {
                // Samples of different sorts are not of the same instant.
                bench.wait(wait * 10);
                let now = bench.now.wall.0;
                let (at, kind) = match how {
                    0 => (Some(now - 5_003), ReadingKind::History),
                    1 => (Some(now - 5_007), ReadingKind::Live),
                    2 => (None, ReadingKind::Test),
                    _ => (Some(now), ReadingKind::Live),
                };
                bench.feed(Reading {
                    device: bench.engine.find(&key("g1")).unwrap(),
                    device_at: at.map(|at| device_time(at, bench.now)),
                    seq: None,
                    kind,
                    arrival: Arrival::First,
                    points: &[(LEL, lel)],
                });
            }
            if restart {
                stopped.restart();
            }
            let lels = straight.effects.samples.iter().filter(|sample| sample.point == PointNumber(1));
            let shown = lels.max_by_key(|sample| sample.at).map_or(f64::NAN, |sample| sample.value);
            if how > 2 {
                prop_assert!((lel - shown).abs() <= 2.0, "{lel} is shown as {shown}");
            }
        }
        prop_assert_eq!(&straight.effects.samples, &stopped.effects.samples);
    }
}
