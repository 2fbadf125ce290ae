//! What has to hold of the disk whenever the gateway starts, and at the end: compared with what was promised, and with
//! an engine that plays the whole journal from its first input.

use std::collections::{HashMap, HashSet};

use ninewatch::domain::engine::{Effects, Engine};
use ninewatch::domain::history::Sample;
use ninewatch::domain::id::Id;
use ninewatch::domain::interlock::Report;
use ninewatch::domain::journal::{self, Entry};
use ninewatch::domain::notice::{AlarmBody, DeviceEventBody, EventBody};
use ninewatch::domain::notice_command::{CommandEventBody, OrderBody};
use ninewatch::domain::time::{Moment, Ticks};
use ninewatch::store::Store;
use rusqlite::Connection;

use super::broker::{Mark, Message};
use super::kept::Taken;
use super::officer::Officer;
use super::orders::{Live, Orders};
use super::site::{GATEWAY, Site, TARGETS};

/// An event as it is stored: its id and its body.
type Event = ([u8; 16], String);

/// An engine that has played the whole journal, and what that caused.
pub(crate) struct Reference {
    pub(crate) engine: Engine,
    alarms: Vec<Event>,
    devices: Vec<Event>,
    commands: Vec<Event>,
    pub(crate) rules: Orders,
    /// The last shown state of each order, and whether it is over.
    orders: HashMap<[u8; 16], (String, bool)>,
    /// The last shown state of each alarm.
    bodies: HashMap<[u8; 16], String>,
    /// The events of alarms and orders that people are told of.
    owed: HashSet<[u8; 16]>,
    standing: HashMap<[u8; 16], bool>,
    samples: Vec<Sample>,
    seen: Seen,
    /// The latest moment of an input.
    pub(crate) latest: Ticks,
}

/// What the journal holds.
#[derive(Default)]
struct Seen {
    /// With how often each came.
    seqs: HashMap<u64, usize>,
    ats: HashSet<i64>,
    plain: usize,
    /// Valves' answers to commands.
    answers: usize,
    operators: HashSet<String>,
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
pub(crate) fn sql(error: rusqlite::Error) -> String {
    error.to_string()
}

/// Plays all journal rows from the first, also those that retention has taken.
pub(crate) fn reference(site: &Site, store: &Store, taken: &Taken, live: &Live) -> Result<Reference, String> {
    let mut reference = Reference {
        engine: Engine::new(GATEWAY),
        alarms: Vec::new(),
        devices: Vec::new(),
        commands: Vec::new(),
        rules: Orders::default(),
        orders: HashMap::new(),
        bodies: HashMap::new(),
        owed: HashSet::new(),
        standing: HashMap::new(),
        samples: Vec::new(),
        seen: Seen::default(),
        latest: Ticks::default(),
    };
    let mut effects = Effects::default();
    let present = rows(store.connection()).map_err(sql)?;
    for (first_input, entries) in taken.journal.iter().chain(&present) {
        for (input, (moment, entry, alone)) in (*first_input..).zip(apart(*first_input, entries)?) {
            let find = |hash: &_| site.find(hash);
            journal::replay_into(&mut reference.engine, input, &alone, find, &mut effects)
                .map_err(|error| error.to_string())?;
            let Reference { engine, rules, .. } = &mut reference;
            if let Entry::Definitions { hash } = &entry {
                rules.configure(site.linkage(hash));
            }
            rules.note((moment, &entry), &effects, engine, live)?;
            reference.record(site, &mut effects);
            reference.latest = reference.latest.max(moment.ticks);
            reference.seen.note(entry);
        }
    }
    Ok(reference)
}

/// The entries of a row, each with a row of its own.
fn apart(first_input: u64, bytes: &[u8]) -> Result<Vec<(Moment, Entry, Vec<u8>)>, String> {
    let mut rest = bytes;
    let mut all = Vec::new();
    for entry in journal::entries(first_input, bytes) {
        let (moment, entry) = entry.map_err(|error| error.to_string())?;
        // How far the clocks had moved, then the entry.
        let (_, tail) = postcard::take_from_bytes::<(i64, u64)>(rest).expect("it was read");
        let (_, after) = postcard::take_from_bytes::<Entry>(tail).expect("it was read");
        let mut alone = postcard::to_stdvec(&(moment.wall.0, moment.ticks.0)).expect("two numbers");
        alone.extend_from_slice(&tail[..tail.len() - after.len()]);
        all.push((moment, entry, alone));
        rest = after;
    }
    Ok(all)
}

/// The journal's rows without their seals: form, checksum, entries.
fn rows(connection: &Connection) -> rusqlite::Result<Vec<(u64, Vec<u8>)>> {
    connection
        .prepare_cached("SELECT first_input, substr(entries, 6) FROM journal ORDER BY first_input")?
        .query_map([], |row| Ok((row.get::<_, i64>(0)?.unsigned_abs(), row.get(1)?)))?
        .collect()
}

impl Seen {
    fn note(&mut self, entry: Entry) {
        match entry {
            Entry::Reading { seq, device_at, .. } => {
                if let Some(seq) = seq {
                    *self.seqs.entry(seq).or_default() += 1;
                }
                self.ats.extend(device_at.map(|at| at.at.0));
                self.plain += usize::from(seq.is_none() && device_at.is_none());
            }
            Entry::Operator(input) => drop(self.operators.insert(input.operator.by)),
            Entry::Service(input) => drop(self.operators.insert(input.operator.by)),
            Entry::Registered(input) => drop(self.operators.insert(input.operator.by)),
            Entry::Command(input) => drop(self.operators.insert(input.operator.by)),
            Entry::Commanded(commanded) => {
                let answer = matches!(commanded.report, Report::Acknowledged | Report::Declined);
                self.answers += usize::from(answer);
            }
            Entry::Device(_)
            | Entry::Addressed { .. }
            | Entry::Escalate(_)
            | Entry::PartOf { .. }
            | Entry::Timeout
            | Entry::Definitions { .. }
            | Entry::Listening(_)
            | Entry::Own { .. } => {}
        }
    }
}

impl Reference {
    /// How many of them were tellings of chains.
    pub(crate) fn escalated(&self) -> usize {
        let escalated = |body: &str| body.contains("\"type\":\"alarm.escalated\"");
        self.alarms.iter().filter(|(_, body)| escalated(body)).count()
    }

    /// How many alarm events there were.
    pub(crate) const fn alarms(&self) -> usize {
        self.alarms.len()
    }

    fn record(&mut self, site: &Site, effects: &mut Effects) {
        let settings = site.settings();
        let (registry, url) = (&settings.registry, &settings.gateway.public_url);
        self.samples.append(&mut effects.samples);
        let json = "a body is JSON";
        for event in effects.devices.drain(..) {
            let body = serde_json::to_string(&DeviceEventBody::new(&event, registry, GATEWAY)).expect(json);
            self.devices.push((key(event.id), body));
        }
        for event in effects.alarms.drain(..) {
            let alarm = AlarmBody::new(&event.alarm, registry);
            let body = EventBody::new(&event, &alarm, GATEWAY, url);
            let body = serde_json::to_string(&body).expect(json);
            self.alarms.push((key(event.id), body));
            let id = key(event.alarm.id);
            self.standing.insert(
                id,
                event.step.end().is_none() && event.alarm.state.as_str() != "cleared",
            );
            self.bodies.insert(id, serde_json::to_string(&alarm).expect(json));
            if event.notify {
                self.owed.insert(key(event.id));
            }
        }
        effects.attempts.clear();
        for event in effects.commands.drain(..) {
            let order = OrderBody::new(&event, registry);
            let body = CommandEventBody::new(&event, &order, registry, (GATEWAY, url));
            let body = serde_json::to_string(&body).expect(json);
            self.commands.push((key(event.id), body));
            let shown = serde_json::to_string(&order).expect(json);
            let over = event.step.result().is_some();
            self.orders.insert(key(event.order.id), (shown, over));
            if event.notify {
                self.owed.insert(key(event.id));
            }
        }
    }

    /// Everything that the gateway promised by an acknowledgement or an answer is on the disk, with what it caused, once.
    pub(crate) fn check(
        &self,
        store: &Store,
        taken: &Taken,
        acknowledged: &[Message],
        answered: &[String],
    ) -> Result<(), String> {
        self.check_messages(store.connection(), acknowledged)?;
        for by in answered {
            if !self.seen.operators.contains(by) {
                return Err(format!(
                    "operator {by} was answered, and the journal does not know them"
                ));
            }
        }
        self.check_effects(store, taken)?;
        taken.check_history(store.connection(), &self.samples)
    }

    /// What came at QoS 0 was taken once at the most.
    pub(crate) fn check_fleeting(&self, seqs: &[u64]) -> Result<(), String> {
        match seqs
            .iter()
            .find(|seq| self.seen.seqs.get(seq).is_some_and(|times| *times > 1))
        {
            None => Ok(()),
            Some(seq) => Err(format!("message {seq} came at QoS 0 and was taken twice")),
        }
    }

    fn check_messages(&self, disk: &Connection, acknowledged: &[Message]) -> Result<(), String> {
        let mut letters = HashSet::new();
        let mut oversize = HashSet::new();
        let mut plain_letters = 0;
        let mut query = disk
            .prepare_cached("SELECT payload, size, reason FROM dead_letter")
            .map_err(sql)?;
        let mut rows = query.query([]).map_err(sql)?;
        while let Some(row) = rows.next().map_err(sql)? {
            let payload: Vec<u8> = row.get(0).map_err(sql)?;
            let reason: String = row.get(2).map_err(sql)?;
            oversize.insert(row.get::<_, i64>(1).map_err(sql)?);
            let text = String::from_utf8_lossy(&payload);
            let plain = !text.contains("seq") && !text.contains("ts");
            plain_letters += usize::from(plain && reason == "too_many_unregistered");
            letters.insert(payload);
        }
        let (mut plain, mut answers) = (0, 0);
        for message in acknowledged {
            let stored = match message.mark {
                Mark::Seq(seq) => self.seen.seqs.contains_key(&seq) || letters.contains(&*message.payload),
                Mark::At(at) => self.seen.ats.contains(&at) || letters.contains(&*message.payload),
                Mark::Letter => letters.contains(&*message.payload),
                Mark::Oversize(size) => oversize.contains(&i64::try_from(size).expect("small")),
                Mark::Answer => {
                    answers += 1;
                    answers <= self.seen.answers
                }
                Mark::Plain => {
                    plain += 1;
                    plain <= self.seen.plain + plain_letters
                }
            };
            if !stored {
                return Err(format!("acknowledged, and not on the disk: {message:?}"));
            }
        }
        Ok(())
    }

    fn check_effects(&self, store: &Store, taken: &Taken) -> Result<(), String> {
        let disk = store.connection();
        let events = taken.all_events(disk).map_err(sql)?;
        let ids: HashSet<[u8; 16]> = events.iter().map(|event| event.id).collect();
        if ids.len() != events.len() {
            return Err("two events have one id".to_owned());
        }
        let stored = |of: &str| -> Vec<Event> {
            let events = events.iter().filter(|event| event.event_type.starts_with(of));
            events.map(|event| (event.id, event.body.clone())).collect()
        };
        same("alarm events", &stored("alarm."), &self.alarms)?;
        same("device events", &stored("device."), &self.devices)?;
        same("command events", &stored("command."), &self.commands)?;
        taken.check_chain(store)?;
        self.check_alarms(disk, taken)?;
        self.check_orders(disk, taken)?;
        self.check_outbox(disk, taken)
    }

    fn check_orders(&self, disk: &Connection, taken: &Taken) -> Result<(), String> {
        let mut query = disk
            .prepare_cached("SELECT id, body, open = 0 FROM command")
            .map_err(sql)?;
        let stored: HashMap<[u8; 16], (String, bool)> = query
            .query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))
            .and_then(Iterator::collect)
            .map_err(sql)?;
        if let Some(order) = stored
            .iter()
            .find(|(id, order)| self.orders.get(*id) != Some(*order))
        {
            return Err(format!(
                "an order is stored as {order:?}, and is {:?}",
                self.orders.get(order.0)
            ));
        }
        let missing =
            |id: &[u8; 16], over: bool| !(stored.contains_key(id) || over && taken.orders.contains(id));
        match self.orders.iter().find(|(id, (_, over))| missing(id, *over)) {
            None => Ok(()),
            Some((_, order)) => Err(format!("an order is not stored: {order:?}")),
        }
    }

    fn check_alarms(&self, disk: &Connection, taken: &Taken) -> Result<(), String> {
        let mut query = disk
            .prepare_cached("SELECT id, body, standing FROM alarm")
            .map_err(sql)?;
        let alarms: Vec<([u8; 16], String, bool)> = query
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .and_then(Iterator::collect)
            .map_err(sql)?;
        let stored: HashSet<&[u8; 16]> = alarms.iter().map(|(id, _, _)| id).collect();
        let missing = self.bodies.keys().filter(|id| !stored.contains(id));
        for id in missing {
            // What stands is never given up.
            if !taken.alarms.contains(id) || self.standing.get(id) == Some(&true) {
                return Err(format!("an alarm is not stored: {:?}", self.bodies.get(id)));
            }
        }
        for (id, body, standing) in &alarms {
            if self.bodies.get(id) != Some(body) || self.standing.get(id) != Some(standing) {
                return Err(format!(
                    "an alarm is stored as {body}, and is {:?}",
                    self.bodies.get(id)
                ));
            }
        }
        let twice: i64 = disk
            .query_row(
                "SELECT count(*) FROM (SELECT 1 FROM alarm WHERE standing = 1 GROUP BY rule, venue, device, kind HAVING count(*) > 1)",
                [],
                |row| row.get(0),
            )
            .map_err(sql)?;
        if twice > 0 {
            return Err("two alarms of one rule stand on one device".to_owned());
        }
        let standing = alarms.iter().filter(|(_, _, standing)| *standing).count();
        if standing != self.engine.standing_count() {
            return Err(format!(
                "{standing} alarms stand on the disk, {} in the engine",
                self.engine.standing_count()
            ));
        }
        Ok(())
    }

    /// Every target is owed each notice in one row.
    fn check_outbox(&self, disk: &Connection, taken: &Taken) -> Result<(), String> {
        let mut query = disk
            .prepare_cached("SELECT id FROM outbox WHERE target = ?1 ORDER BY row")
            .map_err(sql)?;
        for target in TARGETS {
            let owed: Vec<[u8; 16]> = query
                .query_map([target], |row| row.get(0))
                .and_then(Iterator::collect)
                .map_err(sql)?;
            let gone = taken.notices_of(target);
            let ids: HashSet<[u8; 16]> = owed.iter().chain(&gone).copied().collect();
            if ids.len() != owed.len() + gone.len() || ids != self.owed {
                return Err(format!(
                    "{target} is owed {} notices in {} rows, of {}",
                    ids.len(),
                    owed.len(),
                    self.owed.len()
                ));
            }
        }
        Ok(())
    }

    /// Every target has every notice, and the store knows it.
    pub(crate) fn check_delivered(
        &self,
        store: &Store,
        taken: &Taken,
        officers: &[Officer],
    ) -> Result<(), String> {
        let pending = "SELECT count(*) FROM outbox WHERE delivered_at IS NULL";
        let pending: i64 = store
            .connection()
            .query_row(pending, [], |row| row.get(0))
            .map_err(sql)?;
        if pending > 0 {
            return Err(format!("{pending} notices are pending at the end"));
        }
        for (target, officer) in TARGETS.iter().zip(officers) {
            let received: HashSet<[u8; 16]> = officer.received.keys().map(|id| key(*id)).collect();
            let owed = self.owed.iter();
            let missing = owed
                .filter(|id| !received.contains(*id) && !taken.expired.contains(&(target.to_string(), **id)));
            if let Some(missing) = missing.min() {
                let id = Id::from_bits(u128::from_be_bytes(*missing));
                return Err(format!("{target} never got the notice {id}"));
            }
            if !received.is_subset(&self.owed) {
                return Err(format!(
                    "{target} got {} notices of {}",
                    received.len(),
                    self.owed.len()
                ));
            }
        }
        Ok(())
    }
}

fn same(what: &str, stored: &[Event], expected: &[Event]) -> Result<(), String> {
    if stored == expected {
        return Ok(());
    }
    let at = stored
        .iter()
        .zip(expected)
        .take_while(|(one, other)| one == other)
        .count();
    Err(format!(
        "{what}: {} are stored, {} were caused; they differ at {at}: {:?} against {:?}",
        stored.len(),
        expected.len(),
        stored.get(at),
        expected.get(at)
    ))
}

fn key(id: Id) -> [u8; 16] {
    id.bits().to_be_bytes()
}
