//! What a target has refused: nothing waits for it, and it comes back.

use super::super::refused::REFUSALS;
use super::*;

#[test]
fn what_its_readers_cannot_be_reached_with_holds_up_nothing_of_its_alarm() {
    let mut schedule = schedule([notice(1, 7), notice(2, 7)]);
    let refused = schedule.next(Ticks(0)).unwrap();
    assert_eq!(rows(&mut schedule, 0), NONE, "one after the other");
    let failed = schedule.failed(refused, Fault::Reader, Ticks(0));
    assert_eq!(rows(&mut schedule, 0), [2], "the next goes at once");
    schedule.delivered(&one(2, 7), Ticks(0));
    assert_eq!(rows(&mut schedule, failed.wait.0), [1], "and it is tried again");
    schedule.admit(notice(3, 7), at(failed.wait.0));
    assert_eq!(rows(&mut schedule, failed.wait.0), [3]);
    schedule.delivered(&one(3, 7), Ticks(failed.wait.0));
    schedule.delivered(&one(1, 7), Ticks(failed.wait.0));
    assert_eq!(schedule.room(false), WINDOW);
    assert!(schedule.lines.is_empty());
    assert_eq!(schedule.refused().count(), 0);
}

#[test]
fn of_a_digest_that_does_not_reach_all_each_is_tried_alone() {
    let mut schedule = of(
        &robot(),
        (1..=5).map(|row| urgent(row, 7 + u128::try_from(row % 2).unwrap())),
    );
    let digest = schedule
        .next(Ticks(0))
        .map(|parcel| parcel.into_notices().collect::<Vec<_>>());
    let digest = Parcel::of(digest.unwrap()).unwrap();
    let count = digest.count();
    let failed = schedule.failed(digest, Fault::Reader, Ticks(0));
    let alone: Vec<usize> = std::iter::from_fn(|| schedule.next(Ticks(failed.wait.0)))
        .map(|parcel| parcel.count())
        .collect();
    assert!(
        !alone.is_empty() && alone.iter().all(|count| *count == 1),
        "{alone:?} of {count}"
    );
}

#[test]
fn what_is_refused_for_good_leaves_room_for_what_is_critical() {
    let mut schedule = Schedule::new(&Manners::default());
    let mut now = 0;
    for row in 1..=1_100 {
        assert!(schedule.room(true) > 0, "no room for {row}");
        schedule.admit(urgent(row, 1_000_000 + u128::from(row.unsigned_abs())), at(now));
        while let Some(parcel) = schedule.next(Ticks(now)) {
            schedule.failed(parcel, Fault::Notice, Ticks(now));
        }
        now += 1;
    }
    now += 3_600_000;
    schedule.admit(urgent(2_000, 2_000_000), at(now));
    assert_eq!(next_rows(&mut schedule, now), [2_000], "refused ones go after it");
    schedule.delivered(&Parcel::single(urgent(2_000, 2_000_000)), Ticks(now));
    for _ in 0..REFUSALS {
        while let Some(parcel) = schedule.next(Ticks(now)) {
            schedule.failed(parcel, Fault::Notice, Ticks(now));
        }
        now += LONGEST_WAIT.0;
    }
    assert_eq!(schedule.room(true), WINDOW);
    assert!(schedule.lines.is_empty() && schedule.unwanted.is_empty());
    assert_eq!(schedule.refused().count(), 1_100);
}

#[test]
fn what_follows_in_an_alarm_does_not_wait_for_what_is_refused() {
    let mut schedule = schedule([notice(1, 7), notice(2, 7)]);
    assert_eq!(rows(&mut schedule, 0), [1], "one after the other");
    let failed = schedule.failed(one(1, 7), Fault::Notice, Ticks(0));
    assert_eq!(rows(&mut schedule, 0), [2]);
    schedule.delivered(&one(2, 7), Ticks(0));
    assert_eq!(rows(&mut schedule, failed.wait.0), [1], "and it is tried again");
}

#[test]
fn what_waits_behind_refused_ones_takes_no_place_from_what_is_new() {
    for followers in 1..=3 {
        let mut schedule = Schedule::new(&Manners::default());
        let mut row = 0;
        let refuse = |schedule: &mut Schedule| {
            while let Some(parcel) = schedule.next(Ticks(0)) {
                schedule.failed(parcel, Fault::Notice, Ticks(0));
            }
        };
        // A refused row stands in a line of its number: alarms have far greater ids.
        for alarm in 1_000_001..=1_002_000 {
            for _ in 0..=followers {
                row += 1;
                assert!(schedule.room(true) > 0, "no room for row {row}");
                schedule.admit(urgent(row, alarm), at(0));
            }
            refuse(&mut schedule);
        }
        schedule.admit(urgent(row + 1, 2_000_000), at(0));
        assert_eq!(next_rows(&mut schedule, 0), [row + 1]);
        assert_eq!(schedule.refused().count(), row.unsigned_abs());
        assert_eq!(schedule.room(true), WINDOW - 1);
        assert!(schedule.lines.len() <= 513, "what is put away is out of memory");
    }
}

#[test]
fn what_was_refused_before_a_restart_takes_no_place_from_what_is_new() {
    let mut schedule = Schedule::new(&Manners::default());
    schedule.refused().remember(2_000);
    for row in 1..=2_000 {
        assert!(schedule.room(true) > 0, "no room for {row}");
        let before = PendingNotice {
            refused: true,
            attempts: 12,
            due_at: Timestamp(1_000_000 + 600_000),
            ..urgent(row, 1_000_000 + u128::from(row.unsigned_abs()))
        };
        schedule.admit(before, at(0));
    }
    assert_eq!((schedule.room(true), schedule.refused().count()), (WINDOW, 2_000));
    let leaving: Vec<i64> = (513..=2_000).collect();
    assert_eq!(schedule.refused().take_leaving(), leaving);
    schedule.admit(urgent(2_001, 2_000_000), at(0));
    assert_eq!(rows(&mut schedule, 0), [2_001]);
    assert_eq!(rows(&mut schedule, LONGEST_WAIT.0).len(), 512);
}

#[test]
fn what_is_put_away_comes_back_from_the_store_for_one_attempt() {
    let mut schedule = schedule([notice(1, 7)]);
    let mut now = 0;
    for _ in 0..REFUSALS {
        assert_eq!(schedule.refused().take_leaving(), NONE);
        let parcel = schedule.next(Ticks(now)).unwrap();
        now += schedule.failed(parcel, Fault::Notice, Ticks(now)).wait.0;
    }
    assert_eq!(schedule.next(Ticks(now)), None);
    let back = |row| PendingNotice {
        refused: true,
        attempts: REFUSALS,
        due_at: at(0).wall,
        ..notice(row, 7)
    };
    for row in 1..4 {
        assert_eq!(schedule.refused().take_leaving(), [row]);
        assert_eq!(schedule.refused().take_leaving(), NONE, "once");
        assert_eq!(schedule.refused().count(), 1);
        now += AGAIN.0;
        schedule.admit(back(row + 1), at(now));
        let parcel = schedule.next(Ticks(now)).unwrap();
        let failed = schedule.failed(parcel, Fault::Notice, Ticks(now));
        assert_eq!((failed.put_away, failed.wait), (1, AGAIN));
    }
    schedule.refused().take_leaving();
    schedule.admit(back(5), at(now));
    let parcel = schedule.next(Ticks(now)).unwrap();
    schedule.delivered(&parcel, Ticks(now));
    assert_eq!((schedule.refused().count(), schedule.room(false)), (0, WINDOW));
    assert!(schedule.lines.is_empty());
}

#[test]
fn one_refusal_does_not_put_what_is_urgent_behind_a_backlog() {
    let mut schedule = of(&robot(), [urgent(1, 7)]);
    let parcel = schedule.next(Ticks(0)).unwrap();
    let wait = schedule.failed(parcel, Fault::Notice, Ticks(0)).wait.0;
    for row in 2..100 {
        schedule.admit(notice(row, 1_000_000 + u128::from(row.unsigned_abs())), at(wait));
    }
    // The others still wait for company.
    let now = wait + 10_000;
    assert_eq!(next_rows(&mut schedule, now), [1], "in its turn, and alone");
    let digest = schedule.next(Ticks(now + 10_000)).unwrap();
    assert_eq!(digest.count(), 98, "and no digest has it");
}

#[test]
fn where_what_is_urgent_has_a_place_of_its_own_its_digests_have_nothing_else() {
    let manners = Manners {
        at_once: 2,
        for_urgent: 1,
        limits: Vec::new(),
        gather: Some(Millis::ZERO),
        ..robot()
    };
    let notices = (1..=40).map(|row: i64| {
        let alarm = 1_000_000 + u128::from(row.unsigned_abs());
        if row <= 30 {
            notice(row, alarm)
        } else {
            urgent(row, alarm)
        }
    });
    let mut schedule = of(&manners, notices);
    let first = schedule.next(Ticks(0)).unwrap();
    assert_eq!(first.count(), 10);
    assert!(first.notices().all(|notice| notice.urgent));
    assert_eq!(schedule.next(Ticks(0)).unwrap().count(), 30);
}
