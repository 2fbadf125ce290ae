//! Text templates, `{station}-{port}`: compiled once, written into scratch space. Knows where a name comes from, not
//! what it means.

use super::Reject;
use super::topic::{MAX_ID_BYTES, is_sound_id};

/// A compiled template.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TextTemplate {
    pieces: Vec<Piece>,
    /// A name other than this one must not contain the text that parts it from its neighbours: else `a` with `1-2`
    /// and `a-1` with `2` would be one device.
    free: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Literal(String),
    Name { origin: Origin, case: Case },
}

/// Where the text of a name comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The topic: the place of its capture.
    Topic(usize),
    /// The payload: the place of its capture.
    Payload(usize),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Case {
    Kept,
    Lower,
    Upper,
}

/// A piece of a template as written: text, or a name and what follows it behind `:`.
#[derive(Debug, PartialEq)]
pub(super) enum Written<'t> {
    /// Text.
    Literal(&'t str),
    /// `{name}` or `{name:format}`.
    Name(&'t str, Option<&'t str>),
}

/// Splits `text` into its pieces. The error says what is wrong.
pub(super) fn pieces(text: &str) -> Result<Vec<Written<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find(['{', '}']) {
        let (literal, after) = rest.split_at(open);
        let name = after.strip_prefix('{').and_then(|after| after.split_once('}'));
        let Some((name, behind)) = name.filter(|(name, _)| !name.contains('{')) else {
            return Err(format!("{text:?}: every {{ needs its }}"));
        };
        if !literal.is_empty() {
            pieces.push(Written::Literal(literal));
        }
        pieces.push(match name.split_once(':') {
            Some((name, format)) => Written::Name(name, Some(format)),
            None => Written::Name(name, None),
        });
        rest = behind;
    }
    if !rest.is_empty() {
        pieces.push(Written::Literal(rest));
    }
    Ok(pieces)
}

impl TextTemplate {
    /// Compiles `text`; `origin` says where a name comes from. The error says what to write instead.
    pub(super) fn parse(
        text: &str,
        origin: impl Fn(&str) -> Result<Origin, String>,
    ) -> Result<TextTemplate, String> {
        let mut compiled = Vec::new();
        for piece in pieces(text)? {
            compiled.push(match piece {
                Written::Literal(text) => Piece::Literal(text.to_owned()),
                Written::Name(name, case) => Piece::Name {
                    origin: origin(name)?,
                    case: match case {
                        None => Case::Kept,
                        Some("lower") => Case::Lower,
                        Some("upper") => Case::Upper,
                        Some(other) => {
                            return Err(format!(
                                "{{{name}:{other}}}: after the colon comes lower or upper"
                            ));
                        }
                    },
                },
            });
        }
        if compiled.is_empty() {
            return Err("the text is empty".to_owned());
        }
        Ok(TextTemplate {
            pieces: compiled,
            free: None,
        })
    }

    /// The same, as a joined id of which only the first name of the topic may contain its separators. `None`: two
    /// names have nothing between them.
    pub(super) fn strict(mut self) -> Option<TextTemplate> {
        let is_name = |piece: &Piece| matches!(piece, Piece::Name { .. });
        if self.pieces.windows(2).any(|pair| pair.iter().all(is_name)) {
            return None;
        }
        let from_topic = |piece: &Piece| {
            matches!(
                piece,
                Piece::Name {
                    origin: Origin::Topic(_),
                    ..
                }
            )
        };
        let first = self.pieces.iter().position(from_topic);
        self.free = Some(first.unwrap_or(usize::MAX));
        Some(self)
    }

    /// Whether a name of it comes from the topic.
    pub(super) fn uses_topic(&self) -> bool {
        self.pieces.iter().any(|piece| {
            matches!(
                piece,
                Piece::Name {
                    origin: Origin::Topic(_),
                    ..
                }
            )
        })
    }

    /// Whether a name of it comes from the payload.
    pub(super) fn uses_payload(&self) -> bool {
        self.pieces.iter().any(|piece| {
            matches!(
                piece,
                Piece::Name {
                    origin: Origin::Payload(_),
                    ..
                }
            )
        })
    }

    /// Puts the text behind `into`. `value` gives the text of a name; it says `None` when there is none.
    pub(super) fn write<'t>(
        &self,
        into: &mut String,
        value: impl Fn(Origin) -> Option<&'t str>,
    ) -> Option<()> {
        for (at, piece) in self.pieces.iter().enumerate() {
            match piece {
                Piece::Literal(text) => into.push_str(text),
                Piece::Name { origin, case } => {
                    let text = value(*origin)?;
                    if self.free.is_some_and(|free| free != at) && self.reaches_over(at, text, *case) {
                        return None;
                    }
                    match case {
                        Case::Kept => into.push_str(text),
                        Case::Lower => into.extend(text.chars().flat_map(char::to_lowercase)),
                        Case::Upper => into.extend(text.chars().flat_map(char::to_uppercase)),
                    }
                }
            }
        }
        Some(())
    }

    fn reaches_over(&self, at: usize, text: &str, case: Case) -> bool {
        let before = at.checked_sub(1).and_then(|at| self.pieces.get(at));
        let neighbours = [before, self.pieces.get(at + 1)];
        neighbours.into_iter().flatten().any(|piece| match (piece, case) {
            (Piece::Literal(separator), Case::Kept) => text.contains(separator.as_str()),
            (Piece::Literal(separator), Case::Lower | Case::Upper) => {
                text.to_lowercase().contains(&separator.to_lowercase())
            }
            (Piece::Name { .. }, _) => false,
        })
    }
}

/// Checks an id made by a template.
pub(super) fn sound(id: &str) -> Result<(), Reject> {
    if is_sound_id(id) {
        Ok(())
    } else {
        Err(Reject::BadIdentity(format!(
            "an id has 1 to {MAX_ID_BYTES} bytes and no control characters"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(template: &str, strict: bool, topic: &str, payload: &str) -> Option<String> {
        let template = TextTemplate::parse(template, |name| match name {
            "t" => Ok(Origin::Topic(0)),
            "p" => Ok(Origin::Payload(0)),
            _ => Err("?".to_owned()),
        })
        .unwrap();
        let template = if strict { template.strict()? } else { template };
        let mut text = String::new();
        template.write(&mut text, |origin| match origin {
            Origin::Topic(_) => Some(topic),
            Origin::Payload(_) => Some(payload),
        })?;
        Some(text)
    }

    #[test]
    fn names_become_texts() {
        let table = [
            ("{t}-{p}", true, "a-1", "2", Some("a-1-2")),
            ("{t}-{p}", true, "a", "1-2", None),
            ("{t}-{p}", false, "a", "1-2", Some("a-1-2")),
            ("{t}{p}", true, "a", "1", None),
            ("{t:upper}", true, "ab", "", Some("AB")),
            ("x{p:lower}", true, "", "AB", Some("xab")),
        ];
        for (template, strict, topic, payload, expected) in table {
            assert_eq!(
                written(template, strict, topic, payload).as_deref(),
                expected,
                "{template} {topic} {payload}"
            );
        }
    }

    #[test]
    fn broken_templates_are_refused() {
        for text in ["{t", "t}", "{{t}}", "", "{q}", "{t:title}"] {
            let origin = |name: &str| match name {
                "t" => Ok(Origin::Topic(0)),
                _ => Err("?".to_owned()),
            };
            assert!(TextTemplate::parse(text, origin).is_err(), "{text}");
        }
    }
}
