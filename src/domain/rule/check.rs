//! Syntax tree + kind → checked condition: every name a slot, every word its number, every operand of the right
//! type, or an error that says which part is wrong. Never evaluates.

use std::ops::Range;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};

use super::super::kind::{Kind, PointIndex, SlotSet, ValueType};
use super::super::time::Millis;
use super::condition::{Arithmetic, Condition, Relation, Test, Value};
use super::derived::Derivations;
use super::error::{ExpressionError, nearest};
use super::parse::Syntax;
use super::scan::SUPPORTED;
use super::venue::Members;

/// A checked condition and the points it reads.
pub(super) fn check(
    source: &str,
    syntax: &Syntax,
    context: &mut Context<'_>,
) -> Result<(Condition, SlotSet), ExpressionError> {
    let mut checker = Checker {
        source,
        syntax,
        context,
        reads: SlotSet::EMPTY,
    };
    let condition = checker.condition(&syntax.root, "the condition")?;
    Ok((condition, checker.reads))
}

/// What a condition is checked against.
pub(super) struct Context<'k> {
    pub(super) kind: &'k Kind,
    /// Where the values over time stand that it uses.
    pub(super) derived: &'k mut Derivations,
    /// How old the evidence for `held` may be.
    pub(super) max_gap: Millis,
    pub(super) scope: Scope<'k>,
}

/// What a condition is about.
pub(super) enum Scope<'k> {
    /// A device: its points stand by their bare names.
    Device,
    /// A device of a venue: its points stand behind a name and a `.`.
    Member {
        /// The name.
        variable: &'k str,
        /// Whether devices of every kind are asked.
        every: bool,
    },
    /// A venue.
    Venue(Members<'k>),
}

pub(super) struct Checker<'a, 'k> {
    pub(super) source: &'a str,
    pub(super) syntax: &'a Syntax,
    pub(super) context: &'a mut Context<'k>,
    pub(super) reads: SlotSet,
}

/// An expression with its type.
pub(super) enum Typed<'a> {
    Number(Value),
    Truth(Condition),
    Word(&'a str),
    Choice(u8, &'a [String]),
    /// How long ago the device spoke: only ever compared with a length of time.
    Age,
}

impl Typed<'_> {
    const fn name(&self) -> &'static str {
        match self {
            Typed::Number(_) => "a number",
            Typed::Truth(_) => "true or false",
            Typed::Word(_) => "a word",
            Typed::Choice(..) => "a point with words",
            Typed::Age => "a length of time",
        }
    }
}

pub(super) type Checked<T> = Result<T, ExpressionError>;

impl<'a> Checker<'a, '_> {
    pub(super) fn error(&self, expr: &IdedExpr, message: impl Into<String>) -> ExpressionError {
        ExpressionError::new(self.syntax.span(expr), message)
    }

    pub(super) fn text(&self, span: &Range<usize>) -> &'a str {
        self.source.get(span.clone()).unwrap_or_default()
    }

    fn typed(&mut self, expr: &'a IdedExpr) -> Checked<Typed<'a>> {
        match &expr.expr {
            Expr::Ident(_) | Expr::Select(_) => {
                let name = self.point_name(expr)?;
                self.point(expr, name)
            }
            Expr::Literal(literal) => self.literal(expr, literal),
            Expr::Call(call) => self.call(expr, call),
            Expr::List(_) => Err(self.error(expr, "a list can only stand behind `in`")),
            Expr::Unspecified | Expr::Comprehension(_) | Expr::Map(_) | Expr::Struct(_) => {
                Err(self.error(expr, format!("this is not supported; {SUPPORTED}")))
            }
        }
    }

    pub(super) fn condition(&mut self, expr: &'a IdedExpr, what: &str) -> Checked<Condition> {
        match self.typed(expr)? {
            Typed::Truth(condition) => Ok(condition),
            Typed::Choice(_, words) => {
                let word = words.first().map_or("...", String::as_str);
                let message = format!(
                    "{what} must be true or false, but this is a word: compare it, for example with == '{word}'"
                );
                Err(self.error(expr, message))
            }
            Typed::Age => {
                let message =
                    format!("{what} must be true or false: compare age(), for example age() >= '10m'");
                Err(self.error(expr, message))
            }
            other @ (Typed::Number(_) | Typed::Word(_)) => {
                let message = format!("{what} must be true or false, but this is {}", other.name());
                Err(self.error(expr, message))
            }
        }
    }

    fn number(&mut self, expr: &'a IdedExpr, operator: &str) -> Checked<Value> {
        match self.typed(expr)? {
            Typed::Number(value) => Ok(value),
            other @ (Typed::Truth(_) | Typed::Word(_) | Typed::Choice(..) | Typed::Age) => {
                let message = format!("`{operator}` needs numbers, but this is {}", other.name());
                Err(self.error(expr, message))
            }
        }
    }

    /// The name of the point that `expr` speaks of.
    pub(super) fn point_name(&self, expr: &'a IdedExpr) -> Checked<&'a str> {
        match (&self.context.scope, &expr.expr) {
            (Scope::Device, Expr::Ident(name)) => Ok(name),
            (Scope::Member { variable, .. }, Expr::Select(select)) => self.field(variable, select),
            (Scope::Member { variable, .. }, Expr::Ident(name)) => Err(self.bare(expr, variable, name)),
            (Scope::Venue(_), _) => {
                let message = "a venue has no points of its own: ask its devices, for example gas_detector.exists(d, d.lel >= 25)";
                Err(self.error(expr, message))
            }
            (Scope::Device | Scope::Member { .. }, _) => {
                Err(self.error(expr, "the name of a point must stand here"))
            }
        }
    }

    fn point(&mut self, expr: &IdedExpr, name: &str) -> Checked<Typed<'a>> {
        let Some((PointIndex(slot), point)) = self.context.kind.point(name) else {
            return Err(self.unknown_point(expr, name));
        };
        self.reads = self.reads.with(PointIndex(slot));
        Ok(match &point.value {
            ValueType::Number { .. } => Typed::Number(Value::Slot(slot)),
            ValueType::Bool => Typed::Truth(Condition::slot(slot)),
            ValueType::Enum { values } => Typed::Choice(slot, values),
        })
    }

    pub(super) fn unknown_point(&self, expr: &IdedExpr, name: &str) -> ExpressionError {
        let names = || self.context.kind.points().map(|(_, point)| point.id.as_str());
        let mut words = self
            .context
            .kind
            .points()
            .flat_map(|(_, point)| match &point.value {
                ValueType::Enum { values } => values.as_slice(),
                ValueType::Number { .. } | ValueType::Bool => &[],
            });
        if words.any(|word| word == name) {
            let message = format!("`{name}` is not a point but a word: put it in quotes");
            return self.error(expr, message).suggest(Some(format!("'{name}'")));
        }
        let known = names().collect::<Vec<_>>().join(", ");
        let (every, before) = match self.context.scope {
            Scope::Device | Scope::Venue(_) => ("", String::new()),
            Scope::Member { variable, every } => {
                let every = if every {
                    "`devices` are of every kind, but "
                } else {
                    ""
                };
                (every, format!("{variable}."))
            }
        };
        let message = format!(
            "{every}the kind `{}` has no point `{name}`; it has {known}",
            self.context.kind.id
        );
        self.error(expr, message)
            .suggest(nearest(name, names()).map(|near| format!("{before}{near}")))
    }

    fn literal(&self, expr: &IdedExpr, literal: &'a LiteralValue) -> Checked<Typed<'a>> {
        Ok(match literal {
            LiteralValue::Boolean(value) => Typed::Truth(Condition::Constant(*value.inner())),
            LiteralValue::Double(value) => Typed::Number(Value::Constant(*value.inner())),
            LiteralValue::Int(value) => Typed::Number(Value::Constant(*value.inner() as f64)),
            LiteralValue::UInt(value) => Typed::Number(Value::Constant(*value.inner() as f64)),
            LiteralValue::String(value) => Typed::Word(value.inner()),
            LiteralValue::Bytes(_) | LiteralValue::Null => {
                return Err(self.error(expr, format!("this is not supported; {SUPPORTED}")));
            }
        })
    }

    fn call(&mut self, expr: &'a IdedExpr, call: &'a CallExpr) -> Checked<Typed<'a>> {
        if let Some(target) = &call.target {
            return self.method(expr, target, call);
        }
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND, [left, right]) => {
                let left = self.condition(left, "each side of `&&`")?;
                Ok(Typed::Truth(
                    left.and(self.condition(right, "each side of `&&`")?),
                ))
            }
            (operators::LOGICAL_OR, [left, right]) => {
                let left = self.condition(left, "each side of `||`")?;
                Ok(Typed::Truth(left.or(self.condition(right, "each side of `||`")?)))
            }
            (operators::LOGICAL_NOT, [inner]) => {
                Ok(Typed::Truth(self.condition(inner, "what `!` negates")?.negated()))
            }
            (operators::EQUALS, [left, right]) => self.compare(expr, Relation::EQUAL, left, right),
            (operators::NOT_EQUALS, [left, right]) => self.compare(expr, Relation::NOT_EQUAL, left, right),
            (operators::LESS, [left, right]) => self.compare(expr, Relation::LESS, left, right),
            (operators::LESS_EQUALS, [left, right]) => self.compare(expr, Relation::AT_MOST, left, right),
            (operators::GREATER, [left, right]) => self.compare(expr, Relation::GREATER, left, right),
            (operators::GREATER_EQUALS, [left, right]) => self.compare(expr, Relation::AT_LEAST, left, right),
            (operators::ADD, [left, right]) => self.arithmetic(expr, Arithmetic::Add, left, right),
            (operators::SUBSTRACT, [left, right]) => self.arithmetic(expr, Arithmetic::Subtract, left, right),
            (operators::MULTIPLY, [left, right]) => self.arithmetic(expr, Arithmetic::Multiply, left, right),
            (operators::DIVIDE, [left, right]) => self.arithmetic(expr, Arithmetic::Divide, left, right),
            (operators::NEGATE, [inner]) => Ok(Typed::Number(self.number(inner, "-")?.negated())),
            (operators::CONDITIONAL, [condition, yes, no]) => self.choose(expr, condition, yes, no),
            (operators::IN, [left, right]) => self.member(left, right),
            _ => self.function(expr, call),
        }
    }

    fn arithmetic(
        &mut self,
        expr: &IdedExpr,
        operator: Arithmetic,
        left: &'a IdedExpr,
        right: &'a IdedExpr,
    ) -> Checked<Typed<'a>> {
        let sign = match operator {
            Arithmetic::Add => "+",
            Arithmetic::Subtract => "-",
            Arithmetic::Multiply => "*",
            Arithmetic::Divide => "/",
        };
        let left = self.number(left, sign)?;
        let right = self.number(right, sign)?;
        if operator == Arithmetic::Divide && right == Value::Constant(0.0) {
            return Err(self.error(expr, "a division by zero is never known"));
        }
        let (Value::Constant(first), Value::Constant(second)) = (&left, &right) else {
            return Ok(Typed::Number(Value::Arithmetic(
                operator,
                Box::new(left),
                Box::new(right),
            )));
        };
        let folded = operator.apply(*first, *second);
        if folded.is_nan() {
            return Err(self.error(expr, "this number is too large"));
        }
        Ok(Typed::Number(Value::Constant(folded)))
    }

    fn choose(
        &mut self,
        expr: &IdedExpr,
        condition: &'a IdedExpr,
        yes: &'a IdedExpr,
        no: &'a IdedExpr,
    ) -> Checked<Typed<'a>> {
        let condition = Box::new(self.condition(condition, "what stands before `?`")?);
        match (self.typed(yes)?, self.typed(no)?) {
            (Typed::Truth(yes), Typed::Truth(no)) => Ok(Typed::Truth(Condition::Choose(
                condition,
                Box::new(yes),
                Box::new(no),
            ))),
            (Typed::Number(yes), Typed::Number(no)) => Ok(Typed::Number(Value::Choose(
                condition,
                Box::new(yes),
                Box::new(no),
            ))),
            (yes, no) => {
                let message = format!(
                    "both sides of `:` must be numbers or both true or false, but they are {} and {}",
                    yes.name(),
                    no.name()
                );
                Err(self.error(expr, message))
            }
        }
    }

    fn compare(
        &mut self,
        expr: &IdedExpr,
        relation: Relation,
        left: &'a IdedExpr,
        right: &'a IdedExpr,
    ) -> Checked<Typed<'a>> {
        let equality = relation == Relation::EQUAL || relation == Relation::NOT_EQUAL;
        let condition = match (self.typed(left)?, self.typed(right)?) {
            (Typed::Number(left), Typed::Number(right)) => Condition::compare(relation, left, right),
            (Typed::Truth(left), Typed::Truth(right)) if equality => same(relation, left, right),
            (Typed::Choice(slot, words), Typed::Word(word)) if equality => {
                let place = self.word(right, word, words)?;
                Condition::compare(relation, Value::Slot(slot), Value::Constant(place as f64))
            }
            (Typed::Word(word), Typed::Choice(slot, words)) if equality => {
                let place = self.word(left, word, words)?;
                Condition::compare(relation, Value::Slot(slot), Value::Constant(place as f64))
            }
            (Typed::Age, Typed::Word(_)) => return self.silent(expr, relation, right),
            (Typed::Word(_), Typed::Age) => return self.silent(expr, relation.mirrored(), left),
            (Typed::Age, _) | (_, Typed::Age) => {
                let message = "age() can only be compared with a quoted length of time: age() >= '10m'";
                return Err(self.error(expr, message));
            }
            (Typed::Truth(_), Typed::Truth(_)) => {
                return Err(self.error(expr, "true and false have no order: use == or !="));
            }
            (Typed::Choice(..) | Typed::Word(_), Typed::Choice(..) | Typed::Word(_)) => {
                let message = "a point with words can only be compared with a quoted word, by ==, != or in";
                return Err(self.error(expr, message));
            }
            (first, second) => {
                let (first_name, second_name) = (first.name(), second.name());
                let message = format!("{first_name} cannot be compared with {second_name}");
                let suggestion = plain_truth(relation, (left, &first), (right, &second));
                return Err(self.error(expr, message).suggest(suggestion));
            }
        };
        Ok(Typed::Truth(condition))
    }

    /// The number of `word` among `words`; `expr` is where it stands.
    fn word(&self, expr: &IdedExpr, word: &str, words: &[String]) -> Checked<usize> {
        words.iter().position(|known| known == word).ok_or_else(|| {
            let message = format!(
                "there is no word `{word}` here; the words are {}",
                words.join(", ")
            );
            let near = nearest(word, words.iter().map(String::as_str));
            self.error(expr, message)
                .suggest(near.map(|near| format!("'{near}'")))
        })
    }

    fn member(&mut self, left: &'a IdedExpr, right: &'a IdedExpr) -> Checked<Typed<'a>> {
        let Expr::List(list) = &right.expr else {
            return Err(self.error(
                right,
                "`in` needs a list written out, for example in ['fault', 'normal']",
            ));
        };
        if list.elements.is_empty() {
            return Err(self.error(right, "the list is empty"));
        }
        match self.typed(left)? {
            Typed::Choice(slot, words) => self.word_member(slot, words, &list.elements),
            Typed::Number(value @ (Value::Slot(_) | Value::Bounded(_))) => {
                self.number_member(&value, &list.elements)
            }
            Typed::Number(_) | Typed::Truth(_) | Typed::Word(_) | Typed::Age => {
                let message = "`in` needs a point with numbers or words on its left";
                Err(self.error(left, message))
            }
        }
    }

    fn word_member(&mut self, slot: u8, words: &'a [String], elements: &'a [IdedExpr]) -> Checked<Typed<'a>> {
        let mut tests = Vec::new();
        let mut set = 0_u64;
        for element in elements {
            let Typed::Word(word) = self.typed(element)? else {
                return Err(self.error(element, "this list must be of quoted words"));
            };
            let place = self.word(element, word, words)?;
            set |= u32::try_from(place)
                .ok()
                .and_then(|place| 1_u64.checked_shl(place))
                .unwrap_or(0);
            tests.push(Condition::Test(Test::Constant(
                Relation::EQUAL,
                slot,
                place as f64,
            )));
        }
        Ok(Typed::Truth(if words.len() <= 64 {
            Condition::Test(Test::OneOf(slot, set))
        } else {
            Condition::Any(tests)
        }))
    }

    fn number_member(&mut self, number: &Value, elements: &'a [IdedExpr]) -> Checked<Typed<'a>> {
        let mut tests = Vec::new();
        for element in elements {
            let Typed::Number(Value::Constant(value)) = self.typed(element)? else {
                let span = self.syntax.span(element);
                let message = format!("this list must be of numbers, `{}` is not one", self.text(&span));
                return Err(ExpressionError::new(span, message));
            };
            tests.push(Condition::compare(
                Relation::EQUAL,
                number.clone(),
                Value::Constant(value),
            ));
        }
        Ok(Typed::Truth(Condition::Any(tests)))
    }
}

/// Whether two truths are the same (or not the same).
fn same(relation: Relation, left: Condition, right: Condition) -> Condition {
    let equal = relation == Relation::EQUAL;
    match (left, right) {
        (other, Condition::Constant(wanted)) | (Condition::Constant(wanted), other) => {
            if wanted == equal {
                other
            } else {
                other.negated()
            }
        }
        (left, right) => Condition::compare(
            relation,
            Value::Truth(Box::new(left)),
            Value::Truth(Box::new(right)),
        ),
    }
}

/// `flag == 1` → `flag`, `flag == 0` → `!flag`, for a flag that is a bare name.
fn plain_truth(
    relation: Relation,
    left: (&IdedExpr, &Typed<'_>),
    right: (&IdedExpr, &Typed<'_>),
) -> Option<String> {
    let ((flag, Typed::Truth(_)), (_, Typed::Number(Value::Constant(number)))) = (left, right) else {
        return None;
    };
    let Expr::Ident(name) = &flag.expr else {
        return None;
    };
    let equal = match relation {
        Relation::EQUAL => true,
        Relation::NOT_EQUAL => false,
        _ => return None,
    };
    let is = |value| Relation::EQUAL.holds(*number, value) == Some(true);
    if is(1.0) == is(0.0) {
        return None;
    }
    Some(if is(1.0) == equal {
        name.clone()
    } else {
        format!("!{name}")
    })
}
