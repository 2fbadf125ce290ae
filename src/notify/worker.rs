//! The worker of one target: reads the outbox, sends what is due, reports each attempt to the store. Never sends
//! a notice it has already delivered, and never waits for the store before it sends the next.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use prometheus::{Histogram, IntCounter};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::schedule::Schedule;
use super::{Notify, SendError, Target};
use crate::clock::Clock;
use crate::domain::time::{Millis, Ticks, Timestamp};
use crate::handoff::{DeliveryOutcome, DeliveryReport, Work};
use crate::store::{PendingNotice, StoreError, StoreReader};

/// The most attempts under way at once.
const IN_FLIGHT: usize = 8;

/// How many notices are read from the store at a time.
const CHUNK: usize = 64;

/// The most reports that may wait for the writer; beyond it nothing new is sent.
const REPORTS: usize = 64;

/// How long after a failed read the store is asked again.
const READ_AGAIN: Millis = Millis(1_000);

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
    latency: Histogram,
    schedule: Schedule,
    reports: VecDeque<DeliveryReport>,
    /// The last outbox row read. Rows only ever grow, so each is read once in the life of the process; what
    /// the store does not know to be delivered yet is not read again.
    cursor: i64,
    reading: bool,
    sending: usize,
    /// When the store has (or may have) rows after `cursor`: the time to read them.
    read_at: Option<Ticks>,
}

/// Something the worker was waiting for.
enum Done {
    /// Rows after the cursor: how many were asked for, and what came.
    Read(usize, Result<Vec<PendingNotice>, StoreError>),
    /// An attempt ended.
    Sent(PendingNotice, Result<(), SendError>),
}

type Running = FuturesUnordered<BoxFuture<'static, Done>>;

impl<T: Target> Worker<T> {
    /// A worker that has read nothing yet.
    pub(super) fn new(name: &str, target: Arc<T>, notify: &Notify) -> Worker<T> {
        Worker {
            name: name.into(),
            target,
            reader: notify.reader.clone(),
            work: notify.work.clone(),
            committed: Some(notify.committed.clone()),
            clock: notify.clock,
            delivered: notify.metrics.deliveries(name, "delivered"),
            failed: notify.metrics.deliveries(name, "failed"),
            latency: notify.metrics.notice_latency.clone(),
            schedule: Schedule::new(),
            reports: VecDeque::new(),
            cursor: 0,
            reading: false,
            sending: 0,
            read_at: Some(notify.clock.ticks()),
        }
    }

    /// Works until told to stop or until nobody takes reports.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let work = self.work.clone();
        let mut running = Running::new();
        // Asked before anything is started: an attempt and the stop may end the wait together.
        while !stop.is_cancelled() {
            self.start_due(&running);
            let next_time = self.next_time();
            tokio::select! {
                () = stop.cancelled() => break,
                () = work.closed() => return,
                Ok(permit) = work.reserve(), if !self.reports.is_empty() => {
                    if let Some(report) = self.reports.pop_front() {
                        permit.send(Work::Delivery(report));
                    }
                }
                Some(done) = running.next(), if !running.is_empty() => self.settle(done),
                () = committed(&mut self.committed) => self.read_at = Some(self.clock.ticks()),
                () = until(self.clock, next_time) => {}
            }
        }
        self.finish(running).await;
    }

    /// Starts whatever may start now: attempts that are due, and the next read.
    fn start_due(&mut self, running: &Running) {
        let now = self.clock.now();
        while self.sending < IN_FLIGHT && self.reports.len() < REPORTS {
            let Some(notice) = self.schedule.next(now.ticks) else {
                break;
            };
            self.sending += 1;
            let target = Arc::clone(&self.target);
            running.push(Box::pin(async move {
                let outcome = target.send(&notice, now.wall).await;
                Done::Sent(notice, outcome)
            }));
        }
        let room = self.schedule.room().min(CHUNK);
        if self.reading || room == 0 || self.read_at.is_none_or(|at| at > now.ticks) {
            return;
        }
        self.read_at = None;
        self.reading = true;
        let reader = self.reader.clone();
        let (name, cursor) = (Arc::clone(&self.name), self.cursor);
        running.push(Box::pin(async move {
            let limit = u32::try_from(room).unwrap_or(u32::MAX);
            Done::Read(room, reader.pending_notices(&name, cursor, limit).await)
        }));
    }

    fn settle(&mut self, done: Done) {
        match done {
            Done::Read(asked, rows) => self.take_in(asked, rows),
            Done::Sent(notice, outcome) => self.settle_attempt(notice, outcome),
        }
    }

    fn take_in(&mut self, asked: usize, rows: Result<Vec<PendingNotice>, StoreError>) {
        self.reading = false;
        let now = self.clock.now();
        match rows {
            Ok(rows) => {
                if rows.len() >= asked {
                    self.read_at = Some(now.ticks);
                }
                for notice in rows {
                    self.cursor = self.cursor.max(notice.row);
                    self.schedule.admit(notice, now);
                }
            }
            Err(error) => {
                tracing::warn!(target_name = %self.name, %error, "cannot read the outbox; trying again");
                self.read_at = Some(now.ticks.after(READ_AGAIN));
            }
        }
    }

    fn settle_attempt(&mut self, notice: PendingNotice, outcome: Result<(), SendError>) {
        self.sending = self.sending.saturating_sub(1);
        fail::fail_point!("notice-sent", |_| std::process::abort());
        let now = self.clock.now();
        let row = notice.row;
        let outcome = match outcome {
            Ok(()) => {
                self.delivered.inc();
                let latency_ms = now.wall.since(notice.created_at).max(0);
                self.latency.observe(latency_ms as f64 / 1_000.0);
                self.schedule.delivered(&notice);
                DeliveryOutcome::Delivered
            }
            Err(error) => {
                self.failed.inc();
                let (id, attempt) = (notice.id, notice.attempts.saturating_add(1));
                let wait = self.schedule.failed(notice, error.fault(), now.ticks);
                tracing::warn!(
                    target_name = %self.name, notice = %id, attempt, %error, wait_ms = wait.0, "a notice was not delivered"
                );
                DeliveryOutcome::Retry {
                    error: error.to_string(),
                    due_at: after(now.wall, wait),
                }
            }
        };
        self.reports.push_back(DeliveryReport {
            notice: row,
            at: now.wall,
            outcome,
        });
    }

    /// When there is next something to start that is not started by an answer or a commit.
    fn next_time(&self) -> Option<Ticks> {
        let may_send = self.sending < IN_FLIGHT && self.reports.len() < REPORTS;
        let may_read = !self.reading && self.schedule.room() > 0;
        let send = self.schedule.next_due().filter(|_| may_send);
        let read = self.read_at.filter(|_| may_read);
        send.into_iter().chain(read).min()
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
                if self.work.send(Work::Delivery(report)).await.is_err() {
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
