//! Topics: templates with captures, and MQTT filters. Never touches a payload.

use super::text::{Written, pieces};

/// The longest id taken from a topic, in bytes: ids end up in metrics labels and messages.
pub(super) const MAX_ID_BYTES: usize = 128;

/// A compiled topic template.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Template {
    levels: Vec<Level>,
    /// The captures' names, in the order of the topic.
    names: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
enum Level {
    /// As it is.
    Literal(String),
    /// `{name}`: the whole level.
    One,
    /// `gas-{id}`: texts and captures in turn, a text first and last (perhaps empty), none empty between captures.
    Mixed(Vec<String>),
    /// `{name...}`: one level or more.
    Many,
}

/// What a template took from a topic: the bytes of each capture, in the order of [`Template::names`].
pub(super) type Ranges = smallvec::SmallVec<[(u32, u32); 4]>;

impl Template {
    /// Compiles `text`. The error says what to write instead.
    pub(super) fn parse(text: &str) -> Result<Template, String> {
        let mut template = Template {
            levels: Vec::new(),
            names: Vec::new(),
        };
        for level in text.split('/') {
            if level.contains(['+', '#', '\0']) {
                return Err(format!(
                    "level {level:?}: a template has no wildcards; capture the level instead"
                ));
            }
            let level = template.level(level)?;
            template.levels.push(level);
        }
        if template
            .levels
            .iter()
            .filter(|level| **level == Level::Many)
            .count()
            > 1
        {
            return Err("only one capture of several levels, {name...}, can stand in a topic".to_owned());
        }
        Ok(template)
    }

    fn level(&mut self, level: &str) -> Result<Level, String> {
        let written = pieces(level)?;
        match written.as_slice() {
            [] => return Ok(Level::Literal(String::new())),
            [Written::Literal(text)] => return Ok(Level::Literal((*text).to_owned())),
            [Written::Name(name, None)] => {
                let many = name.strip_suffix("...");
                self.name(many.unwrap_or(name))?;
                return Ok(if many.is_some() { Level::Many } else { Level::One });
            }
            _ => {}
        }
        let mut texts = vec![String::new()];
        let mut after_name = false;
        for piece in written {
            match piece {
                Written::Literal(text) => {
                    if let Some(last) = texts.last_mut() {
                        text.clone_into(last);
                    }
                    after_name = false;
                }
                Written::Name(_, Some(_)) => {
                    return Err(format!("level {level:?}: a capture is only a name"));
                }
                Written::Name(_, None) if after_name => {
                    return Err(format!("level {level:?}: two captures need a text between them"));
                }
                Written::Name(name, None) => {
                    self.name(name)?;
                    texts.push(String::new());
                    after_name = true;
                }
            }
        }
        Ok(Level::Mixed(texts))
    }

    fn name(&mut self, name: &str) -> Result<(), String> {
        let plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(format!(
                "{{{name}}}: a capture's name has small letters, digits and _; {{name...}} takes several levels"
            ));
        }
        if self.names.iter().any(|other| other == name) {
            return Err(format!("{{{name}}} stands twice in the topic"));
        }
        self.names.push(name.to_owned());
        Ok(())
    }

    /// The captures' names, in the order of the topic.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The place of the capture called `name`.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|other| other == name)
    }

    /// The narrowest MQTT filter of all topics it may match.
    pub(super) fn filter(&self) -> String {
        let mut levels: Vec<&str> = Vec::new();
        for level in &self.levels {
            levels.push(match level {
                Level::Literal(text) => text.as_str(),
                Level::One | Level::Mixed(_) => "+",
                Level::Many => "#",
            });
            if *level == Level::Many {
                break;
            }
        }
        levels.join("/")
    }

    /// What it takes from `topic`; `None` when it does not match.
    pub(super) fn captures(&self, topic: &str) -> Option<Ranges> {
        let mut ranges = Ranges::new();
        let mut at = 0;
        let total = topic.split('/').count();
        let mut words = topic.split('/');
        let spare = (total + 1).checked_sub(self.levels.len())?;
        if spare != 1 && !self.levels.contains(&Level::Many) {
            return None;
        }
        for level in &self.levels {
            let word = words.next()?;
            let start = at;
            at += word.len() + 1;
            match level {
                Level::Literal(text) => {
                    if text != word {
                        return None;
                    }
                }
                Level::One => push(&mut ranges, start, word.len()),
                Level::Mixed(texts) => mixed(texts, word, start, &mut ranges)?,
                Level::Many => {
                    for _ in 1..spare {
                        at += words.next()?.len() + 1;
                    }
                    push(&mut ranges, start, at - 1 - start);
                }
            }
        }
        Some(ranges)
    }
}

/// MQTT topics have at most 65 535 bytes; a longer one is cut to nothing.
fn push(ranges: &mut Ranges, start: usize, length: usize) {
    let range = u32::try_from(start).ok().zip(u32::try_from(start + length).ok());
    ranges.push(range.unwrap_or_default());
}

/// Each capture reaches to the first place where the text behind it stands.
fn mixed(texts: &[String], word: &str, start: usize, ranges: &mut Ranges) -> Option<()> {
    let (first, others) = texts.split_first()?;
    let mut rest = word.strip_prefix(first.as_str())?;
    for (at, text) in others.iter().enumerate() {
        let from = start + word.len() - rest.len();
        let length = if at + 1 == others.len() {
            rest.strip_suffix(text.as_str())?.len()
        } else {
            rest.find(text.as_str())?
        };
        push(ranges, from, length);
        rest = rest.get(length + text.len()..)?;
    }
    Some(())
}

/// Whether `word` can be an id.
pub(super) fn is_sound_id(word: &str) -> bool {
    !word.is_empty() && word.len() <= MAX_ID_BYTES && !word.chars().any(char::is_control)
}

/// What is wrong with an MQTT filter, if anything (MQTT 3.1.1 §4.7.1).
pub(super) fn check_filter(filter: &str) -> Result<(), String> {
    if filter.is_empty() || filter.contains('\0') {
        return Err(format!("filter {filter:?} is empty or contains NUL"));
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let last = levels.peek().is_none();
        if (level == "#" && !last) || (level.len() > 1 && level.contains(['+', '#'])) {
            return Err(format!(
                "filter {filter:?}: + stands for one whole level, # only at the end"
            ));
        }
    }
    Ok(())
}

/// Whether `filter` matches every topic that `topic`, a topic or itself a filter, stands for. A filter that
/// starts with a wildcard matches nothing that starts with `$` (MQTT 3.1.1 §4.7.2).
pub(super) fn filter_covers(filter: &str, topic: &str) -> bool {
    if filter.starts_with(['+', '#']) && topic.starts_with('$') {
        return false;
    }
    let mut wanted = filter.split('/');
    let mut levels = topic.split('/');
    loop {
        match (wanted.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(level)) if level != "#" => {}
            (Some(want), Some(level)) if want == level => {}
            (Some(_) | None, Some(_)) | (Some(_), None) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_capture() {
        let table: [(&str, &str, Option<&[&str]>); 18] = [
            (
                "n/{venue}/{kind}/{device}/t",
                "n/v1/gas/g1/t",
                Some(&["v1", "gas", "g1"]),
            ),
            ("/{kind}/{device}", "/gas/g1", Some(&["gas", "g1"])),
            ("$share/{device}", "$share/g1", Some(&["g1"])),
            ("n/{device}", "n/g1/x", None),
            ("n/{device}/x", "n/g1", None),
            ("n/{device}", "m/g1", None),
            ("n/{device}", "n/g 门", Some(&["g 门"])),
            ("a/b", "a/b", Some(&[])),
            ("a/gas-{id}/s", "a/gas-12/s", Some(&["12"])),
            ("a/gas-{id}/s", "a/ga-12/s", None),
            ("a/{x}-{y}.v", "a/1-2-3.v", Some(&["1", "2-3"])),
            ("a/{x}-{y}.v", "a/1.v", None),
            ("a/x{id}x", "a/x", None),
            ("z/{device...}", "z/a/b/c", Some(&["a/b/c"])),
            ("z/{device...}", "z/a", Some(&["a"])),
            ("z/{device...}", "z", None),
            ("z/{device...}/{what}", "z/a/b/c", Some(&["a/b", "c"])),
            ("z/{device...}/up", "z/up", None),
        ];
        for (template, topic, expected) in table {
            let captures = Template::parse(template).unwrap().captures(topic);
            let shown: Option<Vec<&str>> = captures.map(|ranges| {
                let text = |(from, to): &(u32, u32)| &topic[*from as usize..*to as usize];
                ranges.iter().map(text).collect()
            });
            assert_eq!(shown.as_deref(), expected, "{template} on {topic}");
        }
    }

    #[test]
    fn filters_are_made_of_templates() {
        for (template, filter) in [
            ("a/{x}/gas-{id}", "a/+/+"),
            ("z/{device...}/up", "z/#"),
            ("/{x}", "/+"),
        ] {
            assert_eq!(Template::parse(template).unwrap().filter(), filter);
        }
    }

    #[test]
    fn bad_templates_are_refused() {
        for text in [
            "a/{device}/{device}",
            "a/{Dev}",
            "a/{}",
            "a/{x}{y}",
            "a/{x:lower}",
            "a/{x...}/{y...}",
            "a/{x",
            "a/+/{device}",
            "{device}/#",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn filters_match_as_mqtt_says() {
        let table = [
            ("a/+/c", "a/b/c", true),
            ("a/+/c", "a/b/d", false),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("#", "a/b", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("/+", "/a", true),
            ("a/#", "a/+/c", true),
            ("a/+/c", "a/#", false),
            ("a/b", "a/+", false),
        ];
        for (filter, topic, expected) in table {
            assert_eq!(filter_covers(filter, topic), expected, "{filter} on {topic}");
        }
        for bad in ["", "a/#/b", "a+/b", "a/b#", "##"] {
            assert!(check_filter(bad).is_err(), "{bad}");
        }
    }
}
