//! Places in a payload as profiles write them, `^/a/b`, `key`, `{name}`, and JSON Pointers (RFC 6901).

/// The deepest pointer accepted; `serde_json` itself stops at 128.
const MAX_DEPTH: usize = 32;

/// A place as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A pointer below the item `up` levels out.
    Pointer {
        /// How many levels out.
        up: usize,
        /// The names on the way; none: the item itself.
        path: Vec<String>,
    },
    /// The item's key in its object, or its index in its array, from 0.
    Key(usize),
    /// The item's index from 0, also in an object.
    Index(usize),
    /// The item's index from 1.
    Number(usize),
    /// A capture of the topic.
    Topic(String),
}

impl Place {
    /// The place written as `text`. The error says what to write instead.
    pub(super) fn parse(text: &str) -> Result<Place, String> {
        let rest = text.trim_start_matches('^');
        let up = text.len() - rest.len();
        match rest {
            "key" => return Ok(Place::Key(up)),
            "index" => return Ok(Place::Index(up)),
            "number" => return Ok(Place::Number(up)),
            _ => {}
        }
        if let Some(name) = rest.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'))
            && up == 0
        {
            return Ok(Place::Topic(name.to_owned()));
        }
        Ok(Place::Pointer {
            up,
            path: path(rest)?,
        })
    }
}

/// The names on the way of `pointer` (RFC 6901). The error says what is wrong with it.
pub(super) fn path(pointer: &str) -> Result<Vec<String>, String> {
    if pointer.is_empty() {
        return Ok(Vec::new());
    }
    let Some(names) = pointer.strip_prefix('/') else {
        return Err(format!("{pointer:?} is no JSON Pointer: it starts with /"));
    };
    let names = names.split('/').map(unescape).collect::<Option<Vec<_>>>();
    let Some(names) = names else {
        return Err(format!("{pointer:?}: after ~ comes 0 (for ~) or 1 (for /)"));
    };
    if names.len() > MAX_DEPTH {
        return Err(format!("the pointer is deeper than {MAX_DEPTH} levels"));
    }
    Ok(names)
}

fn unescape(token: &str) -> Option<String> {
    let mut name = String::with_capacity(token.len());
    let mut chars = token.chars();
    while let Some(char) = chars.next() {
        name.push(match char {
            '~' => match chars.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            char => char,
        });
    }
    Some(name)
}

/// RFC 6901 §4: digits without leading zeros.
pub(super) fn array_place(name: &str) -> Option<usize> {
    let canonical = name == "0" || !name.starts_with(['0', '+']);
    name.parse().ok().filter(|_| canonical)
}

/// One step of an iteration: the way to what is iterated, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    /// The way from the item before.
    pub(super) path: Vec<String>,
    /// `*`: the entries of an object or array. Else `[]`: the items of an array, or the one value that is no array.
    pub(super) entries: bool,
}

/// The steps of `/devices/*/values/*`. The error says what to write instead.
pub(super) fn steps(each: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut way = Vec::new();
    for name in path(each)? {
        match name.as_str() {
            "*" | "[]" => steps.push(Step {
                path: std::mem::take(&mut way),
                entries: name == "*",
            }),
            _ => way.push(name),
        }
    }
    if steps.is_empty() || !way.is_empty() {
        return Err(format!(
            "`each` = {each:?} must end with /* (entries of an object or array) or /[] (items of an array, or one that \
             is none): for example \"{each}/*\""
        ));
    }
    if steps.len() > 3 {
        return Err(format!("{each:?} goes through more than 3 levels of items"));
    }
    Ok(steps)
}
