//! The linear look at a condition before the recursive CEL parser sees it: tokens with their bytes, brackets in
//! pairs, values and operators in turn, and bounds on depth and size. Never recurses, never builds a tree.

use std::ops::Range;

use super::error::{ExpressionError, nearest};
use super::functions::FUNCTIONS;
use super::venue::{FORM, METHODS};

/// The longest source accepted: the CEL parser is recursive, deep input would overflow the stack.
pub const MAX_SOURCE_BYTES: usize = 2048;

/// The most brackets inside brackets, a `?` `:` behind a `:` counted as one.
pub(super) const MAX_NESTING: usize = 5;

/// The most operators in one condition. A chain of them makes the tree as deep as it is long; with [`MAX_NESTING`]
/// brackets around it, it leaves room in the 2 MiB that a thread has by default, unoptimised builds included.
pub(super) const MAX_OPERATORS: usize = 64;

/// What the language has, for messages about what it does not have.
pub(super) const SUPPORTED: &str = "supported are point names, numbers, quoted words, true, false, == != < <= > >=, && || !, + - * /, ? :, in [...], and the functions rate, avg, min, max, changes, held, age, expires_within, clock_skew, command_failed, registered";

/// The sort of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A name, a number, `true`, `false` or a quoted word.
    Operand,
    /// `(` or `[`.
    Open,
    /// `)` or `]`.
    Close,
    /// `,`.
    Comma,
    /// `!` or `-` before a value.
    Unary,
    /// An operator between two values, with `?`, `:` and `in`.
    Binary,
}

/// A piece of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// Its bytes.
    pub(super) span: Range<usize>,
    /// Its sort.
    pub(super) kind: TokenKind,
    /// For a bracket the bytes of the other one.
    pub(super) partner: Option<Range<usize>>,
}

/// Splits `source` into tokens, or says what is wrong with it. Only with `methods` a `.` may stand behind a name.
pub(super) fn scan(source: &str, methods: bool) -> Result<Vec<Token>, ExpressionError> {
    if source.len() > MAX_SOURCE_BYTES {
        let start = source.floor_char_boundary(MAX_SOURCE_BYTES);
        return Err(ExpressionError::new(
            start..source.len(),
            format!(
                "the condition is {} bytes long, at most {MAX_SOURCE_BYTES} are accepted",
                source.len()
            ),
        ));
    }
    let mut scanner = Scanner {
        source,
        methods,
        at: 0,
        tokens: Vec::new(),
        open: Vec::new(),
        operators: 0,
        nesting: 0,
    };
    while let Some(first) = scanner.peek(0) {
        scanner.step(first)?;
    }
    scanner.finish()
}

struct Scanner<'a> {
    source: &'a str,
    methods: bool,
    /// The next byte; always the start of a character.
    at: usize,
    tokens: Vec<Token>,
    /// The brackets not yet closed.
    open: Vec<Opened>,
    operators: usize,
    nesting: usize,
}

/// A bracket not yet closed: its place in the tokens, and the depth outside it.
struct Opened {
    place: usize,
    nesting: usize,
}

impl Scanner<'_> {
    fn rest(&self) -> &str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.rest().chars().nth(ahead)
    }

    fn text(&self, span: &Range<usize>) -> &str {
        self.source.get(span.clone()).unwrap_or_default()
    }

    /// Whether the last token ends a value, so that an operator may follow.
    fn after_value(&self) -> bool {
        self.tokens
            .last()
            .is_some_and(|token| matches!(token.kind, TokenKind::Operand | TokenKind::Close))
    }

    /// Whether the bracket that was just opened belongs to a function.
    fn opens_call(&self) -> bool {
        let before = self.tokens.len().checked_sub(2);
        before
            .and_then(|place| self.tokens.get(place))
            .is_some_and(|token| token.kind == TokenKind::Operand)
    }

    /// Whether the last name stands behind a `.`.
    fn is_method(&self) -> bool {
        let before = self.tokens.len().checked_sub(2);
        before
            .and_then(|place| self.tokens.get(place))
            .is_some_and(|token| self.text(&token.span) == ".")
    }

    fn last_text(&self) -> &str {
        self.tokens.last().map_or("", |token| self.text(&token.span))
    }

    fn step(&mut self, first: char) -> Result<(), ExpressionError> {
        let next = self.peek(1);
        match first {
            ' ' | '\t' | '\r' | '\n' | '\x0c' => self.at += 1,
            '/' if next == Some('/') => self.at += self.rest().find('\n').unwrap_or(self.rest().len()),
            '\'' | '"' => self.quoted(first)?,
            'a'..='z' | 'A'..='Z' | '_' => self.word()?,
            '0'..='9' => self.number()?,
            '.' if !self.after_value() && next.is_some_and(|next| next.is_ascii_digit()) => self.number()?,
            '.' if self.methods => self.binary(1)?,
            '(' | '[' => self.open(first)?,
            ')' | ']' => self.close(first)?,
            ',' => {
                self.value_before(1)?;
                self.push(1, TokenKind::Comma);
            }
            '=' | '!' | '<' | '>' if next == Some('=') => self.binary(2)?,
            '&' | '|' if next == Some(first) => self.binary(2)?,
            '!' => self.unary()?,
            '-' if !self.after_value() => self.unary()?,
            '<' | '>' | '+' | '-' | '*' | '/' | '?' | ':' => self.binary(1)?,
            other => return Err(self.unexpected(other)),
        }
        Ok(())
    }

    fn push(&mut self, length: usize, kind: TokenKind) {
        let span = self.at..self.at + length;
        self.at = span.end;
        self.tokens.push(Token {
            span,
            kind,
            partner: None,
        });
    }

    fn operand(&mut self, length: usize) -> Result<(), ExpressionError> {
        let span = self.at..self.at + length;
        if self.after_value() {
            let text = self.text(&span);
            if self.last_text() == "not" {
                let not = self
                    .tokens
                    .last()
                    .map_or(span.clone(), |token| token.span.clone());
                return Err(ExpressionError::new(not, "`not` is written `!`").suggest(Some("!".to_owned())));
            }
            let suggestion = match text {
                "and" | "AND" => Some("&&"),
                "or" | "OR" => Some("||"),
                "is" => Some("=="),
                _ => None,
            };
            return Err(ExpressionError::new(
                span.clone(),
                format!("an operator is missing before `{text}`"),
            )
            .suggest(suggestion.map(str::to_owned)));
        }
        self.push(length, TokenKind::Operand);
        Ok(())
    }

    fn value_before(&self, length: usize) -> Result<(), ExpressionError> {
        if self.after_value() {
            return Ok(());
        }
        let span = self.at..self.at + length;
        let message = format!("a value is missing before `{}`", self.text(&span));
        Err(ExpressionError::new(span, message))
    }

    fn count_operator(&mut self, length: usize) -> Result<(), ExpressionError> {
        self.operators += 1;
        if self.operators > MAX_OPERATORS {
            return Err(ExpressionError::new(
                self.at..self.at + length,
                format!("the condition has more than {MAX_OPERATORS} operators; split it into several rules"),
            ));
        }
        let span = self.at..self.at + length;
        // What follows a `:` is parsed as if it stood in brackets.
        if self.text(&span) == ":" {
            self.nesting += 1;
            self.check_nesting(span)?;
        }
        Ok(())
    }

    fn binary(&mut self, length: usize) -> Result<(), ExpressionError> {
        self.value_before(length)?;
        self.count_operator(length)?;
        self.push(length, TokenKind::Binary);
        Ok(())
    }

    fn unary(&mut self) -> Result<(), ExpressionError> {
        let span = self.at..self.at + 1;
        if self.after_value() {
            let message = "`!` stands before a condition; not equal is written `!=`";
            return Err(ExpressionError::new(span, message));
        }
        if self
            .tokens
            .last()
            .is_some_and(|token| token.kind == TokenKind::Unary)
        {
            let message = format!(
                "two signs in a row: write one `{}`, or use parentheses",
                self.text(&span)
            );
            return Err(ExpressionError::new(span, message));
        }
        self.count_operator(1)?;
        self.push(1, TokenKind::Unary);
        Ok(())
    }

    fn open(&mut self, bracket: char) -> Result<(), ExpressionError> {
        let span = self.at..self.at + 1;
        if self.after_value() {
            let before = self
                .tokens
                .last()
                .map_or(span.clone(), |token| token.span.clone());
            if bracket == '[' {
                return Err(ExpressionError::new(
                    span,
                    format!("an index `[...]` is not supported; {SUPPORTED}"),
                ));
            }
            let name = self.text(&before);
            if !name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
                return Err(ExpressionError::new(span, "an operator is missing before `(`"));
            }
            let method = self.is_method();
            let known: &[&str] = if method { &METHODS } else { &FUNCTIONS };
            if !known.contains(&name) {
                let message = match (method, FUNCTIONS.contains(&name), METHODS.contains(&name)) {
                    (true, true, _) => {
                        format!("`{name}` does not stand behind a `.`: it is written {name}(…)")
                    }
                    (true, false, _) => format!("there is no `.{name}(…)`; {FORM}"),
                    (false, _, true) => format!("`{name}` stands behind a kind of device and a `.`; {FORM}"),
                    (false, _, false) => format!("the function `{name}` is not supported; {SUPPORTED}"),
                };
                let near = nearest(name, known.iter().copied()).map(str::to_owned);
                return Err(ExpressionError::new(before, message).suggest(near));
            }
        }
        self.nesting += 1;
        self.check_nesting(span)?;
        self.open.push(Opened {
            place: self.tokens.len(),
            nesting: self.nesting - 1,
        });
        self.push(1, TokenKind::Open);
        Ok(())
    }

    fn close(&mut self, bracket: char) -> Result<(), ExpressionError> {
        let span = self.at..self.at + 1;
        let wanted = if bracket == ')' { "(" } else { "[" };
        let outside = self.open.pop();
        let place = outside.as_ref().map(|outside| outside.place);
        let opened = place.and_then(|place| self.tokens.get(place));
        let Some(opened) = opened.filter(|opened| self.text(&opened.span) == wanted) else {
            let message = format!("`{bracket}` has no `{wanted}` before it");
            return Err(ExpressionError::new(span, message));
        };
        let opened = opened.span.clone();
        if let Some(outside) = outside {
            self.nesting = outside.nesting;
        }
        let empty_list = bracket == ']' && self.last_text() == "[";
        let empty_call = bracket == ')' && self.last_text() == "(" && self.opens_call();
        if !empty_list && !empty_call {
            self.value_before(1)?;
        }
        if let Some(token) = place.and_then(|place| self.tokens.get_mut(place)) {
            token.partner = Some(span);
        }
        self.push(1, TokenKind::Close);
        if let Some(token) = self.tokens.last_mut() {
            token.partner = Some(opened);
        }
        Ok(())
    }

    fn check_nesting(&self, span: Range<usize>) -> Result<(), ExpressionError> {
        if self.nesting > MAX_NESTING {
            let message = format!("nested too deep: at most {MAX_NESTING} brackets or `:` inside each other");
            return Err(ExpressionError::new(span, message));
        }
        Ok(())
    }

    fn word(&mut self) -> Result<(), ExpressionError> {
        let rest = self.rest();
        let length = rest
            .find(|character: char| !character.is_ascii_alphanumeric() && character != '_')
            .unwrap_or(rest.len());
        let span = self.at..self.at + length;
        match (self.text(&span), self.source.as_bytes().get(span.end)) {
            ("in", _) => self.binary(length),
            ("null", _) => Err(ExpressionError::new(
                span,
                "there is no `null`: a comparison with a missing point is unknown by itself",
            )),
            (prefix, Some(b'\'' | b'"')) => {
                let message = format!("the prefix `{prefix}` before a quoted word is not supported");
                Err(ExpressionError::new(span, message))
            }
            _ => self.operand(length),
        }
    }

    fn number(&mut self) -> Result<(), ExpressionError> {
        let bytes = self.rest().as_bytes();
        let hex = bytes.starts_with(b"0x");
        let mut length = 0;
        let mut previous = b'0';
        while let Some(&byte) = bytes.get(length) {
            let exponent_sign = !hex && matches!(previous, b'e' | b'E') && matches!(byte, b'+' | b'-');
            if !(byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.' || exponent_sign) {
                break;
            }
            previous = byte;
            length += 1;
        }
        self.operand(length)
    }

    fn quoted(&mut self, quote: char) -> Result<(), ExpressionError> {
        let mut length = 1;
        let mut escaped = false;
        for character in self.rest().chars().skip(1) {
            length += character.len_utf8();
            match character {
                '\n' | '\r' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if character == quote => {
                    let triple = length == 2 && self.peek(2) == Some(quote);
                    if triple {
                        break;
                    }
                    return self.operand(length);
                }
                _ => {}
            }
        }
        let message = format!("the quoted word is not closed: a {quote} is missing at its end");
        Err(ExpressionError::new(self.at..self.at + length, message))
    }

    fn unexpected(&self, character: char) -> ExpressionError {
        let span = self.at..self.at + character.len_utf8();
        let (message, suggestion) = match character {
            '=' => ("equality is written `==`".to_owned(), Some("==")),
            '&' => ("`and` is written `&&`".to_owned(), Some("&&")),
            '|' => ("`or` is written `||`".to_owned(), Some("||")),
            '%' => (format!("the operator `%` is not supported; {SUPPORTED}"), None),
            '{' | '}' => (format!("maps are not supported; {SUPPORTED}"), None),
            '.' => {
                let word = |text: &char| text.is_ascii_alphanumeric() || *text == '_';
                let behind: String = self.rest().chars().skip(1).take_while(word).collect();
                let method = METHODS.iter().find(|method| behind == **method);
                let message = method.map_or_else(
                    || format!("a field or method `.` is not supported, points stand by their bare names; {SUPPORTED}"),
                    |method| format!("`.{method}` asks the devices of a venue, which only a rule with on = \"venue\" can"),
                );
                (message, None)
            }
            other => {
                let suggestion = match other {
                    '≥' => Some(">="),
                    '≤' => Some("<="),
                    '≠' => Some("!="),
                    '（' => Some("("),
                    '）' => Some(")"),
                    '，' => Some(","),
                    '！' => Some("!"),
                    '＞' => Some(">"),
                    '＜' => Some("<"),
                    '‘' | '’' | '“' | '”' => Some("'"),
                    _ => None,
                };
                let shown = other.escape_debug();
                (
                    format!("the character `{shown}` has no meaning here; {SUPPORTED}"),
                    suggestion,
                )
            }
        };
        ExpressionError::new(span, message).suggest(suggestion.map(str::to_owned))
    }

    fn finish(self) -> Result<Vec<Token>, ExpressionError> {
        let opened = self.open.last().and_then(|opened| self.tokens.get(opened.place));
        if let Some(opened) = opened {
            let message = format!("`{}` is never closed", self.text(&opened.span));
            return Err(ExpressionError::new(opened.span.clone(), message));
        }
        match self.tokens.last() {
            None => Err(ExpressionError::new(
                0..self.source.len(),
                "the condition is empty",
            )),
            Some(last) if !self.after_value() => {
                let message = format!("a value is missing after `{}`", self.text(&last.span));
                Err(ExpressionError::new(last.span.clone(), message))
            }
            Some(_) => Ok(self.tokens),
        }
    }
}
