//! Rules on a venue: the CEL macros over its devices. Each becomes a condition on every device of a kind and a count kept
//! of it, so that one device's change costs the same in a large venue as in a small one. Never counts anything itself.

use cel::common::ast::{CallExpr, Expr, IdedExpr, SelectExpr};

use super::super::kind::{Kind, SlotSet};
use super::check::{Checked, Checker, Context, Scope, Typed};
use super::condition::{Condition, Relation, Test, Value};
use super::derived::{Derivations, Quantity};
use super::emit::{TooLarge, emit};
use super::error::{ExpressionError, nearest};
use super::program::Program;

/// What can be called on the devices of a kind.
pub(super) const METHODS: [&str; 5] = ["exists", "all", "exists_one", "filter", "size"];

/// The name of the venue's devices of all kinds.
const EVERY: &str = "devices";

/// How a kind's devices are asked.
pub(super) const FORM: &str = "the devices of a kind are asked by kind.exists(d, …), kind.all(d, …), kind.exists_one(d, …), kind.filter(d, …).size() or kind.size()";

/// What a device tells its venue: a condition on the device, counted in a slot of the venue.
#[derive(Debug, Clone)]
pub struct Feed {
    /// The condition.
    pub condition: Program,
    /// The venue's slot for how many devices fulfil it; the next one is for how many may, those included of whom it
    /// is unknown.
    pub slot: u8,
}

/// The devices' kinds while the rules on venues are compiled.
#[derive(Debug)]
pub struct Members<'a> {
    /// The kinds.
    pub kinds: &'a [Kind],
    /// What the rules derive from their points, for each kind.
    pub derived: &'a mut [Derivations],
    /// What their devices tell the venue, for each kind.
    pub feeds: &'a mut [Vec<Feed>],
}

/// How devices are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Exists,
    All,
    ExistsOne,
    Size,
}

impl<'a> Checker<'a, '_> {
    /// A call on a kind's devices.
    pub(super) fn method(
        &mut self,
        expr: &'a IdedExpr,
        target: &'a IdedExpr,
        call: &'a CallExpr,
    ) -> Checked<Typed<'a>> {
        let name = call.func_name.as_str();
        if !matches!(self.context.scope, Scope::Venue(_)) {
            let message = format!(
                "`.{name}(…)` asks the devices of a venue, which cannot be done from within one: join two questions by && or ||"
            );
            return Err(self.error(expr, message));
        }
        let (asked, of, args) = match (name, &target.expr) {
            ("exists", _) => (Asked::Exists, target, call.args.as_slice()),
            ("all", _) => (Asked::All, target, call.args.as_slice()),
            ("exists_one", _) => (Asked::ExistsOne, target, call.args.as_slice()),
            ("size", Expr::Call(inner)) if inner.func_name == "filter" && call.args.is_empty() => {
                let Some(kind) = &inner.target else {
                    return Err(self.error(target, FORM));
                };
                (Asked::Size, &**kind, inner.args.as_slice())
            }
            ("size", Expr::Ident(_)) if call.args.is_empty() => return self.total(expr, target),
            ("filter", _) => {
                let message = "the devices that `.filter(…)` finds can only be counted, by .size() behind it";
                let written = self.text(&self.syntax.span(expr));
                return Err(self
                    .error(expr, message)
                    .suggest(Some(format!("{written}.size()"))));
            }
            ("size", _) => {
                let message = "`.size()` takes nothing, and stands behind a kind or behind kind.filter(d, …)";
                return Err(self.error(expr, message));
            }
            _ => return Err(self.error(expr, FORM)),
        };
        let [variable, condition] = args else {
            let name = if asked == Asked::Size { "filter" } else { name };
            let message = format!(
                "`.{name}(…)` takes a name for the device and a condition on it, for example gas_detector.{name}(d, d.lel >= 25)"
            );
            return Err(self.error(expr, message));
        };
        let Expr::Ident(variable) = &variable.expr else {
            return Err(self.error(variable, "this must be a name for the device, for example d"));
        };
        let slot = self.count(expr, of, (variable, condition), asked == Asked::All)?;
        let compared =
            |relation, number| Typed::Truth(Condition::Test(Test::Bounded(relation, slot, number)));
        Ok(match asked {
            Asked::Exists => compared(Relation::AT_LEAST, 1.0),
            // Nobody who does not.
            Asked::All => compared(Relation::LESS, 1.0),
            Asked::ExistsOne => compared(Relation::EQUAL, 1.0),
            Asked::Size => Typed::Number(Value::Bounded(slot)),
        })
    }

    /// The slot that counts the devices of `of` which fulfil a condition, or with `inverse` those which do not.
    fn count(
        &mut self,
        expr: &'a IdedExpr,
        of: &'a IdedExpr,
        (variable, condition): (&str, &'a IdedExpr),
        inverse: bool,
    ) -> Checked<u8> {
        let range = self.kinds(of)?;
        let every = range.len() > 1;
        let written = self.text(&self.syntax.span(condition));
        let name = format!(
            "{}.{}({variable}, {written}).size() within {}",
            self.text(&self.syntax.span(of)),
            if inverse { "exclude" } else { "filter" },
            self.context.max_gap.0
        );
        let known = self.context.derived.find(&name);
        let slot = self.derive(expr, name, SlotSet::EMPTY, Quantity::Count)?;
        if known.is_some() {
            return Ok(slot);
        }
        for place in range {
            let scope = Scope::Member { variable, every };
            let condition = self.on_member(place, scope, condition, inverse)?;
            if let Scope::Venue(members) = &mut self.context.scope
                && let Some(feeds) = members.feeds.get_mut(place)
            {
                feeds.push(Feed { condition, slot });
            }
        }
        Ok(slot)
    }

    /// The condition as a program of the devices of the kind in `place`.
    fn on_member(
        &mut self,
        place: usize,
        scope: Scope<'_>,
        condition: &'a IdedExpr,
        inverse: bool,
    ) -> Checked<Program> {
        let Scope::Venue(members) = &mut self.context.scope else {
            return Err(self.error(condition, FORM));
        };
        let (Some(kind), Some(derived)) = (members.kinds.get(place), members.derived.get_mut(place)) else {
            return Err(self.error(condition, FORM));
        };
        let mut context = Context {
            kind,
            derived,
            max_gap: self.context.max_gap,
            scope,
        };
        let mut inner = Checker {
            source: self.source,
            syntax: self.syntax,
            context: &mut context,
            reads: SlotSet::EMPTY,
        };
        let checked = inner.condition(condition, "what is asked of a device")?;
        let checked = if inverse { checked.negated() } else { checked };
        let reads = inner.reads;
        emit(&checked, reads).map_err(|TooLarge| {
            self.error(
                condition,
                "the condition is too deep; split it into several rules",
            )
        })
    }

    /// How many devices of a kind the venue has.
    fn total(&mut self, expr: &'a IdedExpr, of: &'a IdedExpr) -> Checked<Typed<'a>> {
        let range = self.kinds(of)?;
        let name = format!("{}.size()", self.text(&self.syntax.span(of)));
        let known = self.context.derived.find(&name);
        let slot = self.derive(expr, name, SlotSet::EMPTY, Quantity::Count)?;
        if known.is_none()
            && let Scope::Venue(members) = &mut self.context.scope
        {
            let always = emit(&Condition::Constant(true), SlotSet::EMPTY).map_err(|TooLarge| {
                ExpressionError::new(self.syntax.span(expr), "the condition is too deep")
            })?;
            for place in range {
                if let Some(feeds) = members.feeds.get_mut(place) {
                    feeds.push(Feed {
                        condition: always.clone(),
                        slot,
                    });
                }
            }
        }
        Ok(Typed::Number(Value::Bounded(slot)))
    }

    /// The point that stands behind a `.`.
    pub(super) fn field(&self, variable: &str, select: &'a SelectExpr) -> Checked<&'a str> {
        let operand = &*select.operand;
        let Expr::Ident(name) = &operand.expr else {
            return Err(self.error(operand, "a point has no fields: before a `.` stands the device"));
        };
        if name == variable {
            return Ok(&select.field);
        }
        let message = format!("the device is called `{variable}` here");
        Err(self.error(operand, message).suggest(Some(variable.to_owned())))
    }

    /// What is wrong with a name without a `.` in what is asked of a device.
    pub(super) fn bare(&self, expr: &IdedExpr, variable: &str, name: &str) -> ExpressionError {
        if name == variable {
            let message = format!(
                "`{variable}` is the device: one of its points must stand here, for example {variable}.online"
            );
            return self.error(expr, message);
        }
        if self.context.kind.point(name).is_none() {
            return self.unknown_point(expr, name);
        }
        let written = format!("{variable}.{name}");
        let message = format!("a point of the device is written {written}");
        self.error(expr, message).suggest(Some(written))
    }

    /// The places of the kinds that `of` names.
    fn kinds(&self, of: &IdedExpr) -> Checked<std::ops::Range<usize>> {
        let Scope::Venue(members) = &self.context.scope else {
            return Err(self.error(of, FORM));
        };
        let Expr::Ident(name) = &of.expr else {
            return Err(self.error(of, "the name of a kind, or `devices`, must stand before the `.`"));
        };
        if name == EVERY {
            return Ok(0..members.kinds.len());
        }
        if let Some(place) = members.kinds.iter().position(|kind| kind.id == *name) {
            return Ok(place..place + 1);
        }
        let names = || members.kinds.iter().map(|kind| kind.id.as_str()).chain([EVERY]);
        let known = names().collect::<Vec<_>>().join(", ");
        let message = format!("there is no kind of device `{name}`; there are {known}");
        let near = nearest(name, names()).map(str::to_owned);
        Err(self.error(of, message).suggest(near))
    }
}
