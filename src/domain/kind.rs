//! Device kinds and their points: data (`config/kinds.toml`), not code. A kind numbers its points, so that a
//! reading is a row of `f64` slots and a rule a program over slot numbers.

use serde::{Deserialize, Serialize};

use super::interlock::CommandDef;
use super::text::Text;
use super::time::Millis;

/// The most points a kind may have.
pub const MAX_POINTS: usize = 64;

/// The most slots a kind may have: its points, and behind them what its rules derive from them over time.
pub const MAX_SLOTS: usize = 128;

/// The point every kind has first: 1 after any live message or an `online` status, 0 after `offline`.
pub const ONLINE: PointIndex = PointIndex(0);

/// The name of [`ONLINE`] in rules.
pub const ONLINE_NAME: &str = "online";

/// What rules are on that watch the devices of every kind; not the gateway.
pub const EVERY_KIND: &str = "device";

/// The built-in kind of the gateway itself.
pub const GATEWAY_KIND: &str = "gateway";

/// What `on` says for a rule on venues.
pub const VENUE: &str = "venue";

/// The gateway's point that says whether it is connected to the broker.
pub const BROKER: PointIndex = PointIndex(1);

/// The gateway's point that says whether less of the disk is free than the reserve, so that telemetry is shed.
pub const DISK_LOW: PointIndex = PointIndex(2);

/// The gateway's point that says whether the disk was full, so that the space kept for alarms was given up.
pub const DISK_FULL: PointIndex = PointIndex(3);

/// The gateway's point that says whether commits fail.
pub const STORE_FAILED: PointIndex = PointIndex(4);

/// The gateway's point that says whether a damaged database was set aside, and what was in it is not known here.
pub const HISTORY_LOST: PointIndex = PointIndex(5);

/// The gateway's point that says whether the connection for commands stands.
pub const COMMAND_LINK: PointIndex = PointIndex(6);

/// What a kind may not be called: the words that say what a rule is on.
pub const RESERVED: [&str; 4] = [EVERY_KIND, GATEWAY_KIND, VENUE, "devices"];

/// A point's number within its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PointIndex(pub u8);

/// A set of slots of one kind: points and derived values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlotSet(u128);

impl SlotSet {
    /// No slot.
    pub const EMPTY: SlotSet = SlotSet(0);

    /// Every slot that there can be.
    pub const ALL: SlotSet = SlotSet(u128::MAX);

    /// `self` with `point` too.
    #[must_use]
    pub const fn with(self, point: PointIndex) -> SlotSet {
        self.with_slot(point.0)
    }

    /// `self` with `slot` too.
    #[must_use]
    pub const fn with_slot(self, slot: u8) -> SlotSet {
        SlotSet(self.0 | (1_u128 << (slot & 127)))
    }

    /// Everything in either.
    #[must_use]
    pub const fn union(self, other: SlotSet) -> SlotSet {
        SlotSet(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn intersection(self, other: SlotSet) -> SlotSet {
        SlotSet(self.0 & other.0)
    }

    /// Whether the two have a slot in common.
    pub const fn intersects(self, other: SlotSet) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether `point` is in it.
    pub const fn contains(self, point: PointIndex) -> bool {
        self.0 & (1_u128 << (point.0 & 127)) != 0
    }

    /// Its slots, in order.
    #[inline]
    pub const fn slots(self) -> Slots {
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        let (below, above) = (self.0 as u64, (self.0 >> 64) as u64);
        Slots {
            base: 0,
            bits: below,
            above,
        }
    }

    /// Whether it is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The slots of a [`SlotSet`], in order.
#[derive(Debug, Clone)]
pub struct Slots {
    base: u8,
    bits: u64,
    above: u64,
}

impl Iterator for Slots {
    type Item = u8;

    #[inline]
    fn next(&mut self) -> Option<u8> {
        if self.bits == 0 {
            self.base = 64;
            self.bits = std::mem::take(&mut self.above);
        }
        if self.bits == 0 {
            return None;
        }
        let slot = u8::try_from(self.bits.trailing_zeros()).ok()?;
        self.bits &= self.bits - 1;
        Some(self.base + slot)
    }
}

/// What a point's value may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum ValueType {
    /// A number in `unit`; outside `min..=max` it is no reading.
    Number {
        /// The unit as shown and exported, for example `%LEL`, `℃`, `W`.
        unit: String,
        /// Least credible value.
        min: f64,
        /// Greatest credible value.
        max: f64,
    },
    /// True or false.
    Bool,
    /// One of these words.
    Enum {
        /// The words; a value is stored as its place in this list.
        values: Vec<String>,
    },
}

/// When the history keeps a value of a point: by exception, not each.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Keep {
    /// A number is kept when it is farther than this from the last one kept; 0: every change.
    pub deadband: f64,
    /// An unchanged value is kept anew, by the next reading, when so long has passed since the last one kept.
    pub max_interval: Millis,
}

impl Keep {
    /// How long a kept value speaks for the time after it: twice [`Keep::max_interval`]. Of what comes later nothing
    /// is known, since a device that speaks would have had it kept again.
    pub const fn holds_for(self) -> Millis {
        Millis(self.max_interval.0.saturating_mul(2))
    }
}

/// Every change, and every ten minutes: often enough to see in the history that a device went on speaking, and rare
/// enough that a quarter of a year of three thousand devices takes a few gigabytes.
impl Default for Keep {
    fn default() -> Keep {
        Keep {
            deadband: 0.0,
            max_interval: Millis(600_000),
        }
    }
}

/// One measured quantity of a kind, as written in `kinds.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PointDef {
    /// Its name in payloads, rules, metrics and the API.
    pub id: String,
    /// What its value may be.
    pub value: ValueType,
    /// The slot value before the device has said anything of this point (a detector that sends no `state` is
    /// taken as `normal`). Without it the point is unknown until first heard.
    pub default: Option<f64>,
    /// Not heard of for so long, the point is unknown again; `None`: its last value stays.
    #[serde(default)]
    pub stale_after: Option<Millis>,
    /// When the history keeps a value of it.
    #[serde(default)]
    pub keep: Keep,
    /// Its name for people.
    pub title: Text,
}

/// A device kind, as written in `kinds.toml`, with `online` put in front of its points.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Kind {
    /// Its name in topics, rules and metrics, for example `gas_detector`.
    pub id: String,
    /// Its name for people.
    pub title: Text,
    /// Its points; [`ONLINE`] is the first.
    pub points: Vec<PointDef>,
    /// CEL: when a device of it is broken, so that its values prove nothing.
    #[serde(default)]
    pub faulty: Option<String>,
    /// What its devices can be told.
    #[serde(default)]
    pub commands: Vec<CommandDef>,
}

impl Kind {
    /// The kind of the gateway itself. No message speaks for it: the engine knows. Its points stand in the order of
    /// their numbers ([`BROKER`] and what follows it).
    pub fn gateway() -> Kind {
        let text = |zh: &str, en: &str| Text {
            zh: zh.to_owned(),
            en: en.to_owned(),
        };
        let points = [
            ("broker", text("已连接消息服务器", "Connected to the broker")),
            (
                "disk_low",
                text("磁盘空间低于预留", "Disk space below the reserve"),
            ),
            ("disk_full", text("磁盘已满", "Disk full")),
            ("store_failed", text("数据库无法写入", "Store cannot be written")),
            (
                "history_lost",
                text("历史数据库已损坏并隔离", "Damaged database set aside"),
            ),
            (
                "command_link",
                text("命令通道已连接", "Connection for commands up"),
            ),
        ];
        let points = points.map(|(id, title)| PointDef {
            id: id.to_owned(),
            value: ValueType::Bool,
            default: None,
            stale_after: None,
            keep: Keep::default(),
            title,
        });
        Kind::new(GATEWAY_KIND.to_owned(), text("网关", "Gateway"), points.to_vec())
    }

    /// A kind with these points behind the built-in `online`. At most [`MAX_POINTS`]` - 1` points; the
    /// configuration loader reports more, here the rest is left out.
    pub fn new(id: String, title: Text, points: Vec<PointDef>) -> Kind {
        let online = PointDef {
            id: ONLINE_NAME.to_owned(),
            value: ValueType::Bool,
            default: None,
            stale_after: None,
            keep: Keep::default(),
            title: Text {
                zh: "在线".to_owned(),
                en: "Online".to_owned(),
            },
        };
        let points = std::iter::once(online).chain(points).take(MAX_POINTS).collect();
        Kind {
            id,
            title,
            points,
            faulty: None,
            commands: Vec::new(),
        }
    }

    /// The point called `id`.
    pub fn point(&self, id: &str) -> Option<(PointIndex, &PointDef)> {
        self.points().find(|(_, point)| point.id == id)
    }

    /// The command called `id`.
    pub fn command(&self, id: &str) -> Option<&CommandDef> {
        self.commands.iter().find(|command| command.id == id)
    }

    /// The point with this number.
    pub fn point_at(&self, index: PointIndex) -> Option<&PointDef> {
        self.points.get(usize::from(index.0))
    }

    /// All points with their numbers.
    pub fn points(&self) -> impl Iterator<Item = (PointIndex, &PointDef)> {
        (0_u8..).map(PointIndex).zip(&self.points)
    }
}

impl PointDef {
    /// The slot value `value` as a person or a JSON reader expects it: a number, `true`/`false`, or the word.
    pub fn shown(&self, value: f64) -> serde_json::Value {
        self.value.shown(value)
    }
}

impl ValueType {
    /// The slot value `value` as a person or a JSON reader expects it: a number, `true`/`false`, or the word.
    pub fn shown(&self, value: f64) -> serde_json::Value {
        match self {
            ValueType::Number { .. } => serde_json::json!(value),
            ValueType::Bool => serde_json::json!(value != 0.0),
            ValueType::Enum { values } => {
                let word = values
                    .iter()
                    .enumerate()
                    .find(|(place, _)| (*place as f64 - value).abs() < 0.5);
                word.map_or(serde_json::Value::Null, |(_, word)| serde_json::json!(word))
            }
        }
    }
}
