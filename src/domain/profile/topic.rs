//! Topics: templates with one-level captures, and MQTT filters. Never touches a payload.

use super::Reject;

/// The longest id taken from a topic, in bytes: ids end up in metrics labels and messages.
pub(super) const MAX_ID_BYTES: usize = 128;

/// A compiled topic template.
#[derive(Debug)]
pub(super) struct Template {
    levels: Vec<Level>,
}

#[derive(Debug, PartialEq, Eq)]
enum Level {
    Literal(String),
    Venue,
    Kind,
    Device,
}

/// What a template took from a topic.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Captures<'t> {
    /// `{venue}`.
    pub(super) venue: Option<&'t str>,
    /// `{kind}`.
    pub(super) kind: Option<&'t str>,
    /// `{device}`.
    pub(super) device: &'t str,
}

impl Template {
    /// Compiles `text`. The error says what to write instead.
    pub(super) fn parse(text: &str) -> Result<Template, String> {
        let mut levels = Vec::new();
        for level in text.split('/') {
            let level = match level {
                "{venue}" => Level::Venue,
                "{kind}" => Level::Kind,
                "{device}" => Level::Device,
                literal if literal.contains(['{', '}']) => {
                    return Err(format!(
                        "level {literal:?}: a capture is one whole level, {{venue}}, {{kind}} or {{device}}"
                    ));
                }
                literal if literal.contains(['+', '#', '\0']) => {
                    return Err(format!(
                        "level {literal:?}: a template has no wildcards; capture the level instead"
                    ));
                }
                literal => Level::Literal(literal.to_owned()),
            };
            if !matches!(level, Level::Literal(_)) && levels.contains(&level) {
                return Err("a capture stands twice in the topic".to_owned());
            }
            levels.push(level);
        }
        if !levels.contains(&Level::Device) {
            return Err("the topic must have a level {device}".to_owned());
        }
        Ok(Template { levels })
    }

    /// Whether the topic names the kind.
    pub(super) fn captures_kind(&self) -> bool {
        self.levels.contains(&Level::Kind)
    }

    /// Whether the topic names the venue.
    pub(super) fn captures_venue(&self) -> bool {
        self.levels.contains(&Level::Venue)
    }

    /// The MQTT filter of all topics it may match.
    pub(super) fn filter(&self) -> String {
        let levels: Vec<&str> = self
            .levels
            .iter()
            .map(|level| match level {
                Level::Literal(text) => text.as_str(),
                Level::Venue | Level::Kind | Level::Device => "+",
            })
            .collect();
        levels.join("/")
    }

    /// What it takes from `topic`; `None` when it does not match. An id that is empty, too long or has
    /// control characters is an unknown topic.
    pub(super) fn captures<'t>(&self, topic: &'t str) -> Option<Result<Captures<'t>, Reject>> {
        let mut captures = Captures::default();
        let mut sound = true;
        let mut words = topic.split('/');
        for level in &self.levels {
            let word = words.next()?;
            match level {
                Level::Literal(text) if text == word => continue,
                Level::Literal(_) => return None,
                Level::Venue => captures.venue = Some(word),
                Level::Kind => captures.kind = Some(word),
                Level::Device => captures.device = word,
            }
            sound &= is_sound_id(word);
        }
        if words.next().is_some() {
            return None;
        }
        Some(if sound {
            Ok(captures)
        } else {
            Err(Reject::UnknownTopic)
        })
    }
}

/// Whether `word` may be an id: not empty, not too long, without control characters.
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
    fn templates_capture_whole_levels() {
        let table = [
            (
                "n/{venue}/{kind}/{device}/t",
                "n/v1/gas/g1/t",
                Some(("v1", "gas", "g1")),
            ),
            ("/{kind}/{device}", "/gas/g1", Some(("", "gas", "g1"))),
            ("$share/{device}", "$share/g1", Some(("", "", "g1"))),
            ("n/{device}", "n/g1/x", None),
            ("n/{device}/x", "n/g1", None),
            ("n/{device}", "m/g1", None),
            ("n/{device}", "n/g 门", Some(("", "", "g 门"))),
        ];
        for (template, topic, expected) in table {
            let captures = Template::parse(template)
                .unwrap()
                .captures(topic)
                .transpose()
                .unwrap();
            let shown = captures.map(|c| (c.venue.unwrap_or(""), c.kind.unwrap_or(""), c.device));
            assert_eq!(shown, expected, "{template} on {topic}");
        }
    }

    #[test]
    fn unsound_ids_are_unknown_topics() {
        let template = Template::parse("n/{device}").unwrap();
        let long = format!("n/{}", "x".repeat(MAX_ID_BYTES + 1));
        let longest = format!("n/{}", "x".repeat(MAX_ID_BYTES));
        for topic in ["n/", "n/a\nb", "n/\u{7f}", &long] {
            assert_eq!(
                template.captures(topic),
                Some(Err(Reject::UnknownTopic)),
                "{topic:?}"
            );
        }
        assert!(matches!(template.captures(&longest), Some(Ok(_))));
    }

    #[test]
    fn bad_templates_are_refused() {
        for text in [
            "a/b",
            "a/{device}/{device}",
            "a/x-{device}",
            "a/{dev}",
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
