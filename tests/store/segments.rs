//! History that is sorted by device is the history that was committed: whatever part of it is sorted already.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use ninewatch::clock;
use ninewatch::domain::device::{DeviceIndex, DeviceKey};
use ninewatch::domain::history::{HistoryPoint, PointNumber, Sample, Samples};
use ninewatch::domain::kind::ValueType;
use ninewatch::domain::time::Timestamp;
use ninewatch::handoff::{Batch, SeenDevice};
use ninewatch::store::{DeviceFilter, SampleQuery};

use super::fixture::{Running, batch, connection, count, eventually, folder, keeping_free};

const HOUR: i64 = 3_600_000;

fn sample(device: u32, point: u16, at: i64, value: f64) -> Sample {
    Sample {
        device: DeviceIndex(device),
        point: PointNumber(point),
        at: Timestamp(at),
        value,
    }
}

fn keeping(samples: &[Sample]) -> Batch {
    let mut packed = Samples::default();
    for sample in samples {
        packed.push(sample).unwrap();
    }
    Batch {
        samples: packed,
        ..Batch::default()
    }
}

/// `samples` in runs of `run`, one batch each.
async fn commit(store: &mut Running, samples: &[Sample], run: usize) {
    for chunk in samples.chunks(run) {
        store.commit(keeping(chunk)).await;
    }
}

/// What a look at every sample finds: one device's, one point's, one range's, in the order of time.
fn naive(samples: &[Sample], query: &SampleQuery) -> Vec<Sample> {
    let mut found: Vec<Sample> = samples
        .iter()
        .filter(|sample| {
            sample.device == query.device
                && query.points.contains(&sample.point)
                && (query.from..query.to).contains(&sample.at)
        })
        .copied()
        .collect();
    found.sort_by_key(|sample| (sample.at, sample.point));
    found.dedup();
    found
}

/// All pages of `query`.
async fn paged(store: &Running, query: &SampleQuery) -> Vec<Sample> {
    let mut query = query.clone();
    let mut found = Vec::new();
    while query.from < query.to {
        let page = store.reader.samples(query.clone()).await.unwrap();
        assert!(page.until > query.from, "it goes on");
        found.extend(page.samples);
        query.from = page.until;
    }
    found
}

/// Samples of some devices and points around `start`, some of them long before, some twice.
fn scattered(start: i64, count: u32) -> Vec<Sample> {
    let noise = |salt: u32| i64::from(salt.wrapping_mul(2_654_435_761) >> 8);
    let mut samples = Vec::new();
    for turn in 0..count {
        // Three in a row are of one device and instant, as one message brings them.
        let message = turn / 3;
        let back = if message % 9 == 0 {
            noise(message) % (5 * HOUR)
        } else {
            0
        };
        let at = start + i64::from(message) * 750 - back;
        let device = u32::try_from(noise(message + 1) % 70).unwrap();
        let point = u16::try_from(noise(turn + 2) % 3).unwrap();
        let fresh = sample(device, point, at, f64::from(turn % 50));
        samples.push(fresh);
        if turn % 31 == 0 {
            samples.push(fresh);
        }
    }
    samples
}

async fn check(store: &Running, samples: &[Sample], what: &str) {
    let newest = samples.iter().map(|sample| sample.at.0).max().unwrap();
    let oldest = samples.iter().map(|sample| sample.at.0).min().unwrap();
    let mut found = 0;
    for (device, points, from, to, limit) in [
        (3, vec![0, 1, 2], oldest, newest + 1, 1_000_000),
        (3, vec![0, 1, 2], oldest, newest + 1, 3),
        (64, vec![1], oldest, newest + 1, 1),
        (69, vec![0, 2], oldest + HOUR, newest - 10_000, 10),
        (11, vec![0, 1, 2], newest - 60_000, newest, 7),
        (500, vec![0, 1, 2], oldest, newest + 1, 10),
    ] {
        let query = SampleQuery {
            device: DeviceIndex(device),
            points: points.into_iter().map(PointNumber).collect::<BTreeSet<_>>(),
            from: Timestamp(from),
            to: Timestamp(to),
            limit,
        };
        let expected = naive(samples, &query);
        assert_eq!(paged(store, &query).await, expected, "{what}: {query:?}");
        found += expected.len();
    }
    assert!(found > 100, "there was something to find");
    let all: BTreeSet<DeviceIndex> = (0..70).map(DeviceIndex).collect();
    let latest = store.reader.latest(all).await.unwrap();
    assert_eq!(latest.len(), 70);
    for (device, latest) in latest {
        for sample in latest {
            let newest = samples
                .iter()
                .filter(|other| other.device == device && other.point == sample.point)
                .map(|other| other.at)
                .max();
            assert_eq!(Some(sample.at), newest, "{what}: {device:?}");
        }
    }
}

#[tokio::test]
async fn a_devices_past_is_the_same_before_and_after_it_is_sorted() {
    let folder = folder();
    let mut store = Running::start_copied(folder.path(), keeping_free(0), 0);
    // Hours old, all of it: the stretch is closed, and sorted at the next look. A follower that has copied nothing keeps the
    // rows that are sorted.
    let mut samples = scattered(clock::wall().0 - 12 * HOUR, 4_000);
    commit(&mut store, &samples, 70).await;
    check(&store, &samples, "at any state of sorting").await;
    let looker = connection(folder.path());
    eventually("it is sorted", || count(&looker, "segment") > 0).await;
    eventually("all of it", || {
        looker
            .query_row(
                "SELECT (SELECT max(last_row) FROM segment) = (SELECT max(row) FROM history)",
                [],
                |row| row.get(0),
            )
            .unwrap()
    })
    .await;
    let unsorted: Vec<Sample> = scattered(clock::wall().0, 500)
        .into_iter()
        .map(|sample| Sample {
            at: Timestamp(sample.at.0.max(clock::wall().0)),
            ..sample
        })
        .collect();
    commit(&mut store, &unsorted, 40).await;
    samples.extend(unsorted);
    check(&store, &samples, "a part sorted, a part not").await;
    store.stop();

    // What an earlier run did not finish is made anew, and counts for nothing until then.
    looker
        .execute_batch("DELETE FROM segment WHERE number = (SELECT max(number) FROM segment)")
        .unwrap();
    let store = Running::start_copied(folder.path(), keeping_free(0), 0);
    check(&store, &samples, "after a crash between two slices").await;
    eventually("it is sorted again", || count(&looker, "segment") > 0).await;
    check(&store, &samples, "sorted again").await;
    store.stop();
}

#[tokio::test]
async fn a_damaged_row_takes_no_other_with_it() {
    let folder = folder();
    let mut store = Running::start_copied(folder.path(), keeping_free(0), 0);
    let now = clock::wall().0;
    let samples = [1_i64, 2, 3].map(|at| sample(0, 0, now + at, 1.0));
    commit(&mut store, &samples, 1).await;
    let looker = connection(folder.path());
    looker
        .execute(
            "UPDATE history SET samples = x'0102030405060708' WHERE row = 2",
            [],
        )
        .unwrap();
    let query = SampleQuery {
        device: DeviceIndex(0),
        points: BTreeSet::from([PointNumber(0)]),
        from: Timestamp(now),
        to: Timestamp(now + 10),
        limit: 10,
    };
    assert_eq!(paged(&store, &query).await, [samples[0], samples[2]]);
    store.stop();
}

/// Devices in two venues, and a point.
fn town(point: &HistoryPoint) -> Batch {
    let keys = [
        ("v2", "gas", "a"),
        ("v1", "gas", "b"),
        ("v1", "gas", "a"),
        ("v1", "valve", "a"),
    ];
    let seen = (0_u32..)
        .zip(keys)
        .map(|(number, (venue, kind, device))| SeenDevice {
            number: DeviceIndex(number),
            key: DeviceKey {
                venue: venue.to_owned(),
                kind: kind.to_owned(),
                device: device.to_owned(),
            },
            at: Timestamp(5),
        });
    Batch {
        seen: seen.collect(),
        points: vec![point.clone()],
        ..batch(0, 1)
    }
}

/// Of this venue, of this kind, with this id; a hyphen stands for any.
fn filter([venue, kind, device]: [&str; 3]) -> DeviceFilter {
    let word = |text: &str| (text != "-").then(|| text.to_owned());
    DeviceFilter {
        venue: word(venue),
        kind: word(kind),
        device: word(device),
        after: None,
        limit: 10,
    }
}

#[tokio::test]
async fn devices_are_listed_by_venue_kind_and_id() {
    let folder = folder();
    let mut store = Running::start_copied(folder.path(), keeping_free(0), 0);
    let point = HistoryPoint {
        number: PointNumber(0),
        kind: "gas".to_owned(),
        point: "lel".to_owned(),
        value: ValueType::Bool,
    };
    store.commit(town(&point)).await;
    assert_eq!(store.reader.points().await.unwrap(), [point]);
    let after = DeviceKey {
        venue: "v1".to_owned(),
        kind: "gas".to_owned(),
        device: "b".to_owned(),
    };
    let behind = DeviceFilter {
        after: Some(after),
        ..filter(["-", "-", "-"])
    };
    for (filter, numbers) in [
        (filter(["-", "-", "-"]), vec![2, 1, 3, 0]),
        (filter(["v1", "-", "-"]), vec![2, 1, 3]),
        (filter(["-", "gas", "-"]), vec![2, 1, 0]),
        (filter(["-", "-", "a"]), vec![2, 3, 0]),
        (filter(["v1", "valve", "a"]), vec![3]),
        (filter(["v3", "-", "-"]), vec![]),
        (behind, vec![3, 0]),
    ] {
        let found = store.reader.devices(filter.clone()).await.unwrap();
        let found: Vec<u32> = found.iter().map(|device| device.number.0).collect();
        assert_eq!(found, numbers, "{filter:?}");
        let first = DeviceFilter { limit: 1, ..filter };
        let first = store.reader.devices(first).await.unwrap();
        assert_eq!(first.len(), numbers.len().min(1));
    }
    let venues: Vec<_> = store.reader.venues().await.unwrap().into_iter().collect();
    assert_eq!(venues, [("v1".to_owned(), 3), ("v2".to_owned(), 1)]);
    store.stop();
}
