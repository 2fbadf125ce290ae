//! The checkpoint in parts: when it becomes valid, and what becomes of one that never does.

#![expect(
    clippy::expect_used,
    reason = "a fixture that cannot be set up fails its test"
)]

use ninewatch::handoff::CheckpointHead;
use ninewatch::store::{Checkpoint, History, PART_BYTES, Store, StoreError};

use crate::fixture::{Running, batch, connection, count, eventually, folder, moment};

fn head(next_input: u64, bytes: u64, parts: u32) -> CheckpointHead {
    CheckpointHead {
        next_input,
        at: moment(1_767_225_600_000),
        bytes,
        parts,
    }
}

fn valid(history: &History) -> Option<Checkpoint> {
    history.checkpoint().expect("it reads")
}

#[tokio::test]
async fn a_checkpoint_is_valid_from_its_last_part_on_and_the_one_before_it_goes() {
    let folder = folder();
    let running = Running::start(folder.path());
    let history = History::open(folder.path()).expect("it opens");
    running.write_part((1, 0), b"old", Some(head(7, 3, 1))).await;
    assert_eq!(valid(&history).expect("it is valid").state, b"old");
    running.write_part((2, 0), b"new ", None).await;
    assert_eq!(valid(&history).expect("the old one still is").state, b"old");
    running.write_part((2, 1), b"state", Some(head(9, 9, 2))).await;
    let checkpoint = valid(&history).expect("it is valid");
    assert_eq!((checkpoint.generation, checkpoint.next_input), (2, 9));
    assert_eq!(
        (checkpoint.state.as_slice(), checkpoint.at),
        (&b"new state"[..], moment(1_767_225_600_000))
    );
    running.stop();
    let running = Running::start(folder.path());
    assert_eq!(running.recovered.checkpointed, 9);
    assert_eq!(running.recovered.last, Some(moment(1_767_225_600_000)));
    let beside = connection(folder.path());
    eventually("the parts of the old one are gone", || {
        count(&beside, "checkpoint_part") == 2
    })
    .await;
    running.stop();
}

#[tokio::test]
async fn an_unfinished_checkpoint_is_never_read_and_a_start_deletes_it() {
    let folder = folder();
    let running = Running::start(folder.path());
    running.write_part((1, 0), b"whole", Some(head(7, 5, 1))).await;
    running.write_part((2, 0), b"torn", None).await;
    // The last part is there, one before it is not.
    running.write_part((2, 2), b"torn", Some(head(9, 12, 3))).await;
    running.stop();
    let history = History::open(folder.path()).expect("it opens");
    assert_eq!(valid(&history).expect("the whole one").state, b"whole");
    drop(Store::open(folder.path()).expect("it opens"));
    assert_eq!(count(&connection(folder.path()), "checkpoint_part"), 1);
    assert_eq!(valid(&history).expect("the whole one").state, b"whole");
}

#[tokio::test]
async fn the_checkpoint_of_a_stop_overtakes_the_one_in_the_making() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    let large: Vec<u8> = (0..=250).cycle().take(2 * PART_BYTES + 1).collect();
    running.write_part((1, 0), b"slow ", None).await;
    let mut last = batch(0, 4);
    last.checkpoint = Some(large.clone());
    running.commit(last).await;
    running.write_part((1, 1), b"slow", Some(head(2, 9, 2))).await;
    let history = History::open(folder.path()).expect("it opens");
    let checkpoint = valid(&history).expect("that of the stop");
    assert_eq!((checkpoint.generation, checkpoint.next_input), (1, 4));
    assert!(checkpoint.state == large, "no late part has fallen among its own");
    running.stop();
}

#[tokio::test]
async fn a_damaged_or_missing_part_is_said_and_not_believed() {
    for harm in [
        // The seal of other bytes.
        "UPDATE checkpoint_part SET state = x'01000000007374617465' WHERE part = 1",
        "DELETE FROM checkpoint_part WHERE part = 1",
        "UPDATE checkpoint SET bytes = bytes + 1",
    ] {
        let folder = folder();
        let running = Running::start(folder.path());
        running.write_part((1, 0), b"new ", None).await;
        running.write_part((1, 1), b"state", Some(head(9, 9, 2))).await;
        running.stop();
        let harmed = connection(folder.path()).execute(harm, []);
        assert_eq!(harmed.expect("it is harmed"), 1, "{harm}");
        let history = History::open(folder.path()).expect("it opens");
        let refused = history.checkpoint().expect_err(harm);
        assert!(matches!(refused, StoreError::Damaged { .. }), "{harm}: {refused}");
    }
}
