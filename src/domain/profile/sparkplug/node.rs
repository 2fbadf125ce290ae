//! What is known of one edge node and its devices: their births, and whether a message of theirs was missed.
//!
//! ```text
//! Unborn ──birth──▶ Born ──gap, unknown alias──▶ Doubted ──birth──▶ Born      any ──death──▶ Dead ──birth──▶ Born
//! ```

use foldhash::HashMapExt as _;

use super::MAX_DEVICES;
use super::parts::SubjectId;
use super::rebirth::{Asked, request};
use super::wire::Metric;
use crate::domain::profile::command::Outgoing;
use crate::domain::time::{Moment, Ticks};

/// How far a device's aliases can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its birth has not been heard.
    Unborn,
    /// Its birth has been heard, and every message since.
    Born,
    /// Something was missed: an alias may name another metric by now.
    Doubted,
    /// It is gone.
    Dead,
}

/// What a message's number says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// It is the next one.
    InOrder,
    /// One before it was missed, or the node's birth was.
    Missed,
}

/// An edge node.
#[derive(Debug)]
pub(super) struct Node {
    group: Box<str>,
    edge: Box<str>,
    /// The number its next message has; `None` before its birth.
    next: Option<u8>,
    /// The number of its session.
    session: Option<u64>,
    /// Itself first, then its devices in the order of their first messages.
    pub(super) devices: Vec<Device>,
    by_name: foldhash::HashMap<Box<str>, u32>,
    asked: Asked,
    /// When its signs of life were last passed on.
    pub(super) signed: Option<Ticks>,
}

/// An edge node itself, or one of its devices.
#[derive(Debug)]
pub(super) struct Device {
    /// `group/edge`, or `group/edge/device`.
    pub(super) id: Box<str>,
    /// How far its aliases can be relied on.
    pub(super) standing: Standing,
    /// The devices, in our sense, that its metrics speak of.
    pub(super) subjects: Vec<SubjectId>,
    aliases: foldhash::HashMap<u64, Bound>,
    names: foldhash::HashMap<Box<str>, Bound>,
    targets: Vec<Target>,
}

/// What a metric stands for: some of its device's targets, none when nobody maps it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound {
    first: usize,
    count: usize,
    /// How its values are read.
    pub(super) datatype: u32,
}

/// One point of one of our devices.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    /// The place of its mapping.
    pub(super) mapped: usize,
    /// The device.
    pub(super) subject: SubjectId,
}

impl Node {
    /// The place of the node itself among its devices.
    pub(super) const OWN: u32 = 0;

    /// A node whose birth has not been heard.
    pub(super) fn new(group: &str, edge: &str) -> Node {
        Node {
            group: group.into(),
            edge: edge.into(),
            next: None,
            session: None,
            devices: vec![Device::new(format!("{group}/{edge}"))],
            by_name: foldhash::HashMap::new(),
            asked: Asked::default(),
            signed: None,
        }
    }

    /// The place of the device `name`, or of the node itself. `None`: it has too many.
    pub(super) fn device(&mut self, name: Option<&str>) -> Option<u32> {
        let Some(name) = name else {
            return Some(Node::OWN);
        };
        if let Some(at) = self.by_name.get(name) {
            return Some(*at);
        }
        if self.devices.len() > MAX_DEVICES {
            return None;
        }
        let at = u32::try_from(self.devices.len()).ok()?;
        self.devices
            .push(Device::new(format!("{}/{}/{name}", self.group, self.edge)));
        self.by_name.insert(name.into(), at);
        Some(at)
    }

    /// A birth of the node: a new session, in which no alias of the last one counts and its devices have yet to be
    /// born. How many names and aliases were forgotten.
    pub(super) fn is_born(&mut self, seq: Option<u64>, session: Option<u64>) -> usize {
        self.next = number(seq).map(|seq| seq.wrapping_add(1));
        self.session = session;
        let mut forgotten = 0;
        for device in self.devices.iter_mut().skip(1) {
            forgotten += device.forget();
            if device.standing != Standing::Dead {
                device.standing = Standing::Unborn;
            }
        }
        forgotten
    }

    /// Any other message of the node or its devices, except its death.
    pub(super) fn count(&mut self, seq: Option<u64>) -> Counted {
        let seq = number(seq);
        // Counting begins with a birth: until then a missed message would not be seen.
        let Some(next) = self.next else {
            self.doubt();
            return Counted::Missed;
        };
        if seq == Some(next) {
            self.next = Some(next.wrapping_add(1));
            return Counted::InOrder;
        }
        self.next = Some(seq.unwrap_or(next).wrapping_add(1));
        self.doubt();
        Counted::Missed
    }

    /// Whether the death of session `session` is that of the present one: a last will may come late, after the node
    /// has connected anew.
    pub(super) fn dies(&mut self, session: Option<u64>) -> bool {
        let other = self
            .session
            .zip(session)
            .is_some_and(|(ours, theirs)| ours != theirs);
        if !other {
            self.next = None;
        }
        !other
    }

    /// Whether it has been born and has not died.
    pub(super) const fn is_present(&self) -> bool {
        self.next.is_some()
    }

    /// A message may have been missed.
    pub(super) fn doubt(&mut self) {
        for device in &mut self.devices {
            device.doubt();
        }
    }

    /// The request for a rebirth, unless one is under way.
    pub(super) fn ask(&mut self, now: Moment) -> Option<Outgoing> {
        self.asked
            .again(now.ticks)
            .then(|| request(&self.group, &self.edge, now.wall))
    }
}

impl Device {
    fn new(id: String) -> Device {
        Device {
            id: id.into(),
            standing: Standing::Unborn,
            subjects: Vec::new(),
            aliases: foldhash::HashMap::new(),
            names: foldhash::HashMap::new(),
            targets: Vec::new(),
        }
    }

    /// An alias may name another metric by now.
    pub(super) fn doubt(&mut self) {
        if self.standing == Standing::Born {
            self.standing = Standing::Doubted;
        }
    }

    /// Its birth; how many names and aliases of the last one were forgotten.
    pub(super) fn is_born(&mut self) -> usize {
        self.standing = Standing::Born;
        self.subjects.clear();
        self.forget()
    }

    fn forget(&mut self) -> usize {
        let kept = self.aliases.len() + self.names.len();
        self.aliases.clear();
        self.names.clear();
        self.targets.clear();
        kept
    }

    /// Whether the metric called `name` has been bound.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// What the metric with this alias, or else this name, stands for.
    pub(super) fn find(&self, alias: Option<u64>, name: Option<&str>) -> Option<Bound> {
        let by_name = || self.names.get(name?).copied();
        let by_alias = || self.aliases.get(&alias?).copied();
        // A name says what it is; an alias says it only as of the last birth.
        by_name().or_else(by_alias)
    }

    /// The points it stands for.
    pub(super) fn targets(&self, bound: Bound) -> &[Target] {
        self.targets
            .get(bound.first..bound.first + bound.count)
            .unwrap_or_default()
    }

    /// The place of the next target.
    pub(super) const fn next_target(&self) -> usize {
        self.targets.len()
    }

    /// The metric being bound is a point of `subject`.
    pub(super) fn aim(&mut self, mapped: usize, subject: SubjectId) {
        self.targets.push(Target { mapped, subject });
        if !self.subjects.contains(&subject) {
            self.subjects.push(subject);
        }
    }

    /// What `metric`, whose targets are those from `first` on, stands for.
    pub(super) fn bound(&self, metric: &Metric, first: usize) -> Bound {
        Bound {
            first,
            count: self.targets.len() - first,
            datatype: metric.datatype.unwrap_or_default(),
        }
    }

    /// Keeps that. `false`: there is no room.
    pub(super) fn keep(&mut self, metric: &Metric, name: &str, bound: Bound, room: &mut usize) -> bool {
        let mut take = |wanted: bool| {
            let there = wanted && *room > 0;
            *room -= usize::from(there);
            there || !wanted
        };
        let mut whole = true;
        if let Some(alias) = metric.alias {
            let there = take(!self.aliases.contains_key(&alias));
            whole &= there;
            if there {
                self.aliases.insert(alias, bound);
            }
        }
        if bound.count > 0 {
            let there = take(!self.names.contains_key(name));
            whole &= there;
            if there {
                self.names.insert(name.into(), bound);
            }
        }
        whole
    }
}

/// A message's number, 0 to 255. A sender may leave out a 0.
fn number(seq: Option<u64>) -> Option<u8> {
    u8::try_from(seq.unwrap_or_default()).ok()
}
