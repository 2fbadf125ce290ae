//! Templates: the house's, and how a site's own take their place. Everything that a template prints is escaped for the style, whether or
//! not it asks for that.

use std::ops::Range;

use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, UndefinedBehavior, Value};

use super::Style;
use super::clean::escape;

/// The template in force.
const NAME: &str = "template";

/// How much work a template may be: thousands of times what those of the house take.
const FUEL: u64 = 2_000_000;

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct TemplateError {
    /// What is wrong, in minijinja's words.
    pub problem: String,
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// The bytes of the template it speaks of, where they are known.
    pub span: Option<Range<usize>>,
    kind: String,
}

impl TemplateError {
    fn of(error: &Error) -> TemplateError {
        let kind = error.kind().to_string();
        let nameless = error.kind() == ErrorKind::UndefinedError && error.detail().is_none();
        let expression = error
            .template_source()
            .zip(error.range())
            .and_then(|(source, range)| source.get(range))
            .filter(|expression| nameless && !expression.is_empty());
        let detail = error.detail().map(str::to_owned);
        let detail = detail.or_else(|| expression.map(|expression| format!("`{expression}`")));
        TemplateError {
            problem: detail.map_or_else(|| kind.clone(), |detail| format!("{kind}: {detail}")),
            line: error.line(),
            span: error.range(),
            kind,
        }
    }

    /// The error without anything that the notices may have brought into it.
    pub(super) fn anonymous(&self) -> String {
        let line = self.line.unwrap_or_default();
        format!("{} in line {line}", self.kind)
    }
}

/// The house's template for `style`.
pub(super) fn of_the_house(style: Style) -> Environment<'static> {
    let source = match style {
        Style::Plain => include_str!("templates/plain.j2"),
        Style::Wecom => include_str!("templates/wecom.j2"),
        Style::Dingtalk => include_str!("templates/dingtalk.j2"),
        Style::Feishu => include_str!("templates/feishu.j2"),
        Style::Html => include_str!("templates/email.html.j2"),
    };
    let mut templates = Environment::new();
    templates.set_trim_blocks(true);
    templates.set_lstrip_blocks(true);
    templates.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    templates.set_fuel(Some(FUEL));
    if style == Style::Html {
        templates.set_auto_escape_callback(|_| AutoEscape::Html);
    } else {
        templates.set_auto_escape_callback(|_| AutoEscape::Custom("style"));
        templates.set_formatter(move |out, _, value| print(out, value, style));
    }
    // A template of the house that does not compile is seen by the tests; until then the plain form stands in for it.
    drop(set(&mut templates, source));
    templates
}

fn print(out: &mut Output<'_>, value: &Value, style: Style) -> Result<(), Error> {
    let text = value.to_string();
    let written = if value.is_safe() || value.kind() == ValueKind::Number {
        out.write_str(&text)
    } else {
        out.write_str(&escape(&text, style))
    };
    Ok(written?)
}

/// Puts `source` in force.
pub(super) fn set(templates: &mut Environment<'static>, source: &str) -> Result<(), TemplateError> {
    templates
        .add_template_owned(NAME, source.to_owned())
        .map_err(|error| TemplateError::of(&error))
}

/// What the template in force makes of `context`.
pub(super) fn render(templates: &Environment<'static>, context: &Value) -> Result<String, TemplateError> {
    templates
        .get_template(NAME)
        .and_then(|template| template.render(context))
        .map_err(|error| TemplateError::of(&error))
}

/// `text` as it may stand in HTML, also within quotes.
pub(super) fn html(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}
