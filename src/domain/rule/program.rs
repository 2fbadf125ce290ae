//! The compiled form of a condition and its evaluation: the hot path. No allocation, no look-up by name.

use super::super::kind::SlotSet;
use super::condition::{Arithmetic, Relation, Test, exact, read};
use super::grid::Probe;

/// The deepest stack a program may need; `emit` refuses more. Small, because each evaluation starts by clearing it.
pub(super) const STACK: usize = 16;

/// The outcome of a condition in three-valued logic: a missing point makes it unknown, and unknown neither
/// raises nor clears an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// It does not hold.
    False,
    /// It holds.
    True,
    /// A point it needs is missing.
    Unknown,
}

impl From<Option<bool>> for Truth {
    #[inline]
    fn from(answer: Option<bool>) -> Truth {
        match answer {
            Some(true) => Truth::True,
            Some(false) => Truth::False,
            None => Truth::Unknown,
        }
    }
}

/// A condition compiled against a kind's slots.
#[derive(Debug, Clone)]
pub struct Program {
    shape: Shape,
    depends: SlotSet,
}

/// Most conditions are one test or a row of them, and those need no stack.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// One test.
    One(Test),
    /// All of these.
    All(Box<[Test]>),
    /// Any of these.
    Any(Box<[Test]>),
    /// Anything else.
    Steps(Box<[Op]>),
}

/// A step on a stack of numbers: a truth is 0 or 1, missing and unknown are NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Op {
    /// Pushes a number.
    Constant(f64),
    /// Pushes a slot.
    Slot(u8),
    /// Pushes the value whose bounds stand in this slot and the next, if they are the same.
    Exact(u8),
    /// Pushes the answer of a test.
    Test(Test),
    /// Replaces two numbers by how they compare.
    Compare(Relation),
    /// Replaces two numbers by the result.
    Arithmetic(Arithmetic),
    /// Turns the sign.
    Negate,
    /// Replaces two truths by "both".
    And,
    /// Replaces two truths by "either".
    Or,
    /// Replaces a truth and two values by one of the values.
    Choose,
    /// Goes to a step further on, the truth staying on the stack, if it is false.
    SkipIfFalse(u16),
    /// Goes to a step further on, the truth staying on the stack, if it is true.
    SkipIfTrue(u16),
}

impl Shape {
    /// The same where each slot stands `at` another place; `None` when one stands nowhere.
    fn moved(&self, at: impl Fn(u8) -> Option<u8>) -> Option<Shape> {
        let tests = |tests: &[Test]| tests.iter().map(|test| test.moved(&at)).collect::<Option<_>>();
        Some(match self {
            Shape::One(test) => Shape::One(test.moved(&at)?),
            Shape::All(all) => Shape::All(tests(all)?),
            Shape::Any(any) => Shape::Any(tests(any)?),
            Shape::Steps(ops) => Shape::Steps(ops.iter().map(|op| op.moved(&at)).collect::<Option<_>>()?),
        })
    }
}

impl Op {
    fn moved(self, at: impl Fn(u8) -> Option<u8>) -> Option<Op> {
        Some(match self {
            Op::Slot(slot) => Op::Slot(at(slot)?),
            Op::Exact(slot) => Op::Exact(at(slot)?),
            Op::Test(test) => Op::Test(test.moved(at)?),
            Op::Constant(_)
            | Op::Compare(_)
            | Op::Arithmetic(_)
            | Op::Negate
            | Op::And
            | Op::Or
            | Op::Choose
            | Op::SkipIfFalse(_)
            | Op::SkipIfTrue(_) => self,
        })
    }

    fn probes(self) -> Vec<Probe> {
        match self {
            Op::Slot(slot) => vec![Probe::Whole(slot)],
            Op::Exact(slot) => vec![Probe::Whole(slot), Probe::Whole(slot.saturating_add(1))],
            Op::Test(test) => Probe::of(test).into(),
            Op::Constant(_)
            | Op::Compare(_)
            | Op::Arithmetic(_)
            | Op::Negate
            | Op::And
            | Op::Or
            | Op::Choose
            | Op::SkipIfFalse(_)
            | Op::SkipIfTrue(_) => Vec::new(),
        }
    }
}

const _: () = assert!(
    size_of::<Op>() <= 16,
    "a step is two words, so that four share a cache line"
);

impl Program {
    pub(super) const fn new(shape: Shape, depends: SlotSet) -> Program {
        Program { shape, depends }
    }

    /// Decides the condition for a device whose points stand in `slots` (NaN: never heard of).
    #[inline]
    pub fn evaluate(&self, slots: &[f64]) -> Truth {
        match &self.shape {
            Shape::One(test) => test.holds(slots).into(),
            Shape::All(tests) => row(tests, slots, false),
            Shape::Any(tests) => row(tests, slots, true),
            Shape::Steps(ops) => run(ops, slots),
        }
    }

    /// Whether it asks the same as `other`, in which each slot stands `at` another place or nowhere.
    pub fn means(&self, other: &Program, at: impl Fn(u8) -> Option<u8>) -> bool {
        self.shape.moved(at).is_some_and(|shape| shape == other.shape)
    }

    /// What it asks of the slots.
    pub(super) fn probes(&self) -> Vec<Probe> {
        match &self.shape {
            Shape::One(test) => Probe::of(*test).into(),
            Shape::All(tests) | Shape::Any(tests) => tests.iter().flat_map(|test| Probe::of(*test)).collect(),
            Shape::Steps(ops) => ops.iter().flat_map(|op| op.probes()).collect(),
        }
    }

    /// The points and derived values it reads, and what those are derived from.
    pub const fn depends(&self) -> SlotSet {
        self.depends
    }
}

/// The first answer that is `decisive` decides; without one, anything unknown makes the row unknown.
#[inline]
fn row(tests: &[Test], slots: &[f64], decisive: bool) -> Truth {
    let mut unknown = false;
    for test in tests {
        match test.holds(slots) {
            Some(answer) if answer == decisive => return Truth::from(Some(decisive)),
            Some(_) => {}
            None => unknown = true,
        }
    }
    if unknown {
        Truth::Unknown
    } else {
        Truth::from(Some(!decisive))
    }
}

/// Values of a running program. `emit` bounds the depth; beyond it values are missing, never out of bounds.
struct Stack {
    cells: [f64; STACK],
    top: usize,
}

impl Stack {
    fn push(&mut self, value: f64) {
        if let Some(cell) = self.cells.get_mut(self.top) {
            *cell = value;
        }
        self.top += 1;
    }

    fn pop(&mut self) -> f64 {
        self.top = self.top.saturating_sub(1);
        self.cells.get(self.top).copied().unwrap_or(f64::NAN)
    }

    fn last(&self) -> f64 {
        let top = self.top.saturating_sub(1);
        self.cells.get(top).copied().unwrap_or(f64::NAN)
    }
}

fn run(ops: &[Op], slots: &[f64]) -> Truth {
    let mut stack = Stack {
        cells: [0.0; STACK],
        top: 0,
    };
    let mut next = 0;
    while let Some(op) = ops.get(next) {
        next += 1;
        match *op {
            Op::Constant(value) => stack.push(value),
            Op::Slot(slot) => stack.push(read(slots, slot)),
            Op::Exact(slot) => stack.push(exact(slots, slot)),
            Op::Test(test) => stack.push(number(test.holds(slots))),
            Op::Compare(relation) => {
                let right = stack.pop();
                let left = stack.pop();
                stack.push(number(relation.holds(left, right)));
            }
            Op::Arithmetic(operator) => {
                let right = stack.pop();
                let left = stack.pop();
                stack.push(operator.apply(left, right));
            }
            Op::Negate => {
                let value = stack.pop();
                stack.push(-value);
            }
            Op::And => {
                let right = stack.pop();
                let left = stack.pop();
                stack.push(and(left, right));
            }
            Op::Or => {
                let right = stack.pop();
                let left = stack.pop();
                stack.push(or(left, right));
            }
            Op::Choose => {
                let no = stack.pop();
                let yes = stack.pop();
                let condition = stack.pop();
                stack.push(choose(condition, yes, no));
            }
            Op::SkipIfFalse(target) => {
                if stack.last() == 0.0 {
                    next = next.max(usize::from(target));
                }
            }
            Op::SkipIfTrue(target) => {
                if stack.last() > 0.0 {
                    next = next.max(usize::from(target));
                }
            }
        }
    }
    let outcome = stack.pop();
    if outcome.is_nan() {
        Truth::Unknown
    } else {
        Truth::from(Some(outcome != 0.0))
    }
}

fn number(answer: Option<bool>) -> f64 {
    match answer {
        Some(true) => 1.0,
        Some(false) => 0.0,
        None => f64::NAN,
    }
}

fn and(left: f64, right: f64) -> f64 {
    if left == 0.0 || right == 0.0 {
        0.0
    } else {
        // Both 1, or NaN with either.
        left * right
    }
}

fn or(left: f64, right: f64) -> f64 {
    if left > 0.0 || right > 0.0 {
        1.0
    } else {
        // Both 0, or NaN with either.
        left + right
    }
}

fn choose(condition: f64, yes: f64, no: f64) -> f64 {
    if condition > 0.0 {
        yes
    } else if condition == 0.0 {
        no
    } else {
        f64::NAN
    }
}
