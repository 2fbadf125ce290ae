//! What officers read: the stored bodies of one notice or of many → a text, by templates in two languages. Pure: it is
//! told the time and the zone, sends nothing, and never fails: without its template it has a plain form.

mod calls;
mod clean;
mod digest;
mod fit;
mod samples;
mod say;
mod teller;
mod template;
#[cfg(test)]
mod tests;
mod told;
mod vocabulary;

use jiff::tz::TimeZone;
use minijinja::{Environment, Value, context};

pub use self::calls::calls;
use self::digest::{Digest, LISTED, PLACES, matters};
pub use self::template::TemplateError;
use self::told::{Line, Manner, Told};
pub use self::vocabulary::{InForce, Vocabulary};
use crate::domain::officer::Language;
use crate::domain::time::Timestamp;

/// The most characters of somebody's name.
const NAME: usize = 60;

/// What a text's reader understands as markup, and how mentions stand in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// No markup at all: SMS, the plain part of an e-mail, WeCom's `text`.
    Plain,
    /// WeCom's markdown: `<font color>`, `<@user>`.
    Wecom,
    /// DingTalk's markdown; a line break is two spaces and a new line.
    Dingtalk,
    /// Lines for the text nodes of a Feishu post: title, link and mention are nodes of their own and do not stand in them.
    Feishu,
    /// An HTML page for an e-mail.
    Html,
}

/// What a text is made of.
#[derive(Debug, Clone, Copy)]
pub struct Story<'a> {
    /// The stored bodies, in any order. Several of one alarm or order count as one, in its last state.
    pub bodies: &'a [&'a str],
    /// When it is sent: what is much older is said to be.
    pub now: Timestamp,
    /// Where one acknowledges (of one notice) or looks (of many).
    pub link: Option<&'a str>,
    /// Who is to look, in the style's own notation: it is written as it is. Empty: nobody in particular.
    pub mention: &'a str,
    /// The most bytes of [`Written::text`].
    pub limit: usize,
}

/// A text, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// One line, harmless in the style: a subject, a title, a preview. Not escaped for HTML.
    pub title: String,
    /// A coloured sign of its urgency, which the title does not have.
    pub sign: &'static str,
    /// The text in its style, at most [`Story::limit`] bytes.
    pub text: String,
    /// Where [`Story::link`] leads, if somebody still has to acknowledge: as it may stand in a link.
    pub link: Option<String>,
    /// What the link does, in words: `确认收到`.
    pub link_label: &'static str,
    /// Why the template was not used, without anything out of the notices.
    pub plain_because: Option<String>,
}

/// The name of a person as it may stand in a text of `style`: on one line, without markup, mention or link.
pub fn name(name: &str, style: Style) -> String {
    let name = clean::clean(name, NAME);
    match style {
        Style::Html => template::html(&name),
        Style::Plain | Style::Wecom | Style::Dingtalk | Style::Feishu => clean::escape(&name, style),
    }
}

/// Puts notices into words, in one language and style.
#[derive(Debug, Clone)]
pub struct Words {
    language: Language,
    style: Style,
    zone: TimeZone,
    vocabulary: InForce,
    templates: Environment<'static>,
}

/// What is given to the template and, without it, to the plain form.
struct Facts {
    sign: &'static str,
    headline: String,
    lines: Vec<Line>,
    items: Vec<Told>,
    link: Option<String>,
    label: &'static str,
    context: Value,
}

impl Words {
    /// Words by the template of the house, with times in `zone`.
    pub fn new(language: Language, style: Style, zone: TimeZone, vocabulary: InForce) -> Words {
        Words {
            language,
            style,
            zone,
            vocabulary,
            templates: template::of_the_house(style),
        }
    }

    /// The same words by a template of the site's own, tried on a sample of everything that may be told.
    pub fn with_template(mut self, source: &str) -> Result<Words, TemplateError> {
        template::set(&mut self.templates, source)?;
        let samples = samples::samples();
        let samples: Vec<&str> = samples.iter().map(String::as_str).collect();
        let bodies = samples.iter().map(std::slice::from_ref).chain([&*samples]);
        let (link, mention) = ("https://example.com/acknowledge", "@somebody");
        for bodies in bodies {
            for (link, mention) in [(Some(link), mention), (None, "")] {
                let story = Story {
                    bodies,
                    now: Timestamp(1_767_225_900_000),
                    link,
                    mention,
                    limit: usize::MAX,
                };
                let vocabulary = self.vocabulary.now();
                let manner = self.manner(story.now, &vocabulary);
                let (matters, unreadable) = matters(bodies, manner);
                let facts = self.facts(&story, (&matters, unreadable), (LISTED, PLACES), manner);
                template::render(&self.templates, &facts.context)?;
            }
        }
        Ok(self)
    }

    /// The text of `story`.
    pub fn write(&self, story: &Story<'_>) -> Written {
        let vocabulary = self.vocabulary.now();
        let manner = self.manner(story.now, &vocabulary);
        let (matters, unreadable) = matters(story.bodies, manner);
        // Less and less is told one by one; what is not is counted, so that nothing is lost without a word.
        let sizes = [LISTED, 12, 8, 5, 3, 2, 1, 0].map(|listed| (listed, PLACES));
        let mut sizes = sizes.into_iter().chain([(0, 3), (0, 0)]).peekable();
        loop {
            let size = sizes.next().unwrap_or_default();
            let facts = self.facts(story, (&matters, unreadable), size, manner);
            let last = sizes.peek().is_none() || matters.len() + unreadable <= 1;
            let (text, why) = match template::render(&self.templates, &facts.context) {
                Ok(text) => (self.fitted(&text, &facts, story, last), None),
                Err(error) => (self.plain(&facts, story, last), Some(error.anonymous())),
            };
            if let Some(text) = text {
                return Written {
                    title: fit::cut(&clean::escape(&facts.headline, self.style), story.limit),
                    sign: facts.sign,
                    text,
                    link: facts.link,
                    link_label: facts.label,
                    plain_because: why,
                };
            }
        }
    }

    const fn manner<'a>(&'a self, now: Timestamp, vocabulary: &'a Vocabulary) -> Manner<'a> {
        Manner {
            language: self.language,
            zone: &self.zone,
            vocabulary,
            now,
        }
    }

    fn facts(
        &self,
        story: &Story<'_>,
        (matters, unreadable): (&[Told], usize),
        size: (usize, usize),
        manner: Manner<'_>,
    ) -> Facts {
        let language = self.language;
        let link = story.link.map(clean::link);
        let (headline, lines, items, link, label, told) = if let ([told], 0) = (matters, unreadable) {
            let link = link.filter(|_| told.open);
            let label = language.of("确认收到", "Acknowledge");
            let context = context! { digest => false, ..Value::from_serialize(told) };
            let lines = told.lines(language);
            (told.headline(language), lines, Vec::new(), link, label, context)
        } else {
            let digest = Digest::new(matters, unreadable, size, manner);
            let first = matters.first();
            let context = context! {
                digest => true,
                urgency => first.map_or("calm", |told| told.urgency),
                sign => first.map_or("🟢", |told| told.sign),
                ..Value::from_serialize(&digest)
            };
            let headline = digest.headline(first, language);
            let (label, lines) = (language.of("查看", "Open"), digest.lines(language));
            (headline, lines, digest.items, link, label, context)
        };
        let itemised: Vec<Value> = items
            .iter()
            .map(|told| context! { line => told.line(language), ..Value::from_serialize(told) })
            .collect();
        let colon = language.of("：", ": ");
        let context = context! {
            headline,
            lines,
            items => itemised,
            link => self.markup(link.as_deref().unwrap_or_default()),
            mention => self.markup(story.mention),
            lang => language.as_str(),
            say => context! { open => label, link => format!("{label}{colon}") },
            ..told
        };
        Facts {
            sign: matters.first().map_or("🟢", |told| told.sign),
            headline,
            lines,
            items,
            link,
            label,
            context,
        }
    }

    /// A text of ours, which is not to be escaped; HTML has its own rules for every text.
    fn markup(&self, text: &str) -> Value {
        match self.style {
            Style::Html => Value::from(text),
            Style::Plain | Style::Wecom | Style::Dingtalk | Style::Feishu => {
                Value::from_safe_string(text.to_owned())
            }
        }
    }

    /// What the template gave, within the limit; `None`: less is to be told. The `last` time it always fits.
    fn fitted(&self, text: &str, facts: &Facts, story: &Story<'_>, last: bool) -> Option<String> {
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty())
            .collect();
        let text = lines.join(self.line_break());
        if text.len() <= story.limit && !text.is_empty() {
            return Some(text);
        }
        if !last {
            return None;
        }
        let kept = [facts.link.as_deref().unwrap_or_default(), story.mention];
        let shortened = match self.style {
            // What is between a tag and its end does not go alone.
            Style::Html => None,
            Style::Plain | Style::Wecom | Style::Dingtalk | Style::Feishu => {
                fit::whole_lines(&lines, self.line_break(), story.limit, &kept)
            }
        };
        shortened
            .filter(|text| !text.is_empty())
            .or_else(|| self.plain(facts, story, last))
    }

    /// The text without any template.
    fn plain(&self, facts: &Facts, story: &Story<'_>, last: bool) -> Option<String> {
        let first = Some(facts.headline.clone()).filter(|_| self.style != Style::Feishu);
        let items = facts.items.iter().map(|told| told.line(self.language));
        let lines = facts
            .lines
            .iter()
            .map(|line| format!("{}{}", line.label, line.text));
        let lines: Vec<String> = first
            .into_iter()
            .chain(items)
            .chain(lines)
            .map(|line| self.escaped(&line))
            .collect();
        let link = facts
            .link
            .as_deref()
            .map(|link| self.plain_link(link, facts.label));
        let mention = Some(story.mention.to_owned()).filter(|mention| !mention.is_empty());
        let tail: Vec<String> = match self.style {
            Style::Feishu => Vec::new(),
            Style::Html => link.into_iter().collect(),
            Style::Plain | Style::Wecom | Style::Dingtalk => link.into_iter().chain(mention).collect(),
        };
        let text = fit::plain(&lines, &tail, self.line_break(), usize::MAX);
        if text.len() <= story.limit {
            return Some(text);
        }
        last.then(|| fit::plain(&lines, &tail, self.line_break(), story.limit))
    }

    fn plain_link(&self, link: &str, label: &str) -> String {
        match self.style {
            Style::Plain | Style::Feishu => format!("{label}{}{link}", self.language.of("：", ": ")),
            Style::Wecom | Style::Dingtalk => format!("[{label}]({link})"),
            Style::Html => format!("<a href=\"{}\">{label}</a>", template::html(link)),
        }
    }

    fn escaped(&self, text: &str) -> String {
        match self.style {
            Style::Html => template::html(text),
            Style::Plain | Style::Wecom | Style::Dingtalk | Style::Feishu => clean::escape(text, self.style),
        }
    }

    const fn line_break(&self) -> &'static str {
        match self.style {
            Style::Dingtalk => "  \n",
            Style::Plain | Style::Wecom | Style::Feishu | Style::Html => "\n",
        }
    }
}
