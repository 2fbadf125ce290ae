//! What a start finds of the last run, and what the event chain shows.

use std::fs;

use ninewatch::handoff::StoredDefinitions;
use ninewatch::store::{Fault, Hash, Store, StoreError, Verified, verify};

use crate::fixture::{Running, batch, connection, dead_letter, folder, id, moment, raised};

#[tokio::test]
async fn everything_committed_comes_back() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    assert!(running.recovered.checkpoint.is_none() && running.recovered.last.is_none());
    let mut first = batch(0, 3);
    first.definitions = vec![StoredDefinitions {
        hash: [7; 32],
        source: "{}".to_owned(),
    }];
    first.dead_letters.push(dead_letter(b"?"));
    running.commit(first).await;
    let mut second = batch(3, 2);
    second.alarms.push(raised(1, &["duty"]));
    second.checkpoint = Some(vec![1, 2, 3]);
    running.commit(second).await;
    let mut third = batch(5, 4);
    third.last = moment(2_000_000_000_000);
    running.commit(third).await;
    running.stop();
    assert!(
        !folder.path().join("ninewatch.db-wal").exists(),
        "a clean end leaves one file"
    );

    let (store, recovered) = Store::open(folder.path()).expect("it opens again");
    let checkpoint = recovered.checkpoint.expect("there is a checkpoint");
    assert_eq!((checkpoint.next_input, checkpoint.state), (5, vec![1, 2, 3]));
    let rows: Vec<_> = recovered
        .journal
        .iter()
        .map(|row| (row.first_input, row.entries.len()))
        .collect();
    assert_eq!(rows, [(5, 160)]);
    assert_eq!(recovered.last, Some(moment(2_000_000_000_000)));
    assert_eq!(
        store.definitions(&[7; 32]).expect("it reads"),
        Some("{}".to_owned())
    );
    assert_eq!(store.definitions(&[8; 32]).expect("it reads"), None);
    let reader = store.reader().expect("a reader starts");
    let events = reader.events(0, 10).await.expect("it reads");
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].seq, events[0].hash.len()), (1, 64));
    assert!(reader.events(1, 10).await.expect("it reads").is_empty());
    let alarm = reader.alarm(id(1)).await.expect("it reads");
    assert!(alarm.is_some());
    assert_eq!(reader.pending_count("duty").await.expect("it reads"), 1);
    let letters = reader.dead_letters(0, 10).await.expect("it reads");
    assert_eq!(
        (letters[0].reason.as_str(), letters[0].size),
        ("unknown_topic", 1)
    );
}

#[tokio::test]
async fn what_was_committed_survives_a_kill() {
    let (folder, copy) = (folder(), crate::fixture::folder());
    let mut running = Running::start(folder.path());
    for round in 0..20 {
        let mut batch = batch(round, 1);
        batch.alarms.push(raised(round + 1, &["duty"]));
        running.commit(batch).await;
    }
    // What a killed process leaves: the files as they are, no close, the log not moved.
    for file in ["ninewatch.db", "ninewatch.db-wal"] {
        fs::copy(folder.path().join(file), copy.path().join(file)).expect("the file can be copied");
    }
    let (store, recovered) = Store::open(copy.path()).expect("it opens");
    assert_eq!(recovered.journal.len(), 20);
    let reader = store.reader().expect("a reader starts");
    assert_eq!(reader.pending_count("duty").await.expect("it reads"), 20);
    assert!(matches!(
        verify(copy.path()),
        Ok(Verified::Intact { events: 20, .. })
    ));
    running.stop();
}

#[tokio::test]
async fn the_chain_is_intact_and_goes_on_after_a_restart() {
    let folder = folder();
    for round in 0..2 {
        let mut running = Running::start(folder.path());
        let mut batch = batch(round, 1);
        batch.alarms = (1..=5).map(|alarm| raised(round * 10 + alarm, &[])).collect();
        running.commit(batch).await;
        let running_too = verify(folder.path()).expect("it can be read while a gateway runs");
        assert!(matches!(running_too, Verified::Intact { .. }), "{running_too:?}");
        running.stop();
    }
    let verified = verify(folder.path()).expect("it can be read");
    let last: [u8; 32] = connection(folder.path())
        .query_row("SELECT hash FROM event WHERE seq = 10", [], |row| row.get(0))
        .expect("the tenth event");
    assert_eq!(
        verified,
        Verified::Intact {
            events: 10,
            last: Hash(last)
        }
    );
}

#[tokio::test]
async fn a_changed_and_a_missing_event_break_the_chain_at_their_place() {
    let folder = folder();
    let mut running = Running::start(folder.path());
    let mut batch = batch(0, 1);
    batch.alarms = (1..=9).map(|alarm| raised(alarm, &[])).collect();
    running.commit(batch).await;
    running.stop();
    let beside = connection(folder.path());
    beside
        .execute("DELETE FROM event WHERE seq = 7", [])
        .expect("the event goes");
    let missing = verify(folder.path()).expect("it can be read");
    let fault = Fault::Missing { next: 8 };
    assert_eq!(missing, Verified::Broken { seq: 7, fault });
    beside
        .execute(
            "UPDATE event SET body = replace(body, 'raised', 'raiseD') WHERE seq = 4",
            [],
        )
        .expect("the event changes");
    let changed = verify(folder.path()).expect("it can be read");
    assert!(
        matches!(
            changed,
            Verified::Broken {
                seq: 4,
                fault: Fault::Hash { .. }
            }
        ),
        "{changed:?}"
    );
}

#[test]
fn an_empty_chain_is_intact_and_a_missing_database_is_not() {
    let folder = folder();
    assert!(matches!(verify(folder.path()), Err(StoreError::NoDatabase(_))));
    drop(Store::open(folder.path()).expect("it opens"));
    let last = Hash([0; 32]);
    assert_eq!(
        verify(folder.path()).expect("it can be read"),
        Verified::Intact { events: 0, last }
    );
}
