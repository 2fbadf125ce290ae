//! The scheduler: one thread, one generator, one clock. Each step lets one part of the world do one thing; between any
//! two of them the gateway may die.

use ninewatch::domain::alarm::{Operator, Verdict};
use ninewatch::domain::device::DeviceKey;
use ninewatch::domain::id::Id;
use ninewatch::domain::journal::{OperatorAction, OperatorInput, ServiceAction, ServiceInput};
use ninewatch::domain::time::{Millis, Moment};
use ninewatch::handoff::OperatorAct;
use ninewatch::store::Store;

use super::Bug;
use super::broker::Broker;
use super::dice::Dice;
use super::ledger::{self, Reference};
use super::officer::Officer;
use super::process::{Process, Snapshots};
use super::site::{CLEAR, Site, TARGETS};
use super::town::{DEVICES, Town};

/// When every simulation begins, on a true clock: 2026-01-01T00:00:00Z.
const BEGINNING: i64 = 1_767_225_600_000;

/// How far the wall clock jumps.
const JUMPS: [i64; 4] = [-3_600_000, -1_500, 2_000, 3_600_000];

/// The longest that everything may take to settle at the end, in rounds of two seconds: below the silence that a rule
/// waits for.
const ROUNDS: u32 = 400;

/// The rounds that off-delays take.
const FEWEST_ROUNDS: u32 = 40;

/// What a seed did.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) crashes: usize,
    pub(crate) failed_commits: usize,
    pub(crate) checkpoints: usize,
    pub(crate) acknowledged: usize,
    pub(crate) answered: usize,
    pub(crate) alarms: usize,
    pub(crate) notices: usize,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Tally) {
        self.crashes += other.crashes;
        self.failed_commits += other.failed_commits;
        self.checkpoints += other.checkpoints;
        self.acknowledged += other.acknowledged;
        self.answered += other.answered;
        self.alarms += other.alarms;
        self.notices += other.notices;
    }

    /// A world in which nothing happens breaks no promise.
    pub(crate) fn assert_all_happened(&self) {
        let all = [
            self.crashes,
            self.failed_commits,
            self.checkpoints,
            self.acknowledged,
            self.answered,
            self.alarms,
            self.notices,
        ];
        assert!(
            all.iter().all(|count| *count > 0),
            "something never happened: {self:?}"
        );
    }
}

/// What may happen in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Speak,
    Read,
    Receive,
    Expire,
    Close,
    Commit,
    Release,
    Acknowledge,
    Notify,
    Connect,
    Disconnect,
    LoseSession,
    Listen,
    Wait,
    JumpClock,
    Operate,
    Reconfigure,
    Checkpoint,
    BreakDisk,
    Trouble,
    Crash,
    Stop,
}

/// How often each happens.
const ACTS: [(Act, u64); 22] = [
    (Act::Speak, 90),
    (Act::Read, 70),
    (Act::Receive, 70),
    (Act::Expire, 40),
    (Act::Close, 80),
    (Act::Commit, 80),
    (Act::Release, 50),
    (Act::Acknowledge, 60),
    (Act::Notify, 60),
    (Act::Connect, 30),
    (Act::Disconnect, 8),
    (Act::LoseSession, 2),
    (Act::Listen, 25),
    (Act::Wait, 40),
    (Act::JumpClock, 4),
    (Act::Operate, 25),
    (Act::Reconfigure, 6),
    (Act::Checkpoint, 12),
    (Act::BreakDisk, 8),
    (Act::Trouble, 8),
    (Act::Crash, 12),
    (Act::Stop, 3),
];

/// Everything of one seed.
pub(crate) struct World<'a> {
    site: &'a Site,
    bug: Option<Bug>,
    trace: bool,
    dice: Dice,
    now: i64,
    /// How far the wall clock is off.
    off: i64,
    /// The configuration on the disk.
    variant: usize,
    town: Town,
    broker: Broker,
    heard: bool,
    store: Store,
    /// How many commits will fail yet.
    failures: u64,
    officers: Vec<Officer>,
    process: Process,
    snapshots: Snapshots,
    answered: Vec<String>,
    operators: u64,
    tally: Tally,
}

/// Plays a seed.
pub(crate) fn play(
    site: &Site,
    seed: u64,
    steps: u64,
    (bug, trace): (Option<Bug>, bool),
) -> Result<Tally, String> {
    let mut world = World::new(site, seed, (bug, trace))?;
    for step in 0..steps {
        let act = world.choose();
        world.say(|| format!("step {step}: {act:?}"));
        world
            .act(act)
            .map_err(|error| format!("step {step}, {act:?}: {error}"))?;
        world.now += i64::try_from(world.dice.below(20)).expect("small");
        let answered = world.process.answered();
        world.answered.extend(answered);
    }
    world.settle().map_err(|error| format!("at the end: {error}"))?;
    Ok(world.tally)
}

impl<'a> World<'a> {
    fn new(site: &'a Site, seed: u64, (bug, trace): (Option<Bug>, bool)) -> Result<World<'a>, String> {
        let mut dice = Dice::new(seed);
        let town = Town::new(&mut dice);
        let mut store = Store::in_memory().map_err(|error| error.to_string())?;
        let recovered = store.reopen().map_err(|error| error.to_string())?;
        let process = Process::start((site, 0), &store, &recovered, (BEGINNING, BEGINNING))?;
        let window = 1 + dice.index(20);
        let mut world = World {
            site,
            bug,
            trace,
            dice,
            now: BEGINNING,
            off: 0,
            variant: 0,
            town,
            broker: Broker::new(window),
            heard: false,
            store,
            failures: 0,
            officers: TARGETS.map(|_| Officer::default()).into(),
            process,
            snapshots: Snapshots::new(),
            answered: Vec::new(),
            operators: 0,
            tally: Tally::default(),
        };
        let now = world.moment();
        world
            .process
            .gateway
            .start(now)
            .map_err(|error| error.to_string())?;
        Ok(world)
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>10} ms  {}", self.now - BEGINNING, what());
        }
    }

    fn wall(&self) -> i64 {
        self.now + self.off
    }

    fn moment(&self) -> Moment {
        self.process.now(self.now, self.wall())
    }

    fn choose(&mut self) -> Act {
        let all = ACTS.iter().map(|(_, weight)| weight).sum();
        let mut left = self.dice.below(all);
        for (act, weight) in ACTS {
            if left < weight {
                return act;
            }
            left -= weight;
        }
        Act::Wait
    }

    fn act(&mut self, act: Act) -> Result<(), String> {
        let now = self.moment();
        let failed = |error: ninewatch::gateway::GatewayError| error.to_string();
        match act {
            Act::Speak => self.speak(),
            Act::Read => self.read(now),
            Act::Receive => self.process.receive()?,
            Act::Expire => self.process.gateway.expire(now).map_err(failed)?,
            Act::Close => self.close(now)?,
            Act::Commit => self.commit()?,
            Act::Release => self.release(),
            Act::Acknowledge => self.acknowledge()?,
            Act::Notify => self.notify(now)?,
            Act::Connect if !self.broker.is_up() => self.broker.connect(),
            Act::Connect => {}
            Act::Disconnect => self.broker.disconnect(),
            Act::LoseSession => self.broker.lose_session(),
            Act::Listen => self.listen(now)?,
            Act::Wait => {
                let most = self.dice.pick(&[100, 1_000, 10_000, 60_000, 1_200_000]);
                self.now += i64::try_from(self.dice.below(most)).expect("small");
            }
            Act::JumpClock => self.off += self.dice.pick(&JUMPS),
            Act::Operate => self.operate(now)?,
            Act::Reconfigure => {
                self.variant = self.dice.index(self.site.variants());
                self.process.reconfigure(self.site, self.variant, now)?;
            }
            Act::Checkpoint => self.process.gateway.want_checkpoint(),
            Act::BreakDisk => self.failures = 1 + self.dice.below(4),
            Act::Trouble => {
                let officer = self.dice.index(TARGETS.len());
                self.officers[officer].trouble = self.dice.pick(&[0, 30, 100]);
            }
            Act::Crash => self.crash()?,
            Act::Stop => self.stop(now)?,
        }
        Ok(())
    }

    fn speak(&mut self) {
        for message in self.town.speak(&mut self.dice, self.now) {
            self.say(|| format!("  {} {:?}", message.topic, message.payload));
            self.broker.publish(message);
        }
    }

    /// Ingest reads what one packet brings.
    fn read(&mut self, now: Moment) {
        if !self.process.reads() {
            return;
        }
        let most = 1 + self.dice.index(8);
        let run: Vec<_> = std::iter::from_fn(|| self.broker.deliver(now))
            .take(most)
            .collect();
        if !run.is_empty() {
            self.say(|| format!("  {} messages", run.len()));
            self.process.read(run);
        }
    }

    fn listen(&mut self, now: Moment) -> Result<(), String> {
        let up = self.broker.is_up();
        if self.heard != up {
            self.heard = up;
            self.process
                .gateway
                .listen(up, now)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn close(&mut self, now: Moment) -> Result<(), String> {
        self.process.report();
        self.process
            .close(now, &mut self.snapshots, (&mut self.dice, self.bug))
    }

    fn commit(&mut self) -> Result<(), String> {
        if self.bug == Some(Bug::AckBeforeCommit) {
            let mut receipts = Vec::new();
            self.process.release_early(&mut receipts);
            self.broker.send(&mut receipts);
        }
        if self.bug == Some(Bug::AnswerBeforeCommit) {
            self.process.answer_early();
        }
        let broken = self.failures > 0;
        if broken {
            self.failures -= 1;
        }
        let fault = if broken { self.break_disk() } else { "" };
        let wall = self.wall();
        let outcome = self.process.commit(&mut self.store, wall);
        if !fault.is_empty() {
            self.run(fault);
        }
        match outcome {
            Some(Err(error)) if !broken => return Err(format!("a commit failed unprovoked: {error}")),
            Some(Err(error)) => {
                self.tally.failed_commits += 1;
                self.say(|| format!("  failed: {error}"));
                // As if in the middle of the transaction.
                if self.dice.chance(20) {
                    return self.crash();
                }
            }
            Some(Ok(_)) => {
                self.say(|| "  committed".to_owned());
                if self.bug == Some(Bug::JournalRowDropped) && self.dice.chance(5) {
                    self.run(
                        "DELETE FROM journal WHERE first_input = (SELECT max(first_input) FROM journal)",
                    );
                }
            }
            None => {}
        }
        Ok(())
    }

    /// Breaks the disk, for all writes or those of one table; how it is mended.
    fn break_disk(&mut self) -> &'static str {
        let table = self.dice.pick(&[
            "",
            "journal",
            "event",
            "alarm",
            "outbox",
            "checkpoint",
            "device",
            "dead_letter",
        ]);
        if table.is_empty() {
            self.run("PRAGMA query_only = ON");
            return "PRAGMA query_only = OFF";
        }
        let trigger = format!(
            "CREATE TEMP TRIGGER fault BEFORE INSERT ON main.{table} BEGIN SELECT RAISE(ABORT, 'the disk'); END"
        );
        self.run(&trigger);
        "DROP TRIGGER fault"
    }

    fn run(&self, statement: &str) {
        self.store
            .connection()
            .execute_batch(statement)
            .expect("it is SQL");
    }

    fn release(&mut self) {
        let mut receipts = Vec::new();
        self.process.release(&mut receipts);
        self.broker.send(&mut receipts);
    }

    fn acknowledge(&mut self) -> Result<(), String> {
        let most = 1 + self.dice.below(10);
        for _ in 0..most {
            if !self.broker.acknowledge()? {
                break;
            }
        }
        Ok(())
    }

    fn notify(&mut self, now: Moment) -> Result<(), String> {
        for (worker, officer) in self.process.workers.iter_mut().zip(&mut self.officers) {
            if self.dice.chance(70) {
                worker.start(&self.store, now, self.bug)?;
            }
            if self.dice.chance(70) {
                worker.end_attempt(officer, &mut self.dice, now)?;
            }
        }
        self.process.report();
        Ok(())
    }

    fn operate(&mut self, now: Moment) -> Result<(), String> {
        self.operators += 1;
        let operator = Operator {
            by: format!("op-{}", self.operators),
            note: self.dice.chance(30).then(|| "a note".to_owned()),
        };
        let pause = Millis(60_000 + self.dice.below(600_000));
        if self.dice.chance(25) {
            let (venue, device) = self.dice.pick(&DEVICES);
            let action = self.dice.pick(&[ServiceAction::Out(pause), ServiceAction::In]);
            let device = gas_detector(venue, device);
            let input = ServiceInput {
                device,
                action,
                operator,
            };
            return self.process.operate(OperatorAct::Device(input), now);
        }
        let action = self.dice.pick(&[
            OperatorAction::Acknowledge,
            OperatorAction::Reset,
            OperatorAction::Shelve(pause),
            OperatorAction::Unshelve,
            OperatorAction::Verdict(Verdict::Real),
            OperatorAction::Close,
        ]);
        let Some(alarm) = self.some_alarm() else {
            return Ok(());
        };
        self.say(|| format!("  {action:?} of {alarm}"));
        let input = OperatorInput {
            alarm,
            action,
            operator,
        };
        self.process.operate(OperatorAct::Alarm(input), now)
    }

    /// An alarm that the API shows, one of the newest.
    fn some_alarm(&mut self) -> Option<Id> {
        let connection = self.store.connection();
        let mut query = connection
            .prepare_cached("SELECT id FROM alarm ORDER BY id DESC LIMIT 8")
            .expect("it is SQL");
        let ids = query
            .query_map([], |row| row.get::<_, [u8; 16]>(0))
            .expect("it runs");
        let ids: Vec<[u8; 16]> = ids.map(|id| id.expect("an id")).collect();
        (!ids.is_empty()).then(|| Id::from_bits(u128::from_be_bytes(self.dice.pick(&ids))))
    }

    /// The process is gone, its connections with it; after a while it starts again from what is on the disk.
    fn crash(&mut self) -> Result<(), String> {
        self.tally.crashes += 1;
        let answered = self.process.answered();
        self.answered.extend(answered);
        self.broker.disconnect();
        self.heard = false;
        for _ in 0..self.dice.below(4) {
            self.speak();
        }
        let most = self.dice.pick(&[1, 2_000, 120_000, 1_200_000]);
        self.now += i64::try_from(self.dice.below(most)).expect("small");
        if self.dice.chance(10) {
            self.variant = self.dice.index(self.site.variants());
        }
        let mut recovered = self.store.reopen().map_err(|error| error.to_string())?;
        if self.bug == Some(Bug::LastRowSkipped) {
            recovered.journal.pop();
        }
        self.tally.checkpoints += usize::from(recovered.checkpoint.is_some());
        let (now, wall) = (self.now, self.wall());
        self.process = Process::start((self.site, self.variant), &self.store, &recovered, (now, wall))?;
        self.say(|| format!("  restored from {} rows", recovered.journal.len()));
        let reference = self.check()?;
        self.check_restored(&reference)?;
        let now = self.moment();
        self.process.gateway.start(now).map_err(|error| error.to_string())
    }

    fn check(&self) -> Result<Reference, String> {
        let reference = ledger::reference(self.site, &self.store)?;
        reference.check(&self.store, &self.broker.acknowledged, &self.answered)?;
        Ok(reference)
    }

    /// The restored engine, the one that played everything, and the one that lived are the same.
    fn check_restored(&mut self, reference: &Reference) -> Result<(), String> {
        let restored = self.process.gateway.engine();
        let snapshot = restored.snapshot().map_err(|error| error.to_string())?;
        let played = reference.engine.snapshot().map_err(|error| error.to_string())?;
        if snapshot != played {
            return Err("the restored engine is not the one that plays the whole journal".to_owned());
        }
        let next_input = restored.next_input();
        match self.snapshots.get(&next_input) {
            Some(lived) if *lived != snapshot => {
                return Err(format!(
                    "the engine restored at input {next_input} is not the one that lived"
                ));
            }
            None if next_input > 1 => return Err(format!("no batch ended before input {next_input}")),
            Some(_) | None => {}
        }
        self.snapshots.retain(|input, _| *input <= next_input);
        Ok(())
    }

    /// The process is told to stop: what was read is committed and acknowledged, with a checkpoint.
    fn stop(&mut self, now: Moment) -> Result<(), String> {
        self.process.gateway.want_checkpoint();
        for _ in 0..40 {
            self.process.receive()?;
            self.close(now)?;
            self.commit_and_release()?;
        }
        self.crash()
    }

    fn commit_and_release(&mut self) -> Result<(), String> {
        self.release();
        self.commit()?;
        self.release();
        while self.broker.acknowledge()? {}
        Ok(())
    }

    /// Nothing breaks any more. Devices say once more how it is, and everything that is owed is done.
    fn settle(&mut self) -> Result<(), String> {
        self.failures = 0;
        self.officers.iter_mut().for_each(|officer| officer.trouble = 0);
        for round in 0..ROUNDS {
            self.now += 2_000;
            if !self.broker.is_up() {
                self.broker.connect();
            }
            if round % 8 == 0 && round < FEWEST_ROUNDS {
                for message in self.town.last_words() {
                    self.broker.publish(message);
                }
            }
            let now = self.moment();
            self.listen(now)?;
            for _ in 0..8 {
                self.read(now);
                self.process.receive()?;
            }
            self.process
                .gateway
                .expire(now)
                .map_err(|error| error.to_string())?;
            self.notify(now)?;
            for _ in 0..4 {
                self.close(now)?;
                self.commit_and_release()?;
            }
            let owed = self.owed()?;
            if round >= FEWEST_ROUNDS && self.broker.is_idle() && self.process.is_idle() && owed == 0 {
                break;
            }
        }
        let answered = self.process.answered();
        self.answered.extend(answered);
        let reference = self.check()?;
        reference.check_delivered(&self.store, &self.officers)?;
        if !self.broker.is_idle() {
            return Err("messages are not acknowledged".to_owned());
        }
        self.check_levels()?;
        self.tally.acknowledged = self.broker.acknowledged.len();
        self.tally.answered = self.answered.len();
        self.tally.alarms = reference.alarms();
        self.tally.notices = self.officers.iter().map(|officer| officer.received.len()).sum();
        Ok(())
    }

    fn owed(&self) -> Result<i64, String> {
        let pending = "SELECT count(*) FROM outbox WHERE delivered_at IS NULL";
        let pending = self.store.connection().query_row(pending, [], |row| row.get(0));
        pending.map_err(|error| error.to_string())
    }

    /// Promise 1: where there is danger an alarm stands, and where there is none it does not (but for a latched one).
    fn check_levels(&self) -> Result<(), String> {
        let stands = |device: &str, rule: &str| -> Result<bool, String> {
            let query = "SELECT count(*) FROM alarm WHERE standing = 1 AND device = ?1 AND rule = ?2";
            let count = self
                .store
                .connection()
                .query_row(query, [device, rule], |row| row.get::<_, i64>(0));
            count.map(|count| count > 0).map_err(|error| error.to_string())
        };
        for ((venue, _), (device, level)) in DEVICES.iter().zip(self.town.levels()) {
            if self
                .process
                .gateway
                .engine()
                .find(&gas_detector(venue, device))
                .is_none()
            {
                continue;
            }
            for rule in self.site.holding(self.variant, level) {
                if !stands(device, rule)? {
                    return Err(format!("{device} is at {level} %LEL, and no {rule} stands"));
                }
            }
            if level < CLEAR && stands(device, "gas-low")? {
                return Err(format!("{device} is at {level} %LEL, and gas-low stands"));
            }
        }
        Ok(())
    }
}

fn gas_detector(venue: &str, device: &str) -> DeviceKey {
    DeviceKey {
        venue: venue.to_owned(),
        kind: "gas_detector".to_owned(),
        device: device.to_owned(),
    }
}
