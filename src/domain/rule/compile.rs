//! CEL source → syntax tree → type check against a kind → program.

use super::super::kind::Kind;
use super::DEFAULT_MAX_GAP;
use super::check::{Context, Scope, check};
use super::condition::Condition;
use super::derived::Derivations;
use super::emit::{TooLarge, emit};
use super::error::ExpressionError;
use super::parse::parse;
use super::program::Program;

/// A condition by itself, with the default `max_gap`: what it derives from points over time takes the first slots
/// behind the kind's points.
///
/// # Errors
/// When `source` is no condition on `kind`.
pub fn compile(source: &str, kind: &Kind) -> Result<Program, ExpressionError> {
    let mut context = Context {
        kind,
        derived: &mut Derivations::new(kind),
        max_gap: DEFAULT_MAX_GAP,
        scope: Scope::Device,
    };
    compile_into(source, &mut context, None)
}

/// A condition on what a device says now: `verify` and `unless` of a command.
///
/// # Errors
/// When `source` is no condition on `kind`, uses a function over time, or asks for no point.
pub fn compile_proof(source: &str, kind: &Kind) -> Result<Program, ExpressionError> {
    let mut context = Context {
        kind,
        derived: &mut Derivations::closed(kind),
        max_gap: DEFAULT_MAX_GAP,
        scope: Scope::Device,
    };
    let program = compile_into(source, &mut context, None)?;
    if program.depends().is_empty() {
        let message = "no point is asked: only what a device reports of itself shows whether it has obeyed";
        return Err(ExpressionError::new(0..source.len(), message));
    }
    Ok(program)
}

/// The condition `faulty` of `kind`, if it has one. What it derives from points over time joins `derived`.
///
/// # Errors
/// When it is no condition on the kind.
pub(in super::super) fn compile_faulty(
    kind: &Kind,
    derived: &mut Derivations,
) -> Option<Result<Program, ExpressionError>> {
    let source = kind.faulty.as_deref()?;
    let mut context = Context {
        kind,
        derived,
        max_gap: DEFAULT_MAX_GAP,
        scope: Scope::Device,
    };
    Some(compile_into(source, &mut context, None))
}

/// What a schedule does to a condition. It is in force while the value in the slot is 1.
#[derive(Debug, Clone, Copy)]
pub(super) enum Gate {
    /// The condition counts only while it is.
    During(u8),
    /// The condition counts as true while it is not.
    OrOutside(u8),
}

/// Parses, type-checks and compiles `source`, which must come out as a bool. A schedule stands in front of it as `gate`.
pub(super) fn compile_into(
    source: &str,
    context: &mut Context<'_>,
    gate: Option<Gate>,
) -> Result<Program, ExpressionError> {
    let syntax = parse(source, matches!(context.scope, Scope::Venue(_)))?;
    let (condition, reads) = check(source, &syntax, context)?;
    let (condition, depends) = match gate {
        None => (condition, reads),
        Some(Gate::During(slot)) => (Condition::slot(slot).and(condition), reads.with_slot(slot)),
        Some(Gate::OrOutside(slot)) => (
            Condition::slot(slot).negated().or(condition),
            reads.with_slot(slot),
        ),
    };
    emit(&condition, depends).map_err(|TooLarge| {
        ExpressionError::new(
            0..source.len(),
            "the condition is too deep; split it into several rules",
        )
    })
}
