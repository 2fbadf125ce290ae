//! A source file split into code and comments, with strings blanked, so that rules look at code only.

use std::ops::RangeInclusive;

/// A file's text in three views: as it is, code only, comments only. All have the same lines.
pub(crate) struct Source {
    pub(crate) path: String,
    text: String,
    code: Vec<String>,
    comments: Vec<String>,
    /// The lines of test modules, counted from 1: no product code.
    tests: Vec<RangeInclusive<usize>>,
}

/// A function: where it stands and how much it takes.
pub(crate) struct Function {
    pub(crate) line: usize,
    /// Lines of code between its braces; blank ones and comments do not count.
    pub(crate) lines: usize,
    pub(crate) arguments: usize,
    /// The attributes before it.
    pub(crate) attributes: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Source {
        let (code, comments) = split(text);
        let code: Vec<String> = code.lines().map(str::to_owned).collect();
        let all_tests = !path.starts_with("src/") || path.contains("/tests/") || path.ends_with("/tests.rs");
        let tests = if all_tests {
            vec![1..=usize::MAX]
        } else {
            test_modules(&code)
        };
        Source {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
            comments: comments.lines().map(str::to_owned).collect(),
            tests,
        }
    }

    /// The lines as they stand.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }

    /// Code without comments and strings, with line numbers from 1.
    pub(crate) fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.code.iter().map(String::as_str))
    }

    /// The code of one line; empty outside the file.
    pub(crate) fn code_line(&self, line: usize) -> &str {
        line.checked_sub(1)
            .and_then(|at| self.code.get(at))
            .map_or("", String::as_str)
    }

    /// Whether the line belongs to tests.
    pub(crate) fn in_tests(&self, line: usize) -> bool {
        self.tests.iter().any(|tests| tests.contains(&line))
    }

    /// Code outside the test modules.
    pub(crate) fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code_lines().filter(|(line, _)| !self.in_tests(*line))
    }

    /// Comments only.
    pub(crate) fn comment_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.comments.iter().map(String::as_str))
    }

    /// Every module of the crate that product code names: `crate::x` and the members of `crate::{x, y}`.
    pub(crate) fn crate_modules(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        let mut depth = 0_u32;
        for (line, code) in self.product_lines() {
            let mut rest = code;
            if depth == 0 {
                while let Some(at) = rest.find("crate::") {
                    rest = &rest[at + "crate::".len()..];
                    if let Some(group) = rest.strip_prefix('{') {
                        (depth, rest) = members(group, 1, line, &mut found);
                    } else {
                        found.push((line, name(rest)));
                    }
                }
            } else {
                (depth, _) = members(rest, depth, line, &mut found);
            }
        }
        found.retain(|(_, module)| !module.is_empty());
        found
    }

    /// Every function with a body, of product and test code.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let mut found = Vec::new();
        for (at, line) in self.code.iter().enumerate() {
            if let Some(place) = function_at(line) {
                found.extend(self.function(at, place));
            }
        }
        found
    }

    fn function(&self, at: usize, place: usize) -> Option<Function> {
        let (mut round, mut angle, mut square, mut curly) = (0_i32, 0_i32, 0_i32, 0_i32);
        let (mut arguments, mut pending, mut listed) = (0, false, false);
        let (mut previous, mut opened) = (' ', at);
        for (row, line) in self.code.iter().enumerate().skip(at) {
            for letter in line.chars().skip(if row == at { place } else { 0 }) {
                let top = round == 1 && angle == 0 && square == 0 && !listed;
                match letter {
                    ')' if top => {
                        arguments += usize::from(pending);
                        (listed, round) = (true, 0);
                    }
                    ',' if top => {
                        arguments += usize::from(pending);
                        pending = false;
                    }
                    '(' => {
                        pending |= top;
                        round += i32::from(curly == 0);
                    }
                    ')' => round -= i32::from(curly == 0),
                    '[' => {
                        pending |= top;
                        square += 1;
                    }
                    ']' => square -= 1,
                    '<' if curly == 0 => angle += 1,
                    '>' if curly == 0 && previous != '-' && previous != '=' => angle -= 1,
                    '{' => {
                        opened = if curly == 0 { row } else { opened };
                        curly += 1;
                    }
                    '}' if curly == 1 => {
                        return Some(self.measured(at, opened, row, arguments));
                    }
                    '}' => curly -= 1,
                    ';' if curly == 0 && square == 0 => return None,
                    other => pending |= top && !other.is_whitespace(),
                }
                previous = letter;
            }
        }
        None
    }

    fn measured(&self, at: usize, opened: usize, closed: usize, arguments: usize) -> Function {
        let body = self.code.get(opened + 1..closed).unwrap_or_default();
        let before = self.code.get(..at).unwrap_or_default().iter().rev();
        let attributes = before.take_while(|line| !line.trim().is_empty() && !line.contains(['{', '}', ';']));
        Function {
            line: at + 1,
            lines: body.iter().filter(|line| !line.trim().is_empty()).count(),
            arguments,
            attributes: attributes.map(String::as_str).collect(),
        }
    }
}

/// The lines of every module of tests, its attribute included. One that stands in a file of its own has none here.
fn test_modules(code: &[String]) -> Vec<RangeInclusive<usize>> {
    let mut found = Vec::new();
    for (at, line) in code.iter().enumerate() {
        let line = line.trim();
        if !line.starts_with("#[cfg(test)]") && !line.starts_with("#[cfg(all(test,") {
            continue;
        }
        let item = code
            .iter()
            .enumerate()
            .skip(at + 1)
            .find(|(_, line)| is_item(line));
        if let Some((from, line)) = item.filter(|(_, line)| line.trim_start().starts_with("mod "))
            && !line.trim_end().ends_with(';')
        {
            found.push(at + 1..=closing(code, from) + 1);
        }
    }
    found
}

/// Whether an item begins on the line: no attribute, and not the inside of one.
fn is_item(line: &str) -> bool {
    let line = line.trim_start();
    let line = line
        .strip_prefix("pub ")
        .or_else(|| line.strip_prefix("pub(crate) "))
        .unwrap_or(line);
    [
        "mod ", "fn ", "async ", "use ", "struct ", "enum ", "impl", "const ", "static ", "type ", "trait ",
    ]
    .iter()
    .any(|word| line.starts_with(word))
}

/// The line on which the braces that open on line `from` or after it are closed again.
fn closing(code: &[String], from: usize) -> usize {
    let mut depth = 0_i32;
    for (at, line) in code.iter().enumerate().skip(from) {
        for letter in line.chars() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 1 => return at,
                '}' => depth -= 1,
                _ => {}
            }
        }
    }
    code.len()
}

/// Where the name behind `fn` begins, when the line declares a function.
fn function_at(line: &str) -> Option<usize> {
    let words = [
        "pub",
        "pub(crate)",
        "pub(super)",
        "async",
        "const",
        "unsafe",
        "extern",
        "fn",
    ];
    let declared = line.split_whitespace().find(|word| !words.contains(word));
    let (before, _) = line.split_once("fn ")?;
    let leading = before.trim();
    let is_declaration = leading.split_whitespace().all(|word| words.contains(&word));
    (is_declaration && declared.is_some()).then(|| before.chars().count() + 3)
}

/// Reads the members of a `crate::{…}` group from `text`, at this depth of braces; gives the depth and what is left.
fn members<'a>(
    text: &'a str,
    mut depth: u32,
    line: usize,
    found: &mut Vec<(usize, String)>,
) -> (u32, &'a str) {
    let mut start = true;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' => start = true,
            letter if letter.is_whitespace() => {}
            _ if start && depth == 1 => {
                found.push((line, name(&text[at..])));
                start = false;
            }
            _ => {}
        }
        if depth == 0 {
            return (0, &text[at + 1..]);
        }
    }
    (depth, "")
}

fn name(text: &str) -> String {
    text.chars()
        .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
        .collect()
}

/// Splits `text` into code and comments of the same lines. Strings and characters become empty in the code.
fn split(text: &str) -> (String, String) {
    let (mut code, mut comments) = (String::new(), String::new());
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let (taken, is_comment) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), true)
        } else if rest.starts_with("/*") {
            (rest.find("*/").map_or(rest.len(), |end| end + 2), true)
        } else {
            (string_length(rest, &code), false)
        };
        if taken == 0 {
            code.push(letter);
            if letter == '\n' {
                comments.push('\n');
            }
            rest = &rest[letter.len_utf8()..];
            continue;
        }
        let (piece, after) = rest.split_at(taken);
        if is_comment {
            comments.push_str(piece);
            code.extend(piece.chars().filter(|letter| *letter == '\n'));
        } else {
            code.push_str("\"\"");
            let breaks = piece.chars().filter(|letter| *letter == '\n');
            code.extend(breaks.clone());
            comments.extend(breaks);
        }
        rest = after;
    }
    (code, comments)
}

/// The length of the string or character literal that `rest` begins with, or 0. `code` is what came before.
fn string_length(rest: &str, code: &str) -> usize {
    let in_name = code.ends_with(|letter: char| letter.is_alphanumeric() || letter == '_');
    if let Some(raw) = rest
        .strip_prefix('r')
        .or_else(|| rest.strip_prefix("br"))
        .filter(|_| !in_name)
    {
        let hashes = raw.chars().take_while(|letter| *letter == '#').count();
        if raw.get(hashes..).is_some_and(|raw| raw.starts_with('"')) {
            let closing = format!("\"{}", "#".repeat(hashes));
            let body = rest.len() - raw.len() + hashes + 1;
            let end = rest.get(body..).and_then(|body| body.find(&closing));
            return end.map_or(rest.len(), |end| body + end + closing.len());
        }
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    // A quote may open a character or a lifetime: a character closes after one letter or an escape.
    let mut letters = rest.chars();
    if letters.next() == Some('\'') {
        let is_char = match letters.next() {
            Some('\\') => true,
            Some(_) => letters.next() == Some('\''),
            None => false,
        };
        return if is_char { quoted(rest, '\'') } else { 0 };
    }
    0
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        if !escaped && letter == quote {
            return at + 1;
        }
        escaped = letter == '\\' && !escaped;
    }
    rest.len()
}
