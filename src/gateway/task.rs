//! The gateway's task: waits for whatever comes first, reads the clock, and has the gateway do it. Waits for no disk:
//! the writer is another thread.

use std::future::pending;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use super::survey::Surveying;
use super::{Due, Gateway, GatewayError, Reconfiguration};
use crate::clock::{self, Clock};
use crate::domain::time::{Moment, Ticks};
use crate::handoff::{
    Batch, CommandMessage, CommandSent, Envelope, OperatorRequest, Probe, StoreCondition, Work,
};

/// How long a batch without any alarm gathers company: an fsync a message costs four times the processor time
/// of one shared, and telemetry can wait a millisecond for its PUBACK.
const GATHER: Duration = Duration::from_millis(1);

/// How often the gauges that cost a walk over all devices are set.
const CENSUS: Duration = Duration::from_secs(5);

/// Where the gateway's inputs come from and its batches go.
#[derive(Debug)]
pub struct Lines {
    /// Runs of messages.
    pub envelopes: mpsc::Receiver<Vec<Envelope>>,
    /// What operators ask for.
    pub operators: mpsc::Receiver<OperatorRequest>,
    /// Configurations to put in force.
    pub reconfigurations: mpsc::Receiver<Reconfiguration>,
    /// Whether the devices can be heard.
    pub listening: watch::Receiver<bool>,
    /// Whether the connection for commands stands.
    pub command_link: watch::Receiver<bool>,
    /// What the store knows of itself.
    pub store: watch::Receiver<StoreCondition>,
    /// The next input after the newest commit.
    pub committed: watch::Receiver<u64>,
    /// Whether the pipeline moves.
    pub probes: mpsc::Receiver<Probe>,
    /// The way to the devices.
    pub commands: mpsc::Sender<CommandMessage>,
    /// Commands that the broker has.
    pub sent: mpsc::Receiver<CommandSent>,
    /// The writer.
    pub work: mpsc::Sender<Work>,
}

impl Gateway {
    /// Runs until the envelopes' senders are gone, then hands over the rest with a checkpoint.
    ///
    /// # Errors
    /// When the writer is gone or an input cannot be journalled. Nothing unacknowledged is lost then: the broker
    /// still has it.
    pub async fn run(mut self, clock: Clock, mut lines: Lines) -> Result<(), GatewayError> {
        self.connect(lines.commands.clone());
        self.start(clock.now())?;
        lines.listening.mark_changed();
        lines.command_link.mark_changed();
        lines.store.mark_changed();
        let surveys = self.metrics.surveys.clone();
        let mut surveying: Option<Surveying> = None;
        let mut opened = None;
        let mut census = Instant::from_std(clock::monotonic());
        loop {
            let due = self
                .due()
                .map(|due| due_at(due, *opened.get_or_insert_with(clock::monotonic)));
            let (room, last_room) = (self.has_room(), self.has_last_room());
            tokio::select! {
                biased;
                permit = due_permit(&lines.work, due) => {
                    let permit = permit?;
                    opened = None;
                    permit.send(work(self.close(clock.now())));
                }
                // People and deadlines before telemetry: both are few, and neither may starve under a backlog. Nor do they wait for
                // the disk: an order is sent again, or has failed, also while that is frozen (DESIGN, promise 2).
                Some(request) = lines.operators.recv(), if last_room => self.serve(request, clock.now()).await?,
                Some(wanted) = lines.reconfigurations.recv(), if room => self.reconfigure(wanted, clock.now())?,
                Ok(()) = lines.listening.changed(), if room => {
                    let up = *lines.listening.borrow_and_update();
                    self.listen(up, clock.now())?;
                    self.ask(clock.now());
                }
                Ok(()) = lines.command_link.changed(), if room => {
                    let up = *lines.command_link.borrow_and_update();
                    self.note_command_link(up, clock.now())?;
                }
                Ok(()) = lines.store.changed(), if room => {
                    let condition = *lines.store.borrow_and_update();
                    self.note_store(condition, clock.now())?;
                }
                Ok(()) = lines.committed.changed() => {
                    let inputs = *lines.committed.borrow_and_update();
                    self.note_committed(inputs);
                }
                Some(sent) = lines.sent.recv(), if last_room => self.note_sent(sent, clock.now())?,
                // Room or not: while the writer is stuck, it asks whether this loop is.
                Some(probe) = lines.probes.recv() => self.pass(probe),
                () = until(clock, self.deadline()), if last_room => self.fall_due(clock.now()).await?,
                () = surveys.asked(), if surveying.is_none() => surveying = Some(Surveying::begin()),
                () = part(surveying.as_ref()), if surveying.is_some() => {
                    surveying = surveying.and_then(|under_way| self.survey(under_way));
                }
                run = lines.envelopes.recv(), if room => match run {
                    Some(run) => {
                        self.metrics.queue_ingest.set(i64::try_from(lines.envelopes.len()).unwrap_or(i64::MAX));
                        self.take_run(run).await?;
                        self.ask(clock.now());
                    }
                    None => break,
                },
                () = sleep_until(census) => {
                    self.count_devices();
                    // The writer looks after its disk between commits, also where no device speaks.
                    self.want_batch();
                    census = Instant::from_std(clock::monotonic()) + CENSUS;
                }
            }
        }
        // The next start need not replay anything.
        self.checkpoint()?;
        let last = work(self.close(clock.now()));
        lines.work.send(last).await.map_err(|_| GatewayError::WriterEnded)
    }

    async fn serve(&mut self, request: OperatorRequest, now: Moment) -> Result<(), GatewayError> {
        self.operate_at_once(request, now)?;
        self.settle().await
    }

    async fn fall_due(&mut self, now: Moment) -> Result<(), GatewayError> {
        self.expire_at_once(now)?;
        self.settle().await
    }

    async fn take_run(&mut self, run: Vec<Envelope>) -> Result<(), GatewayError> {
        let mut run = run.into_iter();
        while run.len() > 0 {
            self.receive_some(&mut run)?;
            self.settle().await?;
        }
        Ok(())
    }

    /// Lets the connection for commands go first where it was given some: its task waits for this worker, and what they mean
    /// takes longer to put into words than they take to leave.
    async fn settle(&mut self) -> Result<(), GatewayError> {
        if std::mem::take(&mut self.outbound.handed_over) {
            yield_now().await;
        }
        self.collect()
    }
}

fn work(batch: Batch) -> Work {
    Work::Batch(Box::new(batch))
}

/// When a batch that is open since `opened` should go to the writer.
fn due_at(due: Due, opened: std::time::Instant) -> Instant {
    Instant::from_std(match due {
        Due::AtOnce => opened,
        Due::Gathering => opened + GATHER,
    })
}

/// A place in the writer's queue, once the batch is due.
async fn due_permit(
    work: &mpsc::Sender<Work>,
    due: Option<Instant>,
) -> Result<mpsc::Permit<'_, Work>, GatewayError> {
    match due {
        None => pending().await,
        Some(due) => {
            // The runtime's timer rounds up to a millisecond; an alarm does not wait for that.
            if due > Instant::from_std(clock::monotonic()) {
                sleep_until(due).await;
            }
            work.reserve().await.map_err(|_| GatewayError::WriterEnded)
        }
    }
}

/// When the next part of a survey is to be copied.
async fn part(surveying: Option<&Surveying>) {
    match surveying {
        None => pending().await,
        Some(surveying) => sleep_until(surveying.next).await,
    }
}

async fn until(clock: Clock, deadline: Option<Ticks>) {
    match deadline {
        None => pending().await,
        Some(deadline) => sleep_until(Instant::from_std(clock::monotonic()) + clock.until(deadline)).await,
    }
}
