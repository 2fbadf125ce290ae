//! CEL source → syntax tree → type check against a kind → program.

use super::super::kind::Kind;
use super::super::time::Millis;
use super::DEFAULT_MAX_GAP;
use super::check::{Context, check};
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
    compile_into(source, kind, &mut Derivations::new(kind), DEFAULT_MAX_GAP)
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
    Some(compile_into(source, kind, derived, DEFAULT_MAX_GAP))
}

/// Parses, type-checks against `kind` and compiles `source`, which must come out as a bool. What it derives from
/// points over time joins `derived`; evidence for it counts for `max_gap`.
pub(super) fn compile_into(
    source: &str,
    kind: &Kind,
    derived: &mut Derivations,
    max_gap: Millis,
) -> Result<Program, ExpressionError> {
    let syntax = parse(source)?;
    let mut context = Context {
        kind,
        derived,
        max_gap,
    };
    let (condition, depends) = check(source, &syntax, &mut context)?;
    emit(&condition, depends).map_err(|TooLarge| {
        ExpressionError::new(
            0..source.len(),
            "the condition is too deep; split it into several rules",
        )
    })
}
