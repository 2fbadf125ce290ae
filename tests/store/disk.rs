//! A disk that runs full: telemetry is shed, alarms go on in the space kept for them, and what cannot be committed is not
//! acknowledged. On a small tmpfs.

use std::fs;

use ninewatch::domain::device::DeviceIndex;
use ninewatch::domain::history::{PointNumber, Sample};
use ninewatch::domain::time::Timestamp;
use ninewatch::handoff::{StoreTrouble, Work};

use crate::fixture::{Running, batch, connection, count, dead_letter, eventually, raised, receipt};
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

#[tokio::test]
async fn a_disk_filled_by_another_program_sheds_telemetry_and_takes_alarms() {
    let disk = Tmpfs::mount(100);
    let mut running = Running::start_on(disk.path(), RESERVE);
    let ballast = disk.path().join("ninewatch.ballast");
    eventually("space is kept for alarms", || ballast.exists()).await;
    running.commit(batch(0, 1)).await;
    disk.fill();
    let mut input = 1;
    while !running.health.store_condition().disk_low || running.metrics.shed_payloads.get() == 0 {
        assert!(input < 10_000, "it is noticed");
        let mut batch = batch(input, 1);
        batch.samples.push(&sample(1)).expect("it is packed");
        batch.dead_letters.push(dead_letter(b"rubbish"));
        running.commit(batch).await;
        input += 1;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
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
    let started = ninewatch::clock::monotonic();
    while !condition(running) {
        assert!(started.elapsed().as_secs() < 30, "it never came true");
        running.commit(batch(*input, 1)).await;
        *input += 1;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn when_nothing_can_be_committed_nothing_is_acknowledged_until_there_is_space() {
    let disk = Tmpfs::mount(20);
    let mut running = Running::start_on(disk.path(), 1_000_000);
    let ballast = disk.path().join("ninewatch.ballast");
    eventually("space is kept for alarms", || ballast.exists()).await;
    disk.fill();
    let (mut sent, mut answered) = (0_u16, 0);
    while running.health.store_condition().failed.is_none() {
        assert!(sent < 1_000, "the disk is full at last");
        let mut batch = batch(u64::from(sent) * 2_000, 2_000);
        batch.receipts.push(receipt(sent));
        if running.works.capacity() > 0 {
            running.send(batch).await;
            sent += 1;
        }
        while let Ok(receipts) = running.receipts.try_recv() {
            answered += receipts.len();
        }
        // What another program leaves behind it takes as well.
        disk.fill();
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
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
