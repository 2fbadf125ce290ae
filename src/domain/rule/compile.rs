//! CEL source → syntax tree → type check against a kind → program.

use super::super::kind::Kind;
use super::check::check;
use super::emit::{TooLarge, emit};
use super::error::ExpressionError;
use super::parse::parse;
use super::program::Program;

/// Parses, type-checks against `kind` and compiles `source`, which must come out as a bool.
pub fn compile(source: &str, kind: &Kind) -> Result<Program, ExpressionError> {
    let syntax = parse(source)?;
    let (condition, depends) = check(source, &syntax, kind)?;
    emit(&condition, depends).map_err(|TooLarge| {
        ExpressionError::new(
            0..source.len(),
            "the condition is too deep; split it into several rules",
        )
    })
}
