//! The functions over time: checks a call's arguments and gives it its derived value. Never computes one.

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue};

use super::super::almanac::Fact;
use super::super::kind::{GATEWAY_KIND, SlotSet, ValueType};
use super::super::time::Millis;
use super::super::window::WindowFunction;
use super::check::{Checked, Checker, Scope, Typed};
use super::condition::{Condition, Relation, Value};
use super::derived::Quantity;
use super::duration::{FORM, NoLength, length};
use super::emit::{TooLarge, emit};
use super::error::ExpressionError;
use super::scan::SUPPORTED;

/// Every function's name.
pub(super) const FUNCTIONS: [&str; 11] = [
    "rate",
    "avg",
    "min",
    "max",
    "changes",
    "held",
    "age",
    "expires_within",
    "clock_skew",
    "command_failed",
    "registered",
];

impl<'a> Checker<'a, '_> {
    /// A call of the function `name`.
    pub(super) fn function(&mut self, expr: &'a IdedExpr, call: &'a CallExpr) -> Checked<Typed<'a>> {
        let name = call.func_name.as_str();
        let function = match name {
            "rate" => WindowFunction::Rate,
            "avg" => WindowFunction::Avg,
            "min" => WindowFunction::Min,
            "max" => WindowFunction::Max,
            "changes" => WindowFunction::Changes,
            "held" => return self.held(expr, &call.args),
            "age" => return self.age(expr, call),
            "expires_within" => return self.expires(expr, &call.args),
            "clock_skew" => return self.of_itself(expr, call, "clock_skew", Quantity::ClockSkew),
            "command_failed" => {
                return self.of_itself(expr, call, "command_failed", Quantity::CommandFailed);
            }
            "registered" => return self.registered(expr, call),
            _ => {
                let message = format!("the function `{name}` is not supported; {SUPPORTED}");
                return Err(self.error(expr, message));
            }
        };
        self.window(expr, function, call)
    }

    fn age(&self, expr: &IdedExpr, call: &CallExpr) -> Checked<Typed<'a>> {
        self.of_the_device(expr, call, "age")?;
        Ok(Typed::Age)
    }

    /// Whether the call asks something of the device itself: in a rule on devices without a word, behind a macro by the
    /// device's name there.
    fn of_the_device(&self, expr: &IdedExpr, call: &CallExpr, name: &str) -> Checked<()> {
        match (&self.context.scope, call.args.as_slice()) {
            (Scope::Device, []) => Ok(()),
            (Scope::Device, _) => {
                let message = format!("`{name}` takes nothing: {name}()");
                Err(self.error(expr, message).suggest(Some(format!("{name}()"))))
            }
            (Scope::Member { variable, .. }, [of]) if of.expr == Expr::Ident((*variable).to_owned()) => {
                Ok(())
            }
            (Scope::Member { variable, .. }, _) => {
                let message = format!("`{name}` takes the device here: {name}({variable})");
                Err(self
                    .error(expr, message)
                    .suggest(Some(format!("{name}({variable})"))))
            }
            (Scope::Venue(_), _) => {
                let message = format!("`{name}` is of a device, for example devices.exists(d, {name}(d) …)");
                Err(self.error(expr, message))
            }
        }
    }

    fn window(
        &mut self,
        expr: &'a IdedExpr,
        function: WindowFunction,
        call: &'a CallExpr,
    ) -> Checked<Typed<'a>> {
        let name = call.func_name.as_str();
        let [point, window] = call.args.as_slice() else {
            let message = format!("`{name}` takes a point and a window, for example {name}(lel, '5m')");
            return Err(self.error(expr, message));
        };
        let (Expr::Ident(_) | Expr::Select(_)) = &point.expr else {
            let message = format!("`{name}` needs the name of a point here");
            return Err(self.error(point, message));
        };
        let point_name = self.point_name(point)?;
        let Some((index, def)) = self.context.kind.point(point_name) else {
            return Err(self.unknown_point(point, point_name));
        };
        match (&def.value, function) {
            (ValueType::Number { .. }, _) | (_, WindowFunction::Changes) => {}
            (ValueType::Bool | ValueType::Enum { .. }, _) => {
                let message = format!(
                    "`{name}` needs a point with numbers, but `{point_name}` is none; only changes(...) takes any point"
                );
                return Err(self.error(point, message));
            }
        }
        let length = self.length(window)?;
        let slot = self.derive(
            expr,
            format!("{name}({point_name}, {})", length.0),
            SlotSet::EMPTY.with(index),
            Quantity::Window {
                function,
                source: index.0,
                length,
            },
        )?;
        Ok(Typed::Number(Value::Bounded(slot)))
    }

    fn held(&mut self, expr: &'a IdedExpr, args: &'a [IdedExpr]) -> Checked<Typed<'a>> {
        let [window, inner] = args else {
            let message = "`held` takes a length of time and a condition: held('2h', lel > 5.0)";
            return Err(self.error(expr, message));
        };
        let length = self.length(window)?;
        let outside = std::mem::replace(&mut self.reads, SlotSet::EMPTY);
        let condition = self.condition(inner, "what is held")?;
        let reads = std::mem::replace(&mut self.reads, outside);
        let condition = emit(&condition, reads).map_err(|TooLarge| {
            self.error(inner, "the condition is too deep; split it into several rules")
        })?;
        let max_gap = self.context.max_gap;
        let written = self.text(&self.syntax.span(inner));
        let slot = self.derive(
            expr,
            format!("held({}, {written}) within {}", length.0, max_gap.0),
            reads,
            Quantity::Held {
                condition,
                length,
                max_gap,
            },
        )?;
        Ok(Typed::Truth(Condition::slot(slot)))
    }

    fn expires(&mut self, expr: &'a IdedExpr, args: &'a [IdedExpr]) -> Checked<Typed<'a>> {
        if !matches!(self.context.scope, Scope::Device) {
            let message = "`expires_within` is for rules on devices: each has a date of its own";
            return Err(self.error(expr, message));
        }
        let [length] = args else {
            return Err(self.error(
                expr,
                "`expires_within` takes a length of time: expires_within('30d')",
            ));
        };
        let length = self.length(length)?;
        let slot = self.derive(
            expr,
            format!("expires_within({})", length.0),
            SlotSet::EMPTY,
            Quantity::Fact(Fact::ExpiresWithin(length)),
        )?;
        Ok(Typed::Truth(Condition::slot(slot)))
    }

    /// A call without arguments that says something true or false of the device itself.
    fn of_itself(
        &mut self,
        expr: &'a IdedExpr,
        call: &'a CallExpr,
        name: &str,
        quantity: Quantity,
    ) -> Checked<Typed<'a>> {
        self.of_the_device(expr, call, name)?;
        let slot = self.derive(expr, format!("{name}()"), SlotSet::EMPTY, quantity)?;
        Ok(Typed::Truth(Condition::slot(slot)))
    }

    fn registered(&mut self, expr: &'a IdedExpr, call: &'a CallExpr) -> Checked<Typed<'a>> {
        if !matches!(self.context.scope, Scope::Device) {
            let message = "`registered` is for rules on devices: each is told of by itself";
            return Err(self.error(expr, message));
        }
        self.of_the_device(expr, call, "registered")?;
        let name = "registered()".to_owned();
        let slot = self.derive(expr, name, SlotSet::EMPTY, Quantity::Fact(Fact::Registered))?;
        Ok(Typed::Truth(Condition::slot(slot)))
    }

    /// `age()` compared with the word `word`.
    pub(super) fn silent(
        &mut self,
        expr: &IdedExpr,
        relation: Relation,
        word: &IdedExpr,
    ) -> Checked<Typed<'a>> {
        if relation != Relation::AT_LEAST && relation != Relation::GREATER {
            let written = self.text(&self.syntax.span(word));
            let of = match self.context.scope {
                Scope::Device | Scope::Venue(_) => "",
                Scope::Member { variable, .. } => variable,
            };
            let suggestion = (relation == Relation::LESS || relation == Relation::AT_MOST)
                .then(|| format!("!(age({of}) >= {written})"));
            let message =
                "age() can only be compared with >= or >: it is known when it has passed a length of time";
            return Err(self.error(expr, message).suggest(suggestion));
        }
        if self.context.kind.id == GATEWAY_KIND {
            return Err(self.error(expr, "the gateway itself is never silent: use `!broker`"));
        }
        let length = self.length(word)?;
        let slot = self.derive(
            expr,
            format!("silent({})", length.0),
            SlotSet::EMPTY,
            Quantity::Silent { length },
        )?;
        Ok(Typed::Truth(Condition::slot(slot)))
    }

    fn length(&self, expr: &IdedExpr) -> Checked<Millis> {
        let Expr::Literal(LiteralValue::String(text)) = &expr.expr else {
            return Err(self.error(expr, format!("this must be a quoted length of time; {FORM}")));
        };
        length(text.inner()).map_err(|wrong| match wrong {
            NoLength::Form(near) => {
                let message = format!("`{}` is not a length of time; {FORM}", text.inner());
                self.error(expr, message)
                    .suggest(near.map(|near| format!("'{near}'")))
            }
            NoLength::Range => self.error(expr, "a length of time here must be 1s to 366d"),
        })
    }

    /// The slot of a derived value, which is new or known by its `name`.
    pub(super) fn derive(
        &mut self,
        expr: &IdedExpr,
        name: String,
        reads: SlotSet,
        quantity: Quantity,
    ) -> Checked<u8> {
        if self.context.derived.are_closed() {
            let message =
                "here only points can be asked: whether a device has obeyed, what it reports of itself shows";
            return Err(self.error(expr, message));
        }
        let known = self.context.derived.find(&name);
        let added = known.map_or_else(|| self.context.derived.add(name, reads, quantity), Ok);
        let (slot, reads) = added.map_err(|_| {
            let message = match self.context.scope {
                Scope::Device | Scope::Member { .. } => format!(
                    "the rules of the kind `{}` use too many different functions over time",
                    self.context.kind.id
                ),
                Scope::Venue(_) => {
                    "the rules on venues ask too many different things of the devices".to_owned()
                }
            };
            ExpressionError::new(self.syntax.span(expr), message)
        })?;
        self.reads = self.reads.union(reads);
        Ok(slot)
    }
}
