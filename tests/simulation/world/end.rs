//! The ends of a process, by a crash or on its word, the start after it, and the end of all: where the promises are checked.

use super::super::Bug;
use super::super::ledger::{self, Reference};
use super::super::process::Process;
use super::super::site::{CLEAR, Site};
use super::super::town::DEVICES;
use super::{World, gas_detector};

/// The longest that everything may take to settle at the end, in rounds of two seconds: below the silence that a rule
/// waits for.
const ROUNDS: u32 = 400;

/// The rounds that off-delays take.
const FEWEST_ROUNDS: u32 = 40;

impl World<'_> {
    /// The process is gone, its connections with it; after a while it starts again from what is on the disk.
    pub(super) fn crash(&mut self) -> Result<(), String> {
        self.tally.crashes += 1;
        let answered = self.process.answered();
        self.answered.extend(answered);
        self.broker.disconnect();
        self.heard = false;
        if self.manner.follows() {
            let fate = self.dice.below(3);
            self.postgres.break_connections(fate);
        }
        for _ in 0..self.dice.below(4) {
            self.speak();
        }
        let most = self.dice.pick(&[1, 2_000, 120_000, 1_200_000]);
        self.now += i64::try_from(self.dice.below(most)).expect("small");
        if self.dice.chance(10) {
            self.variant = Site::other(self.variant, &mut self.dice);
        }
        let recovered = self.store.reopen().map_err(|error| error.to_string())?;
        self.tally.checkpoints += usize::from(recovered.checkpointed > 0);
        let hidden = self.bug == Some(Bug::LastRowSkipped);
        if hidden {
            self.run("CREATE TABLE hidden AS SELECT * FROM journal WHERE first_input = (SELECT max(first_input) FROM journal); DELETE FROM journal WHERE first_input IN (SELECT first_input FROM hidden)");
        }
        if self.bug == Some(Bug::ChainsForgotten) {
            self.run("DELETE FROM escalation");
        }
        let (now, wall) = (self.now, self.wall());
        self.process = Process::start(
            (self.site, self.variant),
            self.manner,
            &self.store,
            &recovered,
            (now, wall),
        )?;
        if hidden {
            self.run("INSERT INTO journal SELECT * FROM hidden; DROP TABLE hidden");
        }
        let rows = self.process.replayed;
        self.say(|| format!("  restored from {rows} rows"));
        let reference = self.check()?;
        self.check_restored(&reference)?;
        self.unrenewed = reference.rules.to_renew();
        self.renewed = false;
        let now = self.moment();
        if now.ticks < reference.latest {
            return Err(format!(
                "the clock goes back: {:?} after {:?}",
                now.ticks, reference.latest
            ));
        }
        self.process.gateway.start(now).map_err(|error| error.to_string())
    }

    fn check(&self) -> Result<Reference, String> {
        let reference = ledger::reference(self.site, &self.store, &self.taken, &self.live)?;
        reference.check(
            &self.store,
            &self.taken,
            &self.broker.acknowledged,
            &self.answered,
        )?;
        reference.check_fleeting(&self.town.fleeting)?;
        if self.manner.follows() {
            let copied = self.postgres.check(&self.store, &self.taken);
            copied.map_err(|what| format!("PostgreSQL: {what}"))?;
        }
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
    pub(super) fn stop(&mut self) -> Result<(), String> {
        for round in 0..40 {
            if round == 39 {
                let last = self.process.gateway.checkpoint();
                last.map_err(|error| error.to_string())?;
            }
            self.process.receive()?;
            // A commit that failed may have ended the process, and begun another with a clock of its own.
            let now = self.moment();
            self.close(now)?;
            self.commit_and_release()?;
        }
        self.crash()
    }

    fn commit_and_release(&mut self) -> Result<(), String> {
        self.release();
        self.commit()?;
        self.release();
        while self.acknowledge_one()? {}
        Ok(())
    }

    /// Nothing breaks any more. Devices say once more how it is, and everything that is owed is done.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        self.failures = 0;
        self.postgres.away = false;
        self.officers.iter_mut().for_each(|officer| officer.trouble = 0);
        for round in 0..ROUNDS {
            self.now += 2_000;
            if !self.broker.is_up() {
                self.broker.connect();
            }
            if round % 8 == 0 && round < FEWEST_ROUNDS {
                let valves = self.valves.last_words();
                for message in self.town.last_words().into_iter().chain(valves) {
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
            for _ in 0..6 {
                self.carry(now)?;
                self.valve_step();
            }
            for _ in 0..4 {
                self.close(now)?;
                self.commit_and_release()?;
            }
            for _ in 0..8 {
                self.follow()?;
            }
            let owed = self.owed()?;
            let idle = self.broker.is_idle() && self.process.is_idle() && self.valves.is_idle();
            if round >= FEWEST_ROUNDS && idle && owed == 0 {
                break;
            }
        }
        let answered = self.process.answered();
        self.answered.extend(answered);
        let reference = self.check()?;
        reference.check_delivered(&self.store, &self.taken, &self.officers)?;
        if !self.broker.is_idle() {
            return Err("messages are not acknowledged".to_owned());
        }
        self.check_levels()?;
        self.check_escalations()?;
        let rules = &reference.rules;
        rules.check_published(&self.published, self.tally.crashes)?;
        rules.check_demands(&self.valves.closed())?;
        if self
            .process
            .follower
            .as_ref()
            .is_some_and(|follower| !follower.is_idle())
        {
            return Err("PostgreSQL has not got everything".to_owned());
        }
        self.count(&reference)
    }

    /// What happened, at the end.
    fn count(&mut self, reference: &Reference) -> Result<(), String> {
        self.tally.copied = self.postgres.commits;
        self.tally.set_aside = self.postgres.set_aside();
        self.tally.passed_over = self.postgres.passed_over();
        self.tally.taken = self.taken.count();
        self.tally.segments = self.segments()? as usize;
        self.tally.retained = self.broker.resent;
        self.tally.fleeting = self.broker.fleeting;
        self.tally.acknowledged = self.broker.acknowledged.len();
        self.tally.answered = self.answered.len();
        self.tally.commands = self.published.len();
        self.tally.obeyed = self.valves.obeyed;
        self.tally.verified = reference.rules.verified;
        self.tally.escalated = reference.escalated();
        self.tally.failures = reference.rules.failures;
        self.tally.alarms = reference.alarms();
        self.tally.notices = self.officers.iter().map(|officer| officer.received.len()).sum();
        Ok(())
    }

    fn segments(&self) -> Result<u32, String> {
        let newest = "SELECT ifnull(max(number), 0) FROM segment";
        let newest = self.store.connection().query_row(newest, [], |row| row.get(0));
        newest.map_err(|error| error.to_string())
    }

    fn owed(&self) -> Result<i64, String> {
        let pending = "SELECT (SELECT count(*) FROM outbox WHERE delivered_at IS NULL) + (SELECT count(*) FROM command WHERE open)";
        let pending = self.store.connection().query_row(pending, [], |row| row.get(0));
        pending.map_err(|error| error.to_string())
    }

    /// Of every alarm that waits for somebody a chain tells on, and of no other.
    fn check_escalations(&self) -> Result<(), String> {
        let query = "SELECT
             (SELECT count(*) FROM alarm LEFT JOIN escalation ON escalation.alarm = alarm.id
              WHERE standing = 1 AND alarm.state LIKE '%_unacknowledged' AND json_extract(body, '$.mask') IS NULL
              AND json_extract(escalation.state, '$[0].next.at') IS NULL),
             (SELECT count(*) FROM escalation LEFT JOIN alarm ON escalation.alarm = alarm.id
              WHERE alarm.standing IS NOT 1 OR json_extract(escalation.state, '$[0].next.at') IS NOT NULL
              AND (alarm.state NOT LIKE '%_unacknowledged' OR json_extract(body, '$.mask') IS NOT NULL)),
             (SELECT count(*) FROM event WHERE type = 'alarm.escalated' AND json_extract(body, '$.level') = 1
              AND json_extract(body, '$.repeat') = 0)";
        let row = |row: &rusqlite::Row<'_>| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, i64>(1)?,
                row.get::<_, i64>(2)?,
            ))
        };
        let counts = self.store.connection().query_row(query, [], row);
        match counts.map_err(|error| error.to_string())? {
            (0, 0, 0) => Ok(()),
            (forgotten, needless, anew) => Err(format!(
                "{forgotten} alarms wait and nobody is told on, {needless} chains run for nobody, {anew} began anew"
            )),
        }
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
            for rule in Site::holding(self.variant, level) {
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
