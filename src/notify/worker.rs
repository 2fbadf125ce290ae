//! The worker of one target: reads the outbox, sends what is due, reports each attempt to the store. Never sends
//! a notice it has already delivered, and never waits for the store before it sends the next.

mod past;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use prometheus::{Histogram, IntCounter, IntGauge};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::Notify;
use super::parcel::{Divided, Fault, Manners, Parcel, Parted};
use super::reason::Failures;
use super::schedule::Schedule;
use super::schedule::failed::Failed;
use super::target::{SendError, Taken, Target};
use crate::clock::Clock;
use crate::domain::time::{Millis, Ticks, Timestamp};
use crate::handoff::Work;
use crate::handoff::outbox::{DeliveryOutcome, DeliveryReport, Moved, OutboxWork};
use crate::store::{PendingNotice, StoreError, StoreReader};

/// How many notices are read from the store at a time.
const CHUNK: usize = 64;

/// The most reports that may wait for the writer; beyond it nothing new is sent.
const REPORTS: usize = 64;

/// How long after a failed read the store is asked again.
const READ_AGAIN: Millis = Millis(1_000);

/// How often it is looked whether what is held is due.
const LOOK_AGAIN: Millis = Millis(60_000);

/// How long attempts under way may still take after a stop.
const STOP_WAIT: Duration = Duration::from_secs(3);

/// How long the store may then take to accept the last reports.
const REPORT_WAIT: Duration = Duration::from_secs(1);

/// One target's worker.
pub(super) struct Worker<T> {
    name: Arc<str>,
    target: Arc<T>,
    reader: StoreReader,
    work: mpsc::Sender<Work>,
    committed: Option<watch::Receiver<u64>>,
    clock: Clock,
    delivered: IntCounter,
    failed: IntCounter,
    refused: IntGauge,
    failures: Failures,
    latency: Histogram,
    manners: Manners,
    schedule: Schedule,
    /// For the writer.
    reports: VecDeque<OutboxWork>,
    /// When something held for the target is due.
    release_at: Option<Ticks>,
    /// Whether that may have changed, and whether the store is being asked.
    ask_held: bool,
    asking_held: bool,
    /// Whether what the target has refused was left out of that for want of room.
    passed_over: bool,
    /// Critical lines are read past the others: ten thousand of those keep none of them waiting.
    critical: Cursor,
    others: Cursor,
    sending: usize,
    /// Of these, how many were not begun in a place kept for what is urgent.
    in_open_places: usize,
}

/// How far the outbox has been read. Rows only ever grow, so each is read once in the life of the process; what the store
/// does not know to be delivered yet is not read again.
struct Cursor {
    /// The last row read.
    row: i64,
    reading: bool,
    /// When the store has (or may have) rows after it: the time to read them.
    read_at: Option<Ticks>,
}

/// Something the worker was waiting for.
enum Done {
    /// Rows after a cursor, critical or not: how many were asked for, and what came.
    Read(bool, usize, Result<Vec<PendingNotice>, StoreError>),
    /// When the next held notice is due.
    Held(Result<Option<Timestamp>, StoreError>),
    /// An attempt ended; whether it had a place kept for what is urgent.
    Sent(bool, Parcel, Result<Taken, SendError>),
}

type Running = FuturesUnordered<BoxFuture<'static, Done>>;

impl<T: Target> Worker<T> {
    /// A worker that has read nothing yet.
    pub(super) fn new(name: &str, target: Arc<T>, notify: &Notify) -> Worker<T> {
        let manners = target.manners();
        let cursor = || Cursor {
            row: 0,
            reading: false,
            read_at: Some(notify.clock.ticks()),
        };
        Worker {
            name: name.into(),
            target,
            reader: notify.reader.clone(),
            work: notify.work.clone(),
            committed: Some(notify.committed.clone()),
            clock: notify.clock,
            delivered: notify.metrics.deliveries(name, "delivered"),
            failed: notify.metrics.deliveries(name, "failed"),
            refused: notify.metrics.notices_refused(name),
            failures: Failures::of(name, &notify.metrics),
            latency: notify.metrics.notice_latency.clone(),
            schedule: Schedule::new(&manners),
            manners,
            reports: VecDeque::new(),
            release_at: None,
            ask_held: true,
            asking_held: false,
            passed_over: false,
            critical: cursor(),
            others: cursor(),
            sending: 0,
            in_open_places: 0,
        }
    }

    /// Works until told to stop or until nobody takes reports.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let work = self.work.clone();
        let mut running = Running::new();
        self.remember().await;
        // Asked before anything is started: an attempt and the stop may end the wait together.
        while !stop.is_cancelled() {
            self.start_due(&running);
            let next_time = self.next_time();
            tokio::select! {
                () = stop.cancelled() => break,
                () = work.closed() => return,
                Ok(permit) = work.reserve(), if !self.reports.is_empty() => {
                    if let Some(report) = self.reports.pop_front() {
                        permit.send(Work::Outbox(report));
                    }
                }
                Some(done) = running.next(), if !running.is_empty() => self.settle(done),
                () = committed(&mut self.committed) => {
                    let now = self.clock.ticks();
                    self.ask_held = true;
                    (self.critical.read_at, self.others.read_at) = (Some(now), Some(now));
                }
                () = until(self.clock, next_time) => {}
            }
        }
        self.finish(running).await;
    }

    /// Starts whatever may start now: attempts that are due, and the next reads.
    fn start_due(&mut self, running: &Running) {
        let now = self.clock.now();
        while self.may_send(now.ticks) {
            let kept = self.only_urgent();
            let parcel = if kept {
                self.schedule.next_urgent(now.ticks)
            } else {
                self.schedule.next(now.ticks)
            };
            let Some(parcel) = parcel else {
                break;
            };
            self.sending += 1;
            self.in_open_places += usize::from(!kept);
            let target = Arc::clone(&self.target);
            running.push(Box::pin(async move {
                let outcome = target.send(&parcel, now.wall).await;
                Done::Sent(kept, parcel, outcome)
            }));
        }
        for critical in [true, false] {
            self.start_read(critical, now.ticks, running);
        }
        if self.passed_over && self.room_for_refused() > 0 {
            (self.passed_over, self.ask_held) = (false, true);
        }
        if self.ask_held && !self.asking_held {
            (self.ask_held, self.asking_held) = (false, true);
            self.start_ask(running);
        }
        self.start_release(now.ticks);
    }

    /// Whether one more attempt may begin. A digest is worth the reading of whatever belongs in it: of a burst, sixty at a time
    /// would soon be more messages than the target takes.
    fn may_send(&self, now: Ticks) -> bool {
        let reads = |critical, cursor: &Cursor| {
            let more = cursor.read_at.is_some_and(|at| at <= now) && self.schedule.room(critical) > 0;
            cursor.reading || more
        };
        let gathers =
            self.manners.gather.is_some() && (reads(true, &self.critical) || reads(false, &self.others));
        !gathers && self.sending < self.manners.at_once && self.reports.len() < REPORTS
    }

    /// Whether only places kept for what is urgent are free.
    fn only_urgent(&self) -> bool {
        let open = self.manners.at_once.saturating_sub(self.manners.for_urgent);
        self.in_open_places >= open.max(1)
    }

    fn start_read(&mut self, critical: bool, now: Ticks, running: &Running) {
        // What is read may have to be put away, which is a report.
        let (room, reports) = (self.schedule.room(critical).min(CHUNK), self.reports.len());
        let cursor = self.cursor(critical);
        let full = room == 0 || reports >= REPORTS;
        if full || cursor.reading || cursor.read_at.is_none_or(|at| at > now) {
            return;
        }
        cursor.read_at = None;
        cursor.reading = true;
        let after = cursor.row;
        let reader = self.reader.clone();
        let name = Arc::clone(&self.name);
        running.push(Box::pin(async move {
            let limit = u32::try_from(room).unwrap_or(u32::MAX);
            let rows = reader.pending_notices((&name, critical), after, limit).await;
            Done::Read(critical, room, rows)
        }));
    }

    /// What waits for a target that wants nothing for long goes to other ones.
    fn move_stranded(&mut self) {
        let now = self.clock.now();
        let moved = self.schedule.stranded(now.ticks);
        if moved.is_empty() {
            return;
        }
        tracing::warn!(target_name = %self.name, notices = moved.len(), "the target wants nothing for now: its people are told through others");
        self.reports.push_back(OutboxWork::Move {
            target: self.name.to_string(),
            at: now.wall,
            moved,
        });
    }

    fn note_held(&mut self, due: Result<Option<Timestamp>, StoreError>) {
        self.asking_held = false;
        let now = self.clock.now();
        match due {
            Ok(due) => {
                // The wall clock decides, and may jump: it is asked again now and then.
                let wait =
                    |due: Timestamp| Millis(due.since(now.wall).max(0).unsigned_abs().min(LOOK_AGAIN.0));
                self.release_at = due.map(|due| now.ticks.after(wait(due)));
            }
            Err(error) => {
                self.release_at = Some(now.ticks.after(READ_AGAIN));
                tracing::warn!(target_name = %self.name, %error, "cannot read what is held; trying again");
            }
        }
    }

    /// Has what is due of the held notices released.
    fn start_release(&mut self, now: Ticks) {
        if self.release_at.is_none_or(|at| at > now) || self.reports.len() >= REPORTS {
            return;
        }
        // Its commit has the outbox read again, and then it is asked when the next ones are due.
        self.release_at = Some(now.after(LOOK_AGAIN));
        let refused = self.room_for_refused();
        self.passed_over |= refused == 0;
        self.reports.push_back(OutboxWork::Release {
            target: self.name.to_string(),
            refused,
        });
    }

    fn start_ask(&mut self, running: &Running) {
        let (reader, name) = (self.reader.clone(), Arc::clone(&self.name));
        let with_refused = self.room_for_refused() > 0;
        self.passed_over = !with_refused;
        running.push(Box::pin(async move {
            Done::Held(reader.next_held(&name, with_refused).await)
        }));
    }

    const fn cursor(&mut self, critical: bool) -> &mut Cursor {
        if critical {
            &mut self.critical
        } else {
            &mut self.others
        }
    }

    fn settle(&mut self, done: Done) {
        match done {
            Done::Read(critical, asked, rows) => self.take_in(critical, asked, rows),
            Done::Held(due) => self.note_held(due),
            Done::Sent(kept, parcel, outcome) => {
                self.sending = self.sending.saturating_sub(1);
                self.in_open_places = self.in_open_places.saturating_sub(usize::from(!kept));
                self.settle_attempt(parcel, outcome);
            }
        }
    }

    fn take_in(&mut self, critical: bool, asked: usize, rows: Result<Vec<PendingNotice>, StoreError>) {
        let now = self.clock.now();
        let cursor = self.cursor(critical);
        cursor.reading = false;
        match rows {
            Ok(rows) => {
                if rows.len() >= asked {
                    cursor.read_at = Some(now.ticks);
                }
                cursor.row = rows.last().map_or(cursor.row, |last| last.row);
                for notice in rows {
                    self.schedule.admit(notice, now);
                }
                self.move_stranded();
                self.put_away();
            }
            Err(error) => {
                cursor.read_at = Some(now.ticks.after(READ_AGAIN));
                tracing::warn!(target_name = %self.name, %error, "cannot read the outbox; trying again");
            }
        }
    }

    fn settle_attempt(&mut self, parcel: Parcel, outcome: Result<Taken, SendError>) {
        fail::fail_point!("notice-sent", |_| std::process::abort());
        match outcome {
            Ok(Taken) => self.settle_delivered(&parcel),
            Err(error) => {
                let Divided { taken, left, shrunk } = parcel.divided(error.told());
                if let Some(taken) = taken {
                    self.settle_delivered(&taken);
                }
                self.settle_left(left, &error, shrunk);
            }
        }
        self.move_stranded();
    }

    /// Those who are refused are told otherwise, or later; the others by what keeps it from them.
    fn settle_left(&mut self, mut left: Option<Parcel>, error: &SendError, mut shrunk: Vec<Moved>) {
        for part in error.apart() {
            let Some(parcel) = left.take() else { return };
            let Parted {
                apart,
                left: others,
                moved,
            } = parcel.parted(&part.people, part.cause.fault());
            shrunk.extend(moved);
            left = others;
            if let Some(apart) = apart {
                self.settle_failed(apart, &part.cause, std::mem::take(&mut shrunk));
            }
        }
        if let Some(left) = left {
            self.settle_failed(left, error, shrunk);
        }
    }

    fn settle_delivered(&mut self, parcel: &Parcel) {
        let now = self.clock.now();
        self.delivered.inc();
        for notice in parcel.notices() {
            let latency_ms = now.wall.since(notice.created_at).max(0);
            self.latency.observe(latency_ms as f64 / 1_000.0);
        }
        self.schedule.delivered(parcel, now.ticks);
        self.show_refused();
        self.reports.push_back(OutboxWork::Delivery(DeliveryReport {
            message: parcel.id(),
            target: self.name.to_string(),
            notices: parcel.notices().map(|notice| notice.row).collect(),
            at: now.wall,
            outcome: DeliveryOutcome::Delivered,
            moved: Vec::new(),
        }));
    }

    /// What is `shrunk` is written for fewer people before it is moved on.
    fn settle_failed(&mut self, parcel: Parcel, error: &SendError, shrunk: Vec<Moved>) {
        let now = self.clock.now();
        self.failed.inc();
        self.failures.count(error);
        let message = parcel.id();
        let notices: Vec<i64> = parcel.notices().map(|notice| notice.row).collect();
        let attempt = parcel.first().attempts.saturating_add(1);
        let Failed {
            wait,
            moved,
            put_away,
            refused,
        } = self.schedule.failed(parcel, error.fault(), now.ticks);
        if put_away > 0 {
            tracing::error!(
                target_name = %self.name, notices = put_away, %error,
                "refused so often that it is tried again only now and then"
            );
        }
        tracing::warn!(
            target_name = %self.name, %message, notices = notices.len(), attempt, %error, wait_ms = wait.0,
            moved = moved.len(), "a message was not delivered"
        );
        self.reports.push_back(OutboxWork::Delivery(DeliveryReport {
            message,
            target: self.name.to_string(),
            notices,
            at: now.wall,
            outcome: DeliveryOutcome::Retry {
                error: error.to_string(),
                due_at: after(now.wall, wait),
                silent: matches!(error.fault(), Fault::Throttled(_)),
                refused,
            },
            moved: shrunk.into_iter().chain(moved).collect(),
        }));
        self.put_away();
    }

    /// When there is next something to start that is not started by an answer or a commit.
    fn next_time(&mut self) -> Option<Ticks> {
        let now = self.clock.ticks();
        let due = || {
            if self.only_urgent() {
                self.schedule.next_urgent_due(now)
            } else {
                self.schedule.next_due(now)
            }
        };
        let send = self.may_send(now).then(due).flatten();
        let reads = [(true, &self.critical), (false, &self.others)].map(|(critical, cursor)| {
            let may_read =
                !cursor.reading && self.schedule.room(critical) > 0 && self.reports.len() < REPORTS;
            cursor.read_at.filter(|_| may_read)
        });
        reads
            .into_iter()
            .flatten()
            .chain(send)
            .chain(self.release_at.filter(|_| self.reports.len() < REPORTS))
            .min()
    }

    /// Gives the attempts under way their time, then hands in all reports.
    async fn finish(&mut self, mut running: Running) {
        let attempts = async {
            while self.sending > 0 {
                let Some(done) = running.next().await else { break };
                self.settle(done);
            }
        };
        if tokio::time::timeout(STOP_WAIT, attempts).await.is_err() {
            tracing::warn!(target_name = %self.name, "stopped with attempts under way; they are made again after the start");
        }
        let reports = async {
            for report in self.reports.drain(..) {
                if self.work.send(Work::Outbox(report)).await.is_err() {
                    return;
                }
            }
        };
        if tokio::time::timeout(REPORT_WAIT, reports).await.is_err() {
            tracing::warn!(target_name = %self.name, "the store took no more reports; what they were about is sent again after the start");
        }
    }
}

/// Waits for the next commit; for ever once the store is gone.
async fn committed(receiver: &mut Option<watch::Receiver<u64>>) {
    if let Some(live) = receiver {
        if live.changed().await.is_ok() {
            return;
        }
        *receiver = None;
    }
    std::future::pending::<()>().await;
}

async fn until(clock: Clock, time: Option<Ticks>) {
    match time {
        Some(time) => tokio::time::sleep(clock.until(time)).await,
        None => std::future::pending().await,
    }
}

fn after(wall: Timestamp, wait: Millis) -> Timestamp {
    Timestamp(wall.0.saturating_add_unsigned(wait.0))
}
