//! Values of one item: where they stand, compiled, and the conditions and marks on them. Reads cells, never a payload.

use super::Reject;
use super::def::{ByteField, ConditionDef, MarkDef, SourceDef, TestDef};
use super::place::Place;
use super::plan::Plan;
use super::table::{ALWAYS, Table, mark};
use super::topic::{Ranges, Template};
use super::wire::bytes;
use super::wire::scalar::{Scalar, bad_value, read_bool};
use super::wire::words::{self, Pattern};

/// An item with all that it can refer to.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'v> {
    /// What was found in the payload.
    pub(super) table: &'v Table,
    /// The item's row.
    pub(super) row: usize,
    /// The topic.
    pub(super) topic: &'v str,
    /// What the template took from it.
    pub(super) captures: &'v Ranges,
}

impl<'v> View<'v> {
    /// The text of a capture of the topic.
    pub(super) fn captured(&self, place: usize) -> Option<&'v str> {
        captured(self.topic, self.captures, place)
    }
}

/// The text of a capture of `topic`.
pub(super) fn captured<'t>(topic: &'t str, captures: &Ranges, place: usize) -> Option<&'t str> {
    let (from, to) = captures.get(place)?;
    topic.get(*from as usize..*to as usize)
}

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Cell { up: usize, slot: u16 },
    Key(usize),
    Index(usize),
    Number(usize),
    Topic(usize),
}

/// A value: the first place that has one.
#[derive(Debug)]
pub(super) struct Source {
    first: At,
    others: Box<[At]>,
    /// Whether the item itself is all of them.
    whole: bool,
    /// Their marks: without any of them in the table there is no value.
    marks: u128,
    bytes: Option<ByteField>,
}

/// What a source found.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'v> {
    /// Nothing.
    Absent,
    /// Bytes that end before the field.
    Short,
    /// A value, perhaps null.
    Found(Scalar<'v>),
}

impl Source {
    /// Compiles `def`; the plan reads what it needs from now on. The error says what to write instead.
    pub(super) fn new(def: &SourceDef, plan: &mut Plan, template: &Template) -> Result<Source, String> {
        let mut places = Vec::new();
        for text in &def.at {
            places.push(At::new(text, plan, template)?);
        }
        if let Some(field) = def.bytes
            && !(1..=8).contains(&field.width)
        {
            return Err("a number has a width of 1 to 8 bytes".to_owned());
        }
        let first = match places.first() {
            Some(first) => *first,
            None => At::new("", plan, template)?,
        };
        let others: Box<[At]> = places.into_iter().skip(1).collect();
        Ok(Source {
            marks: others.iter().fold(first.marks(), |marks, at| marks | at.marks()),
            first,
            others,
            whole: def.at.iter().all(String::is_empty),
            bytes: def.bytes,
        })
    }

    /// Whether it is the item itself.
    pub(super) fn is_item(&self) -> bool {
        self.whole && self.bytes.is_none()
    }

    /// Whether there is a value in `view`, other than null.
    #[inline]
    fn is_there(&self, view: &View<'_>) -> bool {
        if !view.table.may_have(self.marks) {
            return false;
        }
        if self.bytes.is_some() {
            return matches!(self.value(view), Value::Found(scalar) if !scalar.is_null());
        }
        self.first.is_there(view) || self.others.iter().any(|place| place.is_there(view))
    }

    /// The value in `view`.
    #[inline]
    pub(super) fn value<'v>(&self, view: &View<'v>) -> Value<'v> {
        if !view.table.may_have(self.marks) {
            return Value::Absent;
        }
        match self.first.value(view) {
            Some(scalar) if !scalar.is_null() => self.cut(scalar),
            found if self.others.is_empty() => found.map_or(Value::Absent, Value::Found),
            found => self.other(found.map_or(Value::Absent, Value::Found), view),
        }
    }

    fn other<'v>(&self, first: Value<'v>, view: &View<'v>) -> Value<'v> {
        let mut seen = first;
        for place in &self.others {
            match place.value(view) {
                None => {}
                Some(Scalar::Null) => seen = Value::Found(Scalar::Null),
                Some(scalar) => return self.cut(scalar),
            }
        }
        seen
    }

    #[inline]
    fn cut<'v>(&self, scalar: Scalar<'v>) -> Value<'v> {
        match (self.bytes, scalar) {
            (Some(field), Scalar::Bytes(all)) => bytes::number(field, all).map_or(Value::Short, Value::Found),
            (Some(_) | None, _) => Value::Found(scalar),
        }
    }
}

impl At {
    fn new(text: &str, plan: &mut Plan, template: &Template) -> Result<At, String> {
        let leaf = plan.depth();
        let within = |up: usize| {
            if up <= leaf {
                Ok(up)
            } else {
                Err(match leaf {
                    0 => format!("{text:?}: without `each` there is nothing further out; leave the ^ away"),
                    _ => format!("{text:?} is further out than `each` goes in, which is {leaf} levels"),
                })
            }
        };
        Ok(match Place::parse(text)? {
            Place::Pointer { up, path } => At::Cell {
                up: within(up)?,
                slot: plan.cell(leaf - within(up)?, &path)?,
            },
            Place::Key(up) => At::Key(within(up + 1)? - 1),
            Place::Index(up) => At::Index(within(up + 1)? - 1),
            Place::Number(up) => At::Number(within(up + 1)? - 1),
            Place::Topic(name) => At::Topic(
                template
                    .place(&name)
                    .ok_or_else(|| format!("the topic has no {{{name}}}"))?,
            ),
        })
    }

    const fn marks(self) -> u128 {
        match self {
            At::Cell { slot, .. } => mark(slot),
            At::Key(_) | At::Index(_) | At::Number(_) | At::Topic(_) => ALWAYS,
        }
    }

    #[inline]
    fn is_there(self, view: &View<'_>) -> bool {
        match self {
            At::Cell { up, slot } => view.table.has(view.table.out(view.row, up), slot),
            At::Key(_) | At::Index(_) | At::Number(_) => true,
            At::Topic(place) => view.captured(place).is_some(),
        }
    }

    #[inline]
    fn value<'v>(self, view: &View<'v>) -> Option<Scalar<'v>> {
        let table = view.table;
        Some(match self {
            At::Cell { up, slot } => return table.get(table.out(view.row, up), slot),
            At::Key(up) => table.key(table.out(view.row, up)),
            At::Index(up) => Scalar::Unsigned(table.index(table.out(view.row, up)) as u64),
            At::Number(up) => Scalar::Unsigned(table.index(table.out(view.row, up)) as u64 + 1),
            At::Topic(place) => Scalar::Text(view.captured(place)?),
        })
    }
}

/// A condition on a value.
#[derive(Debug)]
pub(super) struct Condition {
    source: Source,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Present(bool),
    Is(Vec<Pattern>),
    Not(Vec<Pattern>),
}

impl Condition {
    /// Compiles `def`.
    pub(super) fn new(def: &ConditionDef, plan: &mut Plan, template: &Template) -> Result<Condition, String> {
        let patterns = |words: &Vec<String>| words.iter().map(|word| Pattern::parse(word)).collect();
        Ok(Condition {
            source: Source::new(&def.source, plan, template)?,
            test: match &def.test {
                TestDef::Present(present) => Test::Present(*present),
                TestDef::Is(words) => Test::Is(patterns(words)),
                TestDef::Not(words) => Test::Not(patterns(words)),
            },
        })
    }

    /// Whether it holds.
    #[inline]
    pub(super) fn holds(&self, view: &View<'_>) -> bool {
        let found = || match self.source.value(view) {
            Value::Found(Scalar::Null) | Value::Absent | Value::Short => None,
            Value::Found(scalar) => Some(scalar),
        };
        match &self.test {
            Test::Present(present) => self.source.is_there(view) == *present,
            Test::Is(patterns) => found().is_some_and(|scalar| words::any(patterns, scalar)),
            Test::Not(patterns) => !found().is_some_and(|scalar| words::any(patterns, scalar)),
        }
    }
}

/// Whether all of `conditions` hold.
#[inline]
pub(super) fn all(conditions: &[Condition], view: &View<'_>) -> bool {
    conditions.iter().all(|condition| condition.holds(view))
}

/// A mark: true or false, or a word.
#[derive(Debug)]
pub(super) struct Mark {
    source: Source,
    is: Vec<Pattern>,
}

impl Mark {
    /// Compiles `def`.
    pub(super) fn new(def: &MarkDef, plan: &mut Plan, template: &Template) -> Result<Mark, String> {
        Ok(Mark {
            source: Source::new(&def.source, plan, template)?,
            is: def.is.iter().map(|word| Pattern::parse(word)).collect(),
        })
    }

    /// Whether it is set; `None`: nothing stands there. Called `name` in the error.
    pub(super) fn read(&self, name: &str, view: &View<'_>) -> Result<Option<bool>, Reject> {
        let scalar = match self.source.value(view) {
            Value::Absent | Value::Short | Value::Found(Scalar::Null) => return Ok(None),
            Value::Found(scalar) => scalar,
        };
        if !self.is.is_empty() {
            return Ok(Some(words::any(&self.is, scalar)));
        }
        read_bool(scalar)
            .map(Some)
            .ok_or_else(|| bad_value(name, "true or false", scalar))
    }
}
