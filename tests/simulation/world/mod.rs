//! The scheduler: one thread, one generator, one clock. Each step lets one part of the world do one thing; between any
//! two of them the gateway may die.

mod act;
mod end;
mod interlock;
mod replica;
mod tally;

use std::collections::BTreeSet;

use ninewatch::domain::alarm::{Operator, Verdict};
use ninewatch::domain::device::DeviceKey;
use ninewatch::domain::id::Id;
use ninewatch::domain::journal::{OperatorAction, OperatorInput, ServiceAction, ServiceInput};
use ninewatch::domain::time::{Millis, Moment};
use ninewatch::handoff::OperatorAct;
use ninewatch::store::Store;

use self::act::Act;
use self::replica::Places;
pub(crate) use self::tally::Tally;
use super::Bug;
use super::broker::Broker;
use super::dice::Dice;
use super::kept::Taken;
use super::manner::Manner;
use super::officer::Officer;
use super::orders::{Live, Published};
use super::postgres::Postgres;
use super::process::{Process, Snapshots};
use super::site::{Site, TARGETS};
use super::town::{DEVICES, Town};
use super::valves::Valves;

/// When every simulation begins, on a true clock: 2026-01-01T00:00:00Z.
const BEGINNING: i64 = 1_767_225_600_000;

/// How far the wall clock jumps.
const JUMPS: [i64; 4] = [-3_600_000, -1_500, 2_000, 3_600_000];

/// Everything of one seed.
pub(crate) struct World<'a> {
    site: &'a Site,
    manner: Manner,
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
    postgres: Postgres,
    /// Where the store was when it had each message first.
    places: Places,
    taken: Taken,
    process: Process,
    snapshots: Snapshots,
    answered: Vec<String>,
    valves: Valves,
    /// When the gateway got what valves said as news.
    live: Live,
    /// The commands that the broker had.
    published: Vec<Published>,
    /// The orders that a start found, and has not sent again yet.
    unrenewed: BTreeSet<Id>,
    /// Whether the devices have been heard since the start.
    renewed: bool,
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
        let act = act::choose(&mut world.dice);
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
        let manner = Manner::new(&mut dice);
        let town = Town::new(&mut dice);
        let valves = Valves::new(&mut dice);
        let variant = Site::some(&mut dice);
        let mut store = Store::in_memory().map_err(|error| error.to_string())?;
        let recovered = store.reopen().map_err(|error| error.to_string())?;
        let process = Process::start(
            (site, variant),
            manner,
            &store,
            &recovered,
            (BEGINNING, BEGINNING),
        )?;
        let window = 1 + dice.index(20);
        let mut world = World {
            site,
            manner,
            bug,
            trace,
            dice,
            now: BEGINNING,
            off: 0,
            variant,
            town,
            broker: Broker::new(window),
            heard: false,
            store,
            failures: 0,
            officers: TARGETS.map(|_| Officer::default()).into(),
            postgres: Postgres::new(manner.strict),
            places: Places::default(),
            taken: Taken::default(),
            process,
            snapshots: Snapshots::new(),
            answered: Vec::new(),
            valves,
            live: Live::new(),
            published: Vec::new(),
            unrenewed: BTreeSet::new(),
            renewed: true,
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
                self.variant = Site::other(self.variant, &mut self.dice);
                self.process.reconfigure(self.site, self.variant, now)?;
            }
            Act::Checkpoint => self.process.checkpoint(&self.store, self.bug)?,
            Act::BreakDisk => self.failures = 1 + self.dice.below(4),
            Act::Trouble => {
                let officer = self.dice.index(TARGETS.len());
                self.officers[officer].trouble = self.dice.pick(&[0, 30, 100]);
            }
            Act::Follow => self.follow()?,
            Act::BreakPostgres => self.break_postgres(),
            Act::Tidy => self.tidy()?,
            Act::Sort => self.sort()?,
            Act::Carry => self.carry(now)?,
            Act::Sever => self.process.link.disconnect(),
            Act::Valve => self.valve_step(),
            Act::TurnValve => self.turn_valve(),
            Act::ChangeValve => self.valves.change(&mut self.dice),
            Act::Crash => self.crash()?,
            Act::Stop => self.stop()?,
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
        let mut run: Vec<_> = std::iter::from_fn(|| self.broker.deliver(now))
            .take(most)
            .collect();
        for envelope in &mut run {
            self.note_live(envelope, now);
        }
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
            if up && !self.renewed {
                self.check_renewed(now)?;
            }
        }
        Ok(())
    }

    fn close(&mut self, now: Moment) -> Result<(), String> {
        self.process.report();
        self.process.close(now, &mut self.snapshots, &mut self.dice)?;
        self.note_ended()
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
        if self.bug == Some(Bug::OpenedBeforeCommit) {
            self.process.gateway.note_committed(u64::MAX);
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
            Some(Ok(())) => {
                self.say(|| "  committed".to_owned());
                self.note_places()?;
                if self.bug == Some(Bug::SampleTwice) && std::mem::take(&mut self.process.again) {
                    self.run("INSERT INTO history (from_at, to_at, count, samples) SELECT from_at, to_at, count, samples FROM history ORDER BY row DESC LIMIT 1");
                }
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
            "command",
            "event",
            "alarm",
            "outbox",
            "checkpoint",
            "device",
            "dead_letter",
            "escalation",
            "point",
            "history",
            "history_segment",
            "segment",
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
        self.process.release(&mut receipts, self.bug);
        self.broker.send(&mut receipts);
    }

    fn acknowledge(&mut self) -> Result<(), String> {
        let most = 1 + self.dice.below(10);
        for _ in 0..most {
            if !self.acknowledge_one()? {
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
        if self.dice.chance(35) {
            return self.command(operator, now);
        }
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
}

/// A detector's key.
pub(crate) fn gas_detector(venue: &str, device: &str) -> DeviceKey {
    DeviceKey {
        venue: venue.to_owned(),
        kind: "gas_detector".to_owned(),
        device: device.to_owned(),
    }
}
