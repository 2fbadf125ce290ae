//! A disk that runs full: telemetry is shed, alarms go on in the space kept for them, and what cannot be committed is not
//! acknowledged. On a small tmpfs.

use std::fs;

use ninewatch::domain::device::DeviceIndex;
use ninewatch::domain::history::{HistoryPoint, PointNumber, Sample, samples};
use ninewatch::domain::kind::{ONLINE_NAME, ValueType};
use ninewatch::domain::time::Timestamp;
use ninewatch::handoff::{StoreTrouble, Work};

use crate::fixture::{
    DEADLINE, Running, batch, connection, count, dead_letter, eventually, raised, receipt, waiting,
};
use crate::tmpfs::Tmpfs;

const RESERVE: u64 = 4_000_000;

fn sample(at: i64) -> Sample {
    Sample {
        device: DeviceIndex(1),
        point: PointNumber(1),
        at: Timestamp(at),
        value: 1.0,
    }
}

fn point(number: u16, id: &str) -> HistoryPoint {
    HistoryPoint {
        number: PointNumber(number),
        kind: "gas_detector".to_owned(),
        point: id.to_owned(),
        value: ValueType::Bool,
    }
}

#[tokio::test]
async fn a_disk_filled_by_another_program_sheds_telemetry_and_takes_alarms() {
    let disk = Tmpfs::mount(100);
    let mut running = Running::start_on(disk.path(), RESERVE);
    let ballast = disk.path().join("ninewatch.ballast");
    eventually("space is kept for alarms", || ballast.exists()).await;
    running.commit(batch(0, 1)).await;
    disk.fill();
    let mut input = 1;
    waiting::eventually("it is noticed", DEADLINE, async || {
        let mut batch = batch(input, 1);
        batch.samples.push(&sample(1)).expect("it is packed");
        batch.dead_letters.push(dead_letter(b"rubbish"));
        running.commit(batch).await;
        input += 1;
        let low = running.health.store_condition().disk_low;
        (low && running.metrics.shed_payloads.get() > 0).then_some(())
    })
    .await;
    while !running.health.store_condition().disk_full {
        assert!(input < 10_000, "the kept space is needed");
        let mut batch = batch(input, 500);
        batch.alarms.push(raised(input, &["duty"]));
        running.commit(batch).await;
        input += 500;
    }
    assert!(running.health.store(), "it commits");
    assert_eq!(running.health.store_condition().failed, None);
    assert!(running.metrics.shed_samples.get() > 0);
    let rest = fs::metadata(&ballast).expect("not all at once").len();
    assert!(rest > 0 && rest < RESERVE, "{rest} bytes are still kept");
    let pending = running.reader.pending_count("duty").await.expect("it reads");
    disk.empty();
    let mut quiet = input;
    eventually_committing(&mut running, &mut quiet, |running| {
        let condition = running.health.store_condition();
        !condition.disk_low && !condition.disk_full
    })
    .await;
    assert_eq!(fs::metadata(&ballast).expect("it is made again").len(), RESERVE);
    let shed = running.metrics.shed_samples.get();
    let mut kept = batch(quiet, 1);
    kept.samples.push(&sample(2)).expect("it is packed");
    running.commit(kept).await;
    assert_eq!(
        running.metrics.shed_samples.get(),
        shed,
        "nothing is shed any more"
    );
    let beside = connection(disk.path());
    let newest: i64 = beside
        .query_row("SELECT max(from_at) FROM history", [], |row| row.get(0))
        .expect("there is one");
    assert_eq!(newest, 2);
    assert_eq!(count(&beside, "outbox"), i64::try_from(pending).expect("few"));
    let whole: i64 = beside
        .query_row("SELECT sum(inputs) FROM journal", [], |row| row.get(0))
        .expect("there are some");
    assert_eq!(
        whole,
        i64::try_from(quiet + 1).expect("few"),
        "no acknowledged input is missing"
    );
    drop(beside);
    running.stop();
}

/// Commits batch after batch until `condition` holds.
async fn eventually_committing(running: &mut Running, input: &mut u64, condition: impl Fn(&Running) -> bool) {
    waiting::eventually("it comes true", DEADLINE, async || {
        running.commit(batch(*input, 1)).await;
        *input += 1;
        condition(running).then_some(())
    })
    .await;
}

#[tokio::test]
async fn whether_a_device_is_there_is_kept_while_all_other_samples_are_shed() {
    let disk = Tmpfs::mount(100);
    let mut running = Running::start_on(disk.path(), RESERVE);
    let mut first = batch(0, 1);
    first.points = vec![point(1, "lel"), point(2, ONLINE_NAME)];
    running.commit(first).await;
    disk.fill();
    let mut input = 1;
    eventually_committing(&mut running, &mut input, |running| {
        running.health.store_condition().disk_low
    })
    .await;
    let mut shed = batch(input, 1);
    shed.samples.push(&sample(1)).expect("it is packed");
    let gone = Sample {
        point: PointNumber(2),
        value: 0.0,
        ..sample(2)
    };
    shed.samples.push(&gone).expect("it is packed");
    running.commit(shed).await;
    assert_eq!(running.metrics.shed_samples.get(), 1);
    let beside = connection(disk.path());
    let kept: Vec<u8> = beside
        .query_row("SELECT samples FROM history", [], |row| row.get(0))
        .expect("one row is kept");
    drop(beside);
    // Behind the seal: a byte for the form and four of the checksum.
    let kept: Vec<Sample> = samples(&kept[5..])
        .map(|sample| sample.expect("it is whole"))
        .collect();
    assert_eq!(kept, [gone], "the device that has gone is shown as gone");
    running.stop();
}

#[tokio::test]
async fn when_nothing_can_be_committed_nothing_is_acknowledged_until_there_is_space() {
    let disk = Tmpfs::mount(20);
    let mut running = Running::start_on(disk.path(), 1_000_000);
    let ballast = disk.path().join("ninewatch.ballast");
    eventually("space is kept for alarms", || ballast.exists()).await;
    disk.fill();
    let (mut sent, mut answered) = (0_u16, 0);
    waiting::eventually("the disk is full at last", DEADLINE, async || {
        while running.works.capacity() > 0 && running.health.store_condition().failed.is_none() {
            let mut batch = batch(u64::from(sent) * 2_000, 2_000);
            batch.receipts.push(receipt(sent));
            running.send(batch).await;
            sent += 1;
        }
        while let Ok(receipts) = running.receipts.try_recv() {
            answered += receipts.len();
        }
        // What another program leaves behind it takes as well.
        disk.fill();
        running.health.store_condition().failed.map(drop)
    })
    .await;
    assert_eq!(running.health.store_condition().failed, Some(StoreTrouble::Full));
    assert!(!running.health.store() && !ballast.exists());
    let tries = running.metrics.store_errors.get();
    eventually("it goes on trying", || {
        running.metrics.store_errors.get() > tries + 1
    })
    .await;
    while let Ok(receipts) = running.receipts.try_recv() {
        answered += receipts.len();
    }
    assert!(answered < usize::from(sent), "something waits");
    disk.empty();
    while answered < usize::from(sent) {
        answered += running.next_receipts().await.len();
    }
    assert!(running.health.store());
    assert_eq!(
        running.health.store_condition().failed,
        Some(StoreTrouble::Full),
        "one success is not the end of it"
    );
    // As the gateway does while no device speaks.
    eventually("all is well", || {
        let _ = running.works.try_send(Work::Batch(Box::default()));
        running.health.store_condition().failed.is_none()
    })
    .await;
    let beside = connection(disk.path());
    assert_eq!(count(&beside, "journal"), i64::from(sent));
    drop(beside);
    running.stop();
}

#[tokio::test]
async fn a_start_on_a_full_disk_uses_the_space_that_was_kept() {
    let disk = Tmpfs::mount(20);
    let mut running = Running::start_on(disk.path(), 1_000_000);
    let ballast = disk.path().join("ninewatch.ballast");
    eventually("space is kept for alarms", || ballast.exists()).await;
    running.commit(batch(0, 1)).await;
    running.stop();
    disk.fill();
    let mut running = Running::start_on(disk.path(), 1_000_000);
    assert!(running.recovered.last.is_some());
    running.commit(batch(1, 1)).await;
    running.stop();
}
