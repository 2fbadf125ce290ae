//! A checked condition as a tree of numbers and truths: negations pushed down, chains of one connective flat.
//! Knows nothing of source text or names.

/// Which orders of two numbers satisfy a comparison; with a missing number there is no order, hence no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Relation(u8);

impl Relation {
    pub(super) const LESS: Relation = Relation(1);
    pub(super) const EQUAL: Relation = Relation(2);
    pub(super) const GREATER: Relation = Relation(4);
    pub(super) const NOT_EQUAL: Relation = Relation(1 | 4);
    pub(super) const AT_MOST: Relation = Relation(1 | 2);
    pub(super) const AT_LEAST: Relation = Relation(2 | 4);

    /// The comparison that holds exactly when this one does not.
    pub(super) const fn negated(self) -> Relation {
        Relation(self.0 ^ 7)
    }

    /// The same comparison with its sides exchanged.
    pub(super) const fn mirrored(self) -> Relation {
        Relation((self.0 & 2) | ((self.0 & 1) << 2) | (self.0 >> 2))
    }

    /// The edges that divide the numbers that compare so with `right` from those that do not: a number at an edge
    /// lies above it.
    pub(super) fn edges(self, right: f64) -> [Option<f64>; 2] {
        let (less, equal, greater) = (self.0 & 1, (self.0 >> 1) & 1, self.0 >> 2);
        [
            (less != equal).then_some(right),
            (equal != greater).then_some(right.next_up()),
        ]
    }

    /// Whether `left` and `right` compare so; `None` when either is missing.
    #[inline]
    #[expect(clippy::float_cmp, reason = "`==` in a rule means the number as written")]
    pub(super) fn holds(self, left: f64, right: f64) -> Option<bool> {
        // Without a branch on the operator: readings differ from rule to rule, and each miss costs more than this.
        let order = u8::from(left < right) | (u8::from(left == right) << 1) | (u8::from(left > right) << 2);
        if order == 0 {
            None
        } else {
            Some(order & self.0 != 0)
        }
    }

    /// Whether whatever lies from `least` to `greatest` compares so with `right`; `None` when some of it does and
    /// some does not, or a bound is missing.
    #[inline]
    pub(super) fn holds_within(self, least: f64, greatest: f64, right: f64) -> Option<bool> {
        let equal = least <= right && right <= greatest;
        let orders = u8::from(least < right) | (u8::from(equal) << 1) | (u8::from(greatest > right) << 2);
        let missing = least.is_nan() || greatest.is_nan() || orders == 0;
        match (orders & self.0, orders & !self.0) {
            _ if missing => None,
            (_, 0) => Some(true),
            (0, _) => Some(false),
            (_, _) => None,
        }
    }
}

/// The value that lies between bounds: missing (NaN) unless they are the same.
#[inline]
#[expect(clippy::float_cmp, reason = "the bounds of a known value are the same number")]
pub(super) fn exact(slots: &[f64], slot: u8) -> f64 {
    let least = read(slots, slot);
    if least == read(slots, slot.saturating_add(1)) {
        least
    } else {
        f64::NAN
    }
}

/// A question about one or two slots that needs no stack.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Test {
    /// A slot against a constant.
    Constant(Relation, u8, f64),
    /// A slot against another.
    Slots(Relation, u8, u8),
    /// The difference of two slots against a constant.
    Difference(Relation, u8, u8, f64),
    /// A word's number within a set of numbers below 64.
    OneOf(u8, u64),
    /// A value known by its bounds, which stand in this slot and the next, against a constant.
    Bounded(Relation, u8, f64),
}

impl Test {
    /// The answer for these slots; `None` when a slot is missing.
    #[inline]
    pub(super) fn holds(self, slots: &[f64]) -> Option<bool> {
        match self {
            Test::Constant(relation, slot, value) => relation.holds(read(slots, slot), value),
            Test::Slots(relation, left, right) => relation.holds(read(slots, left), read(slots, right)),
            Test::Difference(relation, left, right, value) => {
                let difference = Arithmetic::Subtract.apply(read(slots, left), read(slots, right));
                relation.holds(difference, value)
            }
            Test::Bounded(relation, slot, value) => {
                relation.holds_within(read(slots, slot), read(slots, slot.saturating_add(1)), value)
            }
            Test::OneOf(slot, set) => {
                let value = read(slots, slot);
                if value.is_nan() {
                    return None;
                }
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a word's number is below 64; anything else saturates and then wraps within the set"
                )]
                let bit = 1_u64.wrapping_shl(value as u32);
                Some(set & bit != 0)
            }
        }
    }

    /// The same question where each slot stands `at` another place; `None` when one stands nowhere.
    pub(super) fn moved(self, at: impl Fn(u8) -> Option<u8>) -> Option<Test> {
        Some(match self {
            Test::Constant(relation, slot, value) => Test::Constant(relation, at(slot)?, value),
            Test::Slots(relation, left, right) => Test::Slots(relation, at(left)?, at(right)?),
            Test::Difference(relation, left, right, value) => {
                Test::Difference(relation, at(left)?, at(right)?, value)
            }
            Test::OneOf(slot, set) => Test::OneOf(at(slot)?, set),
            Test::Bounded(relation, slot, value) => Test::Bounded(relation, at(slot)?, value),
        })
    }

    fn negated(self) -> Test {
        match self {
            Test::Constant(relation, slot, value) => Test::Constant(relation.negated(), slot, value),
            Test::Slots(relation, left, right) => Test::Slots(relation.negated(), left, right),
            Test::Difference(relation, left, right, value) => {
                Test::Difference(relation.negated(), left, right, value)
            }
            Test::OneOf(slot, set) => Test::OneOf(slot, !set),
            Test::Bounded(relation, slot, value) => Test::Bounded(relation.negated(), slot, value),
        }
    }
}

/// The value of a slot, missing (NaN) when there is none.
#[inline]
pub(super) fn read(slots: &[f64], slot: u8) -> f64 {
    slots.get(usize::from(slot)).copied().unwrap_or(f64::NAN)
}

/// A number operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl Arithmetic {
    /// The result; missing (NaN) when an operand is or when the result is not finite.
    #[inline]
    pub(super) fn apply(self, left: f64, right: f64) -> f64 {
        let result = match self {
            Arithmetic::Add => left + right,
            Arithmetic::Subtract => left - right,
            Arithmetic::Multiply => left * right,
            Arithmetic::Divide => left / right,
        };
        if result.is_finite() { result } else { f64::NAN }
    }
}

/// Something with a number for its value; a truth counts as 0 or 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Constant(f64),
    Slot(u8),
    /// A value known by its bounds, which stand in this slot and the next.
    Bounded(u8),
    Truth(Box<Condition>),
    Negate(Box<Value>),
    Arithmetic(Arithmetic, Box<Value>, Box<Value>),
    Choose(Box<Condition>, Box<Value>, Box<Value>),
}

impl Value {
    /// `-self`.
    pub(super) fn negated(self) -> Value {
        if let Value::Constant(value) = self {
            Value::Constant(-value)
        } else {
            Value::Negate(Box::new(self))
        }
    }
}

/// Something that holds, does not hold, or is unknown.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    Constant(bool),
    Test(Test),
    Compare(Relation, Box<Value>, Box<Value>),
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Choose(Box<Condition>, Box<Condition>, Box<Condition>),
}

impl Condition {
    /// `left` compared with `right`, as a [`Test`] where it can be one.
    pub(super) fn compare(relation: Relation, left: Value, right: Value) -> Condition {
        if let (Value::Arithmetic(Arithmetic::Subtract, from, less), Value::Constant(value)) = (&left, &right)
            && let (Value::Slot(from), Value::Slot(less)) = (&**from, &**less)
        {
            return Condition::Test(Test::Difference(relation, *from, *less, *value));
        }
        match (left, right) {
            (Value::Slot(slot), Value::Constant(value)) => {
                Condition::Test(Test::Constant(relation, slot, value))
            }
            (Value::Constant(value), Value::Slot(slot)) => {
                Condition::Test(Test::Constant(relation.mirrored(), slot, value))
            }
            (Value::Bounded(slot), Value::Constant(value)) => {
                Condition::Test(Test::Bounded(relation, slot, value))
            }
            (Value::Constant(value), Value::Bounded(slot)) => {
                Condition::Test(Test::Bounded(relation.mirrored(), slot, value))
            }
            (Value::Slot(left), Value::Slot(right)) => Condition::Test(Test::Slots(relation, left, right)),
            (left, right) => Condition::Compare(relation, Box::new(left), Box::new(right)),
        }
    }

    /// A bool point by itself.
    pub(super) const fn slot(slot: u8) -> Condition {
        Condition::Test(Test::Constant(Relation::NOT_EQUAL, slot, 0.0))
    }

    /// `self && other`.
    pub(super) fn and(self, other: Condition) -> Condition {
        let mut all = self.conjuncts();
        all.extend(other.conjuncts());
        Condition::All(all)
    }

    /// `self || other`.
    pub(super) fn or(self, other: Condition) -> Condition {
        let mut any = self.disjuncts();
        any.extend(other.disjuncts());
        Condition::Any(any)
    }

    fn conjuncts(self) -> Vec<Condition> {
        if let Condition::All(all) = self {
            all
        } else {
            vec![self]
        }
    }

    fn disjuncts(self) -> Vec<Condition> {
        if let Condition::Any(any) = self {
            any
        } else {
            vec![self]
        }
    }

    /// `!self`: what is unknown stays unknown, so De Morgan's laws and reversed comparisons are exact.
    pub(super) fn negated(self) -> Condition {
        match self {
            Condition::Constant(value) => Condition::Constant(!value),
            Condition::Test(test) => Condition::Test(test.negated()),
            Condition::Compare(relation, left, right) => Condition::Compare(relation.negated(), left, right),
            Condition::All(all) => Condition::Any(all.into_iter().map(Condition::negated).collect()),
            Condition::Any(any) => Condition::All(any.into_iter().map(Condition::negated).collect()),
            Condition::Choose(condition, yes, no) => {
                Condition::Choose(condition, Box::new(yes.negated()), Box::new(no.negated()))
            }
        }
    }
}
