//! Makes checkpoints beside the gateway, from what is committed: exactly what a restart would do, and then a snapshot.
//! So each one proves that a restart works, and the task that owns the engine has no part in it.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::domain::engine::SnapshotError;
use crate::handoff::{CheckpointHead, CheckpointPart, Work};
use crate::metrics::Metrics;
use crate::restore::{RestoreError, restore};
use crate::store::{History, PART_BYTES, StoreError};

/// A making is followed by a pause of nine times its length: it takes a tenth of a core.
const PAUSES: u32 = 9;

/// The longest pause after a checkpoint: where the inputs of so long take long to replay, the pause must not grow with
/// the replay and the replay with the pause, or a restart would take ever longer and the journal ever more room.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The pause after one that failed.
const RETRY: Duration = Duration::from_mins(1);

/// The one who makes checkpoints.
#[derive(Debug)]
pub struct Checkpoints {
    /// The gateway's name.
    pub gateway: String,
    /// Where the store is.
    pub data_dir: PathBuf,
    /// The inputs between two: they bound the replay at the next start.
    pub inputs: u64,
    /// The next input after the last checkpoint.
    pub last: u64,
    /// The next input after the newest commit.
    pub committed: watch::Receiver<u64>,
    /// The writer.
    pub work: mpsc::Sender<Work>,
    /// Where they are counted.
    pub metrics: Metrics,
}

/// Why a checkpoint could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A restart would fail in the same way.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The state cannot be serialised.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The system has no thread left for it.
    #[error("cannot start a thread that makes it: {0}")]
    Thread(io::Error),
    /// A fault in ninewatch itself.
    #[error("the thread that made it broke down")]
    BrokeDown,
    /// Nobody writes any more.
    #[error("the store's writer has ended")]
    WriterEnded,
}

/// A checkpoint on its way to the writer.
#[derive(Debug)]
pub struct Made {
    generation: u64,
    head: CheckpointHead,
    state: Vec<u8>,
    part_bytes: usize,
}

impl Made {
    /// The engine's state as a restart would find it, for parts of `part_bytes`. While this goes on, the engine is in
    /// memory a second time.
    pub fn new(
        gateway: &str,
        history: &History,
        part_bytes: usize,
        wanted: impl Fn() -> bool,
    ) -> Result<Made, MakeError> {
        let restored = restore(gateway, history, |_| None, &wanted)?;
        if !wanted() {
            return Err(MakeError::Restore(RestoreError::Stopped));
        }
        let state = restored.engine.snapshot()?;
        let head = CheckpointHead {
            next_input: restored.engine.next_input(),
            at: restored.last.unwrap_or_default(),
            bytes: state.len() as u64,
            parts: u32::try_from(state.len().div_ceil(part_bytes)).unwrap_or(u32::MAX),
        };
        Ok(Made {
            generation: restored.generation.saturating_add(1),
            head,
            state,
            part_bytes,
        })
    }

    /// The part with this number, from 0, and where it is told that it is durable; `None` after the last.
    pub fn part(&self, number: u32) -> Option<(CheckpointPart, oneshot::Receiver<()>)> {
        let state = self
            .state
            .chunks(self.part_bytes)
            .nth(usize::try_from(number).ok()?)?;
        let (written, done) = oneshot::channel();
        let part = CheckpointPart {
            generation: self.generation,
            number,
            state: state.to_vec(),
            complete: (number + 1 == self.head.parts).then_some(self.head),
            written,
        };
        Some((part, done))
    }
}

impl Checkpoints {
    /// Inputs between two checkpoints: some seconds of replay.
    pub const INPUTS: u64 = 200_000;

    /// Makes a checkpoint whenever it is due, until `stop`. What is in the making then is abandoned: the last one is
    /// written by the gateway. A failure is logged, counted and tried again; it stops nothing.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut not_before = Instant::from_std(clock::monotonic());
        let mut maker = None;
        while self.due(not_before, &stop).await {
            let started = clock::monotonic();
            let made = self.make(&mut maker, &stop).await;
            if stop.is_cancelled() {
                return;
            }
            let took = started.elapsed();
            let pause = match made {
                Ok(head) => {
                    self.last = head.next_input;
                    self.metrics.checkpoints_made.inc();
                    self.metrics.checkpoint_seconds.set(took.as_secs_f64());
                    tracing::debug!(
                        next_input = head.next_input,
                        bytes = head.bytes,
                        ?took,
                        "checkpoint made"
                    );
                    took.saturating_mul(PAUSES).min(LONGEST_PAUSE)
                }
                Err(error) => {
                    maker = None;
                    self.metrics.checkpoints_failed.inc();
                    tracing::error!(%error, "could not make a checkpoint, which is what a restart would do; it is tried again");
                    RETRY
                }
            };
            not_before = Instant::from_std(clock::monotonic()) + pause;
        }
    }

    /// Waits until the next one is due; `false`: it never will be.
    async fn due(&mut self, not_before: Instant, stop: &CancellationToken) -> bool {
        let due = self.last.saturating_add(self.inputs);
        let wait = async {
            sleep_until(not_before).await;
            self.committed.wait_for(|next| *next >= due).await.is_ok()
        };
        stop.run_until_cancelled(wait).await.unwrap_or(false)
    }

    /// Has `maker` make one, and hands it to the writer.
    async fn make(
        &self,
        maker: &mut Option<Maker>,
        stop: &CancellationToken,
    ) -> Result<CheckpointHead, MakeError> {
        let maker = match maker {
            Some(maker) => maker,
            None => maker.insert(Maker::start(&self.gateway, &self.data_dir, stop)?),
        };
        let made = stop.run_until_cancelled(maker.make()).await;
        let made = made.ok_or(MakeError::Restore(RestoreError::Stopped))??;
        // One part is waited for before the next is sent, so that no commit has more than one to write.
        for (part, done) in (0..).map_while(|number| made.part(number)) {
            let written = async {
                let part = Work::Checkpoint(part);
                self.work.send(part).await.map_err(|_| MakeError::WriterEnded)?;
                done.await.map_err(|_| MakeError::WriterEnded)
            };
            let written = stop.run_until_cancelled(written).await;
            written.unwrap_or(Err(MakeError::Restore(RestoreError::Stopped)))?;
        }
        Ok(made.head)
    }
}

/// The thread that makes them, one for all: each arena of the system's allocator keeps as much memory as an engine once took
/// there, and a thread of the runtime's pool would take now this arena and now that.
#[derive(Debug)]
struct Maker(mpsc::Sender<oneshot::Sender<Result<Made, MakeError>>>);

impl Maker {
    /// Starts the thread. It ends with this value; at `stop` what it is making is abandoned.
    fn start(gateway: &str, data_dir: &Path, stop: &CancellationToken) -> Result<Maker, MakeError> {
        let (gateway, data_dir, stop) = (gateway.to_owned(), data_dir.to_owned(), stop.clone());
        let (sender, mut wishes) = mpsc::channel::<oneshot::Sender<_>>(1);
        thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || {
                while let Some(to) = wishes.blocking_recv() {
                    let made = History::open(&data_dir)
                        .map_err(MakeError::from)
                        .and_then(|history| {
                            Made::new(&gateway, &history, PART_BYTES, || !stop.is_cancelled())
                        });
                    // At a stop nobody waits for it any more.
                    let _ = to.send(made);
                }
            })
            .map_err(MakeError::Thread)?;
        Ok(Maker(sender))
    }

    async fn make(&self) -> Result<Made, MakeError> {
        let (to, made) = oneshot::channel();
        self.0.send(to).await.map_err(|_| MakeError::BrokeDown)?;
        made.await.map_err(|_| MakeError::BrokeDown)?
    }
}
