//! What a schedule sends when: in which order, alone or together, and when again.

mod hour;
mod refused;

use super::super::parcel::Limit;
use super::wait::back_off;
use super::*;
use crate::domain::directions::Recipient;
use crate::domain::officer::{Contact, Language};
use crate::domain::time::Timestamp;

const NONE: [i64; 0] = [];

fn notice(row: i64, alarm: u128) -> PendingNotice {
    PendingNotice {
        row,
        id: Id::from_bits(1_000 + u128::from(row.unsigned_abs())),
        alarm: Id::from_bits(alarm),
        body: String::new(),
        created_at: Timestamp(1_000_000),
        attempts: 0,
        due_at: Timestamp(0),
        critical: false,
        urgent: false,
        people: Vec::new(),
        refused: false,
    }
}

fn urgent(row: i64, alarm: u128) -> PendingNotice {
    PendingNotice {
        critical: true,
        urgent: true,
        ..notice(row, alarm)
    }
}

fn one(row: i64, alarm: u128) -> Parcel {
    Parcel::single(notice(row, alarm))
}

fn at(ms: u64) -> Moment {
    Moment {
        wall: Timestamp(1_000_000 + i64::try_from(ms).unwrap()),
        ticks: Ticks(ms),
    }
}

fn schedule(notices: impl IntoIterator<Item = PendingNotice>) -> Schedule {
    of(&Manners::default(), notices)
}

fn of(manners: &Manners, notices: impl IntoIterator<Item = PendingNotice>) -> Schedule {
    let mut schedule = Schedule::new(manners);
    for notice in notices {
        schedule.admit(notice, at(0));
    }
    schedule
}

/// Those of a chat robot: six messages a minute, two of them for what is urgent.
fn robot() -> Manners {
    Manners {
        at_once: 1,
        for_urgent: 0,
        limits: vec![Limit {
            messages: 6,
            window: Millis(60_000),
        }],
        reserve: 2,
        gather: Some(Millis(10_000)),
        ..Manners::default()
    }
}

fn rows(schedule: &mut Schedule, now: u64) -> Vec<i64> {
    let parcels = std::iter::from_fn(|| schedule.next(Ticks(now)));
    parcels.map(|parcel| parcel.first().row).collect()
}

fn next_rows(schedule: &mut Schedule, now: u64) -> Vec<i64> {
    let parcel = schedule.next(Ticks(now));
    let rows = |parcel: Parcel| parcel.notices().map(|notice| notice.row).collect();
    parcel.map_or_else(Vec::new, rows)
}

#[test]
fn one_alarm_goes_in_order_and_others_do_not_wait() {
    let mut schedule = schedule([notice(1, 1), notice(2, 1), notice(3, 2), notice(4, 1)]);
    assert_eq!(rows(&mut schedule, 0), [1, 3]);
    schedule.delivered(&one(1, 1), Ticks(0));
    assert_eq!(rows(&mut schedule, 0), [2]);
    schedule.delivered(&one(3, 2), Ticks(0));
    assert_eq!(rows(&mut schedule, 0), NONE);
    schedule.delivered(&one(2, 1), Ticks(0));
    assert_eq!(rows(&mut schedule, 0), [4]);
    schedule.delivered(&one(4, 1), Ticks(0));
    assert_eq!(schedule.room(false), WINDOW);
    assert!(schedule.lines.is_empty());
}

#[test]
fn a_failed_notice_holds_its_own_alarm_only() {
    let mut schedule = schedule([notice(1, 1), notice(2, 1), notice(3, 2)]);
    assert_eq!(rows(&mut schedule, 0), [1, 3]);
    let Failed { wait, .. } = schedule.failed(one(1, 1), Fault::Target, Ticks(0));
    schedule.delivered(&one(3, 2), Ticks(0));
    assert_eq!(schedule.next_due(Ticks(0)), Some(Ticks(wait.0)));
    assert_eq!(rows(&mut schedule, wait.0 - 1), NONE);
    assert_eq!(rows(&mut schedule, wait.0), [1]);
}

#[test]
fn a_notice_that_comes_while_its_alarm_is_on_its_way_waits() {
    let mut schedule = schedule([notice(1, 1)]);
    assert_eq!(rows(&mut schedule, 0), [1]);
    schedule.admit(notice(2, 1), at(0));
    assert_eq!(rows(&mut schedule, 0), NONE);
    schedule.delivered(&one(1, 1), Ticks(0));
    assert_eq!(rows(&mut schedule, 0), [2]);
}

#[test]
fn what_is_urgent_goes_first_but_not_before_its_own_alarms_past() {
    let mut schedule = schedule([notice(1, 1), notice(2, 2), urgent(3, 2), urgent(4, 3)]);
    assert_eq!(rows(&mut schedule, 0), [2, 4, 1]);
    schedule.delivered(&one(2, 2), Ticks(0));
    assert_eq!(rows(&mut schedule, 0), [3]);
}

#[test]
fn when_the_target_is_back_nothing_waits_out_a_long_back_off() {
    let mut tired = notice(1, 1);
    tired.attempts = 9;
    let mut schedule = schedule([tired.clone(), notice(2, 2)]);
    assert_eq!(rows(&mut schedule, 0), [1, 2]);
    let Failed { wait, .. } = schedule.failed(Parcel::single(tired), Fault::Target, Ticks(0));
    assert!(wait.0 > 200_000);
    schedule.delivered(&one(2, 2), Ticks(0));
    assert_eq!(rows(&mut schedule, 999), NONE);
    assert_eq!(rows(&mut schedule, 1_000), [1]);
}

#[test]
fn a_wall_clock_jump_neither_holds_nor_fires_a_retry() {
    let mut retry = notice(1, 1);
    retry.attempts = 3;
    retry.due_at = Timestamp(1_000_000 + 86_400_000);
    let mut far = schedule([retry.clone()]);
    assert_eq!(far.next_due(Ticks(0)), Some(Ticks(LONGEST_WAIT.0)));
    retry.due_at = Timestamp(1_000_000 + 3_000);
    let mut near = schedule([retry]);
    assert_eq!(rows(&mut near, 2_999), NONE);
    assert_eq!(rows(&mut near, 3_000), [1]);
    assert_eq!(rows(&mut far, LONGEST_WAIT.0), [1]);
}

#[test]
fn a_few_go_alone_and_many_as_one_with_the_urgent_first() {
    let mut few = of(
        &robot(),
        (1_i64..=3).map(|row| urgent(row, u128::from(row.unsigned_abs()))),
    );
    assert_eq!(next_rows(&mut few, 0), [1]);
    let many = (1_i64..=100).map(|row| {
        let alarm = u128::from(row.unsigned_abs());
        if row % 2 == 0 {
            urgent(row, alarm)
        } else {
            notice(row, alarm)
        }
    });
    let mut many = of(&robot(), many);
    // What is not urgent still waits for company.
    let digest = next_rows(&mut many, 0);
    assert_eq!(digest, (1..=50).map(|half| half * 2).collect::<Vec<i64>>());
    let rest = next_rows(&mut many, 10_000);
    assert_eq!(rest, (0..50).map(|half| half * 2 + 1).collect::<Vec<i64>>());
}

#[test]
fn what_is_not_urgent_waits_for_company_once() {
    let mut schedule = of(&robot(), [notice(1, 1), urgent(2, 2)]);
    assert_eq!(next_rows(&mut schedule, 0), [2]);
    assert_eq!(schedule.next_due(Ticks(0)), Some(Ticks(10_000)));
    schedule.admit(notice(3, 3), at(9_000));
    assert_eq!(next_rows(&mut schedule, 10_000), [1]);
}

#[test]
fn a_digest_tells_an_alarms_whole_story_and_ends_its_line() {
    let stories = (1..=5).flat_map(|alarm| {
        let row = i64::try_from(alarm * 10).unwrap();
        [urgent(row, alarm), notice(row + 1, alarm)]
    });
    let mut schedule = of(&robot(), stories);
    let digest = schedule.next(Ticks(0)).unwrap();
    assert_eq!(digest.count(), 10);
    assert!(digest.first().urgent);
    assert_eq!(schedule.next(Ticks(0)), None);
    schedule.delivered(&digest, Ticks(5));
    assert!(schedule.lines.is_empty());
    assert_eq!((schedule.room(true), schedule.room(false)), (WINDOW, WINDOW));
}

#[test]
fn a_failed_digest_comes_back_whole_and_in_order() {
    let mut schedule = of(
        &robot(),
        (1_i64..=9).map(|row| urgent(row, u128::from(row.unsigned_abs() / 2))),
    );
    let digest = schedule.next(Ticks(0)).unwrap();
    assert_eq!(digest.count(), 9);
    let Failed { wait, .. } = schedule.failed(digest, Fault::Target, Ticks(10));
    let again = schedule.next(Ticks(10 + wait.0)).unwrap();
    assert_eq!(again.count(), 9);
    assert!(again.notices().all(|notice| notice.attempts == 1));
    let rows: Vec<i64> = again.notices().map(|notice| notice.row).collect();
    assert_eq!(rows, (1..=9).collect::<Vec<i64>>());
}

/// Which of them it is, the target does not say: in ever smaller company the others get through, and it remains.
#[test]
fn one_notice_that_is_not_wanted_does_not_keep_the_others() {
    let mut schedule = of(
        &Manners {
            limits: Vec::new(),
            ..robot()
        },
        (1_i64..=64).map(|row| urgent(row, u128::from(row.unsigned_abs()))),
    );
    let (mut now, mut taken, mut poison) = (0, 0, 0);
    while taken < 63 {
        now = schedule.next_due(Ticks(now)).unwrap().0.max(now);
        let parcel = schedule.next(Ticks(now)).unwrap();
        if parcel.notices().any(|notice| notice.row == 40) {
            poison += 1;
            schedule.failed(parcel, Fault::Notice, Ticks(now));
        } else {
            taken += parcel.count();
            schedule.delivered(&parcel, Ticks(now));
        }
        assert!(poison < 30, "refused {poison} times, {taken} taken");
    }
    assert_eq!(schedule.room(true), WINDOW - 1);
}

#[test]
fn a_silenced_target_gets_nothing_until_its_time() {
    let mut schedule = of(&robot(), [urgent(1, 1), urgent(2, 2)]);
    let parcel = schedule.next(Ticks(0)).unwrap();
    schedule.failed(parcel, Fault::Throttled(Millis(600_000)), Ticks(100));
    assert_eq!(schedule.next(Ticks(500_000)), None);
    assert_eq!(schedule.next_due(Ticks(100)), Some(Ticks(600_100)));
    assert!(schedule.next(Ticks(600_100)).is_some());
}

#[test]
fn back_off_doubles_up_to_five_minutes_with_at_most_a_quarter_less() {
    let nominal = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300];
    for (failures, seconds) in (1..).zip(nominal) {
        let waits: Vec<u64> = (0..200)
            .map(|id| back_off(failures, Id::from_bits(id)).0)
            .collect();
        let full = seconds * 1_000;
        assert!(waits.iter().all(|wait| (full - full / 4..=full).contains(wait)));
        let spread = waits.iter().max().unwrap() - waits.iter().min().unwrap();
        assert!(
            spread > full / 8,
            "{failures} failures spread over {spread} ms only"
        );
    }
    assert!(back_off(u32::MAX, Id::from_bits(7)).0 <= LONGEST_WAIT.0);
}

/// Somebody with further channels.
fn person(officer: &str, next: &[&str]) -> Recipient {
    Recipient {
        officer: officer.to_owned(),
        name: officer.to_owned(),
        language: Language::Zh,
        contact: Contact::default(),
        next: next.iter().map(|target| (*target).to_owned()).collect(),
    }
}

fn to(people: &[Recipient], notice: PendingNotice) -> PendingNotice {
    PendingNotice {
        people: people.to_vec(),
        ..notice
    }
}

#[test]
fn a_target_that_takes_nothing_for_long_gives_its_people_to_the_next_one() {
    let wang = person("wang", &["mail", "phone"]);
    let mut schedule = schedule([to(&[wang], urgent(1, 1))]);
    let mut now = 0;
    let moved = loop {
        let parcel = schedule.next(Ticks(now)).expect("due");
        let failed = schedule.failed(parcel, Fault::Target, Ticks(now));
        if !failed.moved.is_empty() {
            break failed.moved;
        }
        assert!(now < 15_000, "{now}");
        now += failed.wait.0;
    };
    assert!(now >= 15_000);
    let expected = Moved {
        notice: 1,
        to: vec![("mail".to_owned(), vec![person("wang", &["phone"])])],
        left: None,
    };
    assert_eq!(moved, [expected]);
    assert_eq!(schedule.room(true), WINDOW);
    assert!(schedule.lines.is_empty() && schedule.urgent.is_empty());
}

#[test]
fn whoever_has_no_other_channel_stays() {
    let (wang, li) = (person("wang", &["mail"]), person("li", &[]));
    let mut schedule = schedule([to(&[wang, li.clone()], urgent(1, 1))]);
    let parcel = schedule.next(Ticks(0)).unwrap();
    let failed = schedule.failed(parcel, Fault::Configuration, Ticks(0));
    let expected = Moved {
        notice: 1,
        to: vec![("mail".to_owned(), vec![person("wang", &[])])],
        left: Some(vec![li.clone()]),
    };
    assert_eq!(failed.moved, [expected]);
    let parcel = schedule.next(Ticks(failed.wait.0)).unwrap();
    assert_eq!(parcel.first().people, [li]);
    assert_eq!(
        schedule
            .failed(parcel, Fault::Configuration, Ticks(failed.wait.0))
            .moved,
        []
    );
}

#[test]
fn what_waits_for_a_silenced_target_goes_another_way_and_the_rest_waits() {
    let wang = person("wang", &["mail"]);
    let notices = [
        to(std::slice::from_ref(&wang), urgent(1, 1)),
        to(std::slice::from_ref(&wang), urgent(2, 2)),
        to(std::slice::from_ref(&wang), notice(3, 2)),
        urgent(4, 3),
    ];
    let mut schedule = of(&robot(), notices);
    assert_eq!(schedule.stranded(Ticks(0)), []);
    // All of them are due: a digest of four.
    let parcel = schedule.next(Ticks(0)).unwrap();
    let rows: Vec<i64> = parcel.notices().map(|notice| notice.row).collect();
    assert_eq!(rows, [1]);
    let failed = schedule.failed(parcel, Fault::Throttled(Millis(600_000)), Ticks(10));
    assert_eq!(failed.moved.len(), 1);
    let moved: Vec<i64> = schedule
        .stranded(Ticks(10))
        .iter()
        .map(|moved| moved.notice)
        .collect();
    assert_eq!(
        moved.into_iter().collect::<std::collections::BTreeSet<i64>>(),
        [2, 3].into()
    );
    assert_eq!((schedule.room(true), schedule.room(false)), (WINDOW - 1, WINDOW));
    assert_eq!(schedule.next(Ticks(10)), None);
    assert_eq!(next_rows(&mut schedule, 600_010), [4]);
}

#[test]
fn a_refusal_begins_no_outage_and_ends_one() {
    let mut schedule = schedule([notice(1, 1), notice(2, 2)]);
    let (first, second) = (schedule.next(Ticks(0)).unwrap(), schedule.next(Ticks(0)).unwrap());
    schedule.failed(first, Fault::Target, Ticks(0));
    schedule.failed(second, Fault::Notice, Ticks(1));
    assert_eq!(schedule.down_since, None);
}

#[test]
fn a_notice_tried_in_vain_for_too_long_goes_on_although_others_are_taken() {
    let manners = Manners {
        fall_over: Millis(15_000),
        ..Manners::default()
    };
    let person = Recipient {
        officer: "wang".to_owned(),
        name: "wang".to_owned(),
        language: Language::Zh,
        contact: Contact::default(),
        next: vec!["phone".to_owned()],
    };
    let slow = PendingNotice {
        people: vec![person],
        ..notice(1, 1)
    };
    let mut schedule = of(&manners, [slow]);
    for (now, moved) in [(0, 0), (6_000, 0), (13_000, 1)] {
        let parcel = schedule.next(Ticks(now)).unwrap();
        assert_eq!(parcel.first().row, 1);
        let other = notice(i64::try_from(now).unwrap() + 2, u128::from(now) + 2);
        schedule.admit(other, at(now));
        let other = schedule.next(Ticks(now)).unwrap();
        schedule.delivered(&other, Ticks(now + 4_000));
        let failed = schedule.failed(parcel, Fault::Target, Ticks(now + 5_000));
        assert_eq!(failed.moved.len(), moved, "after {now}");
    }
    assert!(schedule.lines.is_empty() && schedule.unreached.is_empty());
}

#[test]
fn beside_a_long_message_only_what_is_urgent_goes() {
    let ordinary = (1..=20).map(|row| notice(row, u128::from(row.unsigned_abs())));
    let mut schedule = of(&robot(), ordinary.chain([urgent(30, 30)]));
    let now = 10_000;
    assert_eq!(schedule.next_urgent_due(Ticks(now)), Some(Ticks(now)));
    let beside = schedule.next_urgent(Ticks(now)).unwrap();
    assert_eq!((beside.first().row, beside.count()), (30, 1));
    assert_eq!(schedule.next_urgent(Ticks(now)), None);
    assert_eq!(schedule.next_urgent_due(Ticks(now)), None, "nothing to wake for");
}
