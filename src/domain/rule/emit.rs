//! Checked condition → program: a row of tests where it is one, else steps for the stack, whose depth is bounded
//! here. Never looks at source text.

use super::super::kind::SlotSet;
use super::condition::{Condition, Test, Value};
use super::program::{Op, Program, STACK, Shape};

/// The condition needs a deeper stack or more steps than a program may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLarge;

/// The program that decides `condition`.
pub(super) fn emit(condition: &Condition, depends: SlotSet) -> Result<Program, TooLarge> {
    let shape = match condition {
        Condition::Test(test) => Shape::One(*test),
        Condition::All(all) => match tests(all) {
            Some(tests) => Shape::All(tests),
            None => steps(condition)?,
        },
        Condition::Any(any) => match tests(any) {
            Some(tests) => Shape::Any(tests),
            None => steps(condition)?,
        },
        Condition::Constant(_) | Condition::Compare(..) | Condition::Choose(..) => steps(condition)?,
    };
    Ok(Program::new(shape, depends))
}

fn tests(conditions: &[Condition]) -> Option<Box<[Test]>> {
    conditions
        .iter()
        .map(|condition| match condition {
            Condition::Test(test) => Some(*test),
            Condition::Constant(_)
            | Condition::Compare(..)
            | Condition::All(_)
            | Condition::Any(_)
            | Condition::Choose(..) => None,
        })
        .collect()
}

fn steps(condition: &Condition) -> Result<Shape, TooLarge> {
    let mut emitter = Emitter { ops: Vec::new() };
    emitter.condition(condition, 0)?;
    if u16::try_from(emitter.ops.len()).is_err() {
        return Err(TooLarge);
    }
    Ok(Shape::Steps(emitter.ops.into_boxed_slice()))
}

struct Emitter {
    ops: Vec<Op>,
}

impl Emitter {
    /// Steps that push `condition` on a stack that holds `below` values.
    fn condition(&mut self, condition: &Condition, below: usize) -> Result<(), TooLarge> {
        match condition {
            Condition::Constant(value) => self.push(Op::Constant(f64::from(u8::from(*value))), below),
            Condition::Test(test) => self.push(Op::Test(*test), below),
            Condition::Compare(relation, left, right) => {
                self.value(left, below)?;
                self.value(right, below + 1)?;
                self.push(Op::Compare(*relation), below)
            }
            Condition::All(all) => self.chain(all, below, (Op::SkipIfFalse, Op::And)),
            Condition::Any(any) => self.chain(any, below, (Op::SkipIfTrue, Op::Or)),
            Condition::Choose(condition, yes, no) => {
                self.condition(condition, below)?;
                self.condition(yes, below + 1)?;
                self.condition(no, below + 2)?;
                self.push(Op::Choose, below)
            }
        }
    }

    fn chain(
        &mut self,
        conditions: &[Condition],
        below: usize,
        (skip, join): (fn(u16) -> Op, Op),
    ) -> Result<(), TooLarge> {
        let mut skips = Vec::new();
        for (place, condition) in conditions.iter().enumerate() {
            if place == 0 {
                self.condition(condition, below)?;
                continue;
            }
            skips.push(self.ops.len());
            self.ops.push(skip(0));
            self.condition(condition, below + 1)?;
            self.push(join, below)?;
        }
        let end = u16::try_from(self.ops.len()).map_err(|_| TooLarge)?;
        for place in skips {
            if let Some(op) = self.ops.get_mut(place) {
                *op = skip(end);
            }
        }
        Ok(())
    }

    fn value(&mut self, value: &Value, below: usize) -> Result<(), TooLarge> {
        match value {
            Value::Constant(value) => self.push(Op::Constant(*value), below),
            Value::Slot(slot) => self.push(Op::Slot(*slot), below),
            Value::Bounded(slot) => self.push(Op::Exact(*slot), below),
            Value::Truth(condition) => self.condition(condition, below),
            Value::Negate(inner) => {
                self.value(inner, below)?;
                self.push(Op::Negate, below)
            }
            Value::Arithmetic(operator, left, right) => {
                self.value(left, below)?;
                self.value(right, below + 1)?;
                self.push(Op::Arithmetic(*operator), below)
            }
            Value::Choose(condition, yes, no) => {
                self.condition(condition, below)?;
                self.value(yes, below + 1)?;
                self.value(no, below + 2)?;
                self.push(Op::Choose, below)
            }
        }
    }

    /// Adds a step whose result stands on `below` values.
    fn push(&mut self, op: Op, below: usize) -> Result<(), TooLarge> {
        if below >= STACK {
            return Err(TooLarge);
        }
        self.ops.push(op);
        Ok(())
    }
}
