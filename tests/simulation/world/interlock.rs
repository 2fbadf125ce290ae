//! Commands in the world: the connection that takes them to the valves, what these do, and who else commands.

use ninewatch::domain::alarm::Operator;
use ninewatch::domain::device::{DeviceIndex, DeviceKey};
use ninewatch::domain::id::Id;
use ninewatch::domain::journal::CommandInput;
use ninewatch::domain::time::Moment;
use ninewatch::handoff::{Envelope, OperatorAct, StoreCondition};

use super::super::Bug;
use super::super::orders::Published;
use super::super::valves::VALVES;
use super::World;

impl World<'_> {
    /// The connection for commands does a few things, each or not.
    pub(super) fn carry(&mut self, now: Moment) -> Result<(), String> {
        let connects = self.dice.chance(30);
        let acknowledges = self.dice.chance(60);
        let tells = self.dice.chance(70);
        if connects {
            self.process.link.connect();
        }
        if self.dice.chance(80) {
            self.take_commands(now);
        }
        while self.dice.chance(70)
            && let Some(message) = self.process.link.publish(now.ticks)
        {
            self.valves.tell(&message)?;
            let payload = String::from_utf8_lossy(&message.payload).into_owned();
            self.check_opening((message.device, message.id), &payload)?;
            self.say(|| format!("  {} {payload}", message.topic));
            self.published.push(Published {
                id: message.id,
                topic: message.topic,
                payload,
                life: self.tally.crashes,
            });
        }
        if acknowledges {
            self.process.link.acknowledge();
        }
        if tells
            && self.process.gateway.has_room()
            && let Some(sent) = self.process.link.told()
        {
            let noted = self.process.gateway.note_sent(sent, now);
            noted.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Whatever opens a valve is on record before it leaves, is still wanted, and leaves into no danger.
    fn check_opening(&self, (device, id): (DeviceIndex, Id), payload: &str) -> Result<(), String> {
        if !payload.contains(r#""command":"open""#) {
            return Ok(());
        }
        if !self.process.gateway.engine().may_leave(device, id) {
            return Err(format!(
                "an opening left after it was over, or in danger: {payload}"
            ));
        }
        let known = "SELECT count(*) FROM command WHERE id = ?1";
        let known = self
            .store
            .connection()
            .query_row(known, [id.bits().to_be_bytes()], |row| row.get::<_, i64>(0));
        match known {
            Ok(1) => Ok(()),
            Ok(_) => Err(format!("an opening left before its commit: {payload}")),
            Err(error) => Err(error.to_string()),
        }
    }

    fn take_commands(&mut self, now: Moment) -> bool {
        let taken = self.process.link.take(now);
        for id in &taken {
            self.unrenewed.remove(id);
        }
        !taken.is_empty()
    }

    /// The devices can be heard, for the first time since the start: what was not proven is sent again, at once.
    pub(super) fn check_renewed(&mut self, now: Moment) -> Result<(), String> {
        if self.bug == Some(Bug::NotRenewed) {
            self.process.link.lose();
        }
        while self.take_commands(now) && !self.unrenewed.is_empty() {
            // What found no room goes with the next input.
            let condition = StoreCondition {
                disk_low: false,
                disk_full: false,
                failed: None,
                history_lost: false,
            };
            let noted = self.process.gateway.note_store(condition, now);
            noted.map_err(|error| error.to_string())?;
        }
        self.renewed = true;
        Ok(())
    }

    /// The orders that ended in the batches closed since need not be sent again.
    pub(super) fn note_ended(&mut self) -> Result<(), String> {
        for batch in self.process.ended.drain(..) {
            for id in batch {
                self.unrenewed.remove(&id);
            }
            if self.renewed && !self.unrenewed.is_empty() {
                return Err(format!("not sent again after a crash: {:?}", self.unrenewed));
            }
        }
        Ok(())
    }

    /// Notes when a valve's word came as news.
    pub(super) fn note_live(&mut self, envelope: &mut Envelope, now: Moment) {
        if !envelope.topic.contains("/shutoff_valve/") {
            return;
        }
        let body: Option<serde_json::Value> = serde_json::from_slice(&envelope.payload).ok();
        let seq = body.and_then(|body| body["seq"].as_u64());
        if let Some(seq) = seq.filter(|_| !envelope.retained) {
            self.live.entry(seq).or_default().push(now);
        }
        if self.bug == Some(Bug::RetainedProves) {
            envelope.retained = false;
        }
    }

    pub(super) fn valve_step(&mut self) {
        let wall = self.wall();
        for message in self.valves.step(&mut self.dice, wall) {
            self.say(|| format!("  {} {:?}", message.topic, message.payload));
            self.broker.publish(message);
        }
    }

    pub(super) fn turn_valve(&mut self) {
        let message = self.valves.turn(&mut self.dice);
        self.say(|| format!("  {} {:?}", message.topic, message.payload));
        self.broker.publish(message);
    }

    /// A person commands a valve.
    pub(super) fn command(&mut self, operator: Operator, now: Moment) -> Result<(), String> {
        let (venue, device) = self.dice.pick(&VALVES);
        let input = CommandInput {
            device: DeviceKey {
                venue: venue.to_owned(),
                kind: "shutoff_valve".to_owned(),
                device: device.to_owned(),
            },
            command: self.dice.pick(&["open", "open", "close", "explode"]).to_owned(),
            // Whatever it says, the registration counts.
            remote_open: self.dice.chance(50),
            operator,
        };
        self.say(|| format!("  {} of {device}", input.command));
        self.process.operate(OperatorAct::Command(input), now)
    }
}
