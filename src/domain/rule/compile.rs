//! CEL source → syntax tree → type check against a kind → program.

use super::super::kind::Kind;
use super::DEFAULT_MAX_GAP;
use super::check::{Context, Scope, check};
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
    compile_into(source, &mut context)
}

/// Parses, type-checks and compiles `source`, which must come out as a bool.
pub(super) fn compile_into(source: &str, context: &mut Context<'_>) -> Result<Program, ExpressionError> {
    let syntax = parse(source, matches!(context.scope, Scope::Venue(_)))?;
    let (condition, depends) = check(source, &syntax, context)?;
    emit(&condition, depends).map_err(|TooLarge| {
        ExpressionError::new(
            0..source.len(),
            "the condition is too deep; split it into several rules",
        )
    })
}
