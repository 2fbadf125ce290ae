//! Condition → CEL syntax tree, with the bytes of every part. Nothing deep reaches the recursive parser: `scan`
//! bounds it first.

use std::ops::Range;

use cel::Env;
use cel::ParseErrors;
use cel::common::ast::{Expr, IdedExpr, LiteralValue, SourceInfo};

use super::error::ExpressionError;
use super::functions::FUNCTIONS;
use super::scan::{Token, TokenKind, scan};
use super::venue::METHODS;

/// A parsed condition.
pub(super) struct Syntax {
    /// The whole of it.
    pub(super) root: IdedExpr,
    info: SourceInfo,
    tokens: Vec<Token>,
}

/// Parses `source`. Only with `methods` anything may be called on a name. Macros stay the calls that they are written as.
pub(super) fn parse(source: &str, methods: bool) -> Result<Syntax, ExpressionError> {
    let tokens = scan(source, methods)?;
    match Env::default().parser().parse_with_source_info(source) {
        Ok((root, info)) => Ok(Syntax { root, info, tokens }),
        Err(errors) => Err(syntax_error(source, &tokens, &errors)),
    }
}

impl Syntax {
    /// The bytes of `expr`, brackets included where they belong to it.
    pub(super) fn span(&self, expr: &IdedExpr) -> Range<usize> {
        let mut span = self.own_span(expr);
        // An operator's own bytes are the operator alone, and a bracket may stand between it and its operands.
        loop {
            let mut wider = span.clone();
            for token in self.tokens.iter().filter(|token| within(&token.span, &span)) {
                if let Some(partner) = &token.partner {
                    wider = join(&wider, partner);
                }
            }
            if wider == span {
                return span;
            }
            span = wider;
        }
    }

    fn own_span(&self, expr: &IdedExpr) -> Range<usize> {
        let mut span = self.token_span(expr);
        match &expr.expr {
            Expr::Call(call) => {
                // The parser records a call at its bracket.
                let name = self.tokens.iter().rfind(|token| token.span.end <= span.start);
                if let Some(name) = name
                    && (FUNCTIONS.contains(&call.func_name.as_str())
                        || METHODS.contains(&call.func_name.as_str()))
                    && self.info.source.get(name.span.clone()) == Some(call.func_name.as_str())
                {
                    span = join(&span, &name.span);
                }
                for arg in call.target.as_deref().into_iter().chain(&call.args) {
                    span = join(&span, &self.own_span(arg));
                }
            }
            Expr::List(list) => {
                for element in &list.elements {
                    span = join(&span, &self.own_span(element));
                }
            }
            Expr::Literal(literal) if is_negative(literal) => {
                let sign = self
                    .tokens
                    .iter()
                    .rfind(|token| token.span.end <= span.start)
                    .filter(|token| token.kind == TokenKind::Unary);
                if let Some(sign) = sign {
                    span = join(&span, &sign.span);
                }
            }
            Expr::Select(select) => {
                // The parser records a field at its dot.
                let field = self.tokens.iter().find(|token| token.span.start >= span.end);
                if let Some(field) = field {
                    span = join(&span, &field.span);
                }
                span = join(&span, &self.own_span(&select.operand));
            }
            Expr::Literal(_)
            | Expr::Ident(_)
            | Expr::Unspecified
            | Expr::Comprehension(_)
            | Expr::Map(_)
            | Expr::Struct(_) => {}
        }
        span
    }

    /// The token that the parser recorded for `expr`. Its offsets are bytes; its ends are off by the width of a
    /// last non-ASCII character, so the end is ours.
    fn token_span(&self, expr: &IdedExpr) -> Range<usize> {
        let start = self
            .info
            .offset_for(expr.id)
            .and_then(|(start, _)| usize::try_from(start).ok());
        self.tokens
            .iter()
            .find(|token| Some(token.span.start) == start)
            .map_or(0..self.info.source.len(), |token| token.span.clone())
    }
}

fn is_negative(literal: &LiteralValue) -> bool {
    match literal {
        LiteralValue::Int(value) => *value.inner() < 0,
        LiteralValue::Double(value) => value.inner().is_sign_negative(),
        LiteralValue::Boolean(_)
        | LiteralValue::Bytes(_)
        | LiteralValue::Null
        | LiteralValue::String(_)
        | LiteralValue::UInt(_) => false,
    }
}

fn join(left: &Range<usize>, right: &Range<usize>) -> Range<usize> {
    left.start.min(right.start)..left.end.max(right.end)
}

fn within(inner: &Range<usize>, outer: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

fn syntax_error(source: &str, tokens: &[Token], errors: &ParseErrors) -> ExpressionError {
    // Errors of the walk over a broken tree come without a use; the lexer and parser speak of the cause.
    let cause = errors
        .errors
        .iter()
        .find(|error| error.msg.starts_with("Syntax error"));
    let Some(error) = cause.or(errors.errors.first()) else {
        return ExpressionError::new(0..source.len(), "the condition does not parse");
    };
    let (line, column) = error.pos;
    let before: usize = source
        .split_inclusive('\n')
        .take(usize::try_from(line - 1).unwrap_or(0))
        .map(str::len)
        .sum();
    let rest = source.get(before..).unwrap_or_default();
    let within_line = rest
        .char_indices()
        .nth(usize::try_from(column - 1).unwrap_or(0))
        .map_or(rest.len(), |(offset, _)| offset);
    let at = before + within_line;
    let token = tokens.iter().find(|token| token.span.end > at).or(tokens.last());
    let span = token.map_or(0..source.len(), |token| token.span.clone());
    let text = source.get(span.clone()).unwrap_or_default();
    let message = error.msg.trim_start_matches("Syntax error: ");
    // The parser lists its token names; only its own words about literals and names help the reader.
    if message.starts_with("invalid") || message.starts_with("reserved") {
        ExpressionError::new(span, format!("{message}: `{text}`"))
    } else {
        ExpressionError::new(span, format!("`{text}` cannot stand here"))
    }
}
