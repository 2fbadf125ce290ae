//! Keeps secrets out of findings: the text that is shown has the values of secret keys masked, byte for byte in
//! place, so that every position still holds. It never decides which keys are valid.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// Words that make a key secret, whatever else its name says.
const WORDS: [&str; 6] = ["passw", "pwd", "secret", "token", "credential", "api_key"];

/// Keys whose misspellings are secret too.
const KEYS: [&str; 5] = ["password", "proxy", "secret", "token", "url"];

/// `text` with the values of secret keys masked. `tree` is what could be read of it; when it was `broken`, lines
/// are masked by their look as well, for the tree may have missed them.
pub(super) fn mask(text: &str, tree: &DeTable<'_>, broken: bool) -> String {
    let mut ranges = Vec::new();
    collect(tree, "", false, &mut ranges);
    if broken {
        collect_by_look(text, &mut ranges);
    }
    let mut shown = text.as_bytes().to_vec();
    for range in ranges {
        if let Some(bytes) = shown.get_mut(range) {
            blot(bytes);
        }
    }
    // Ranges end at token borders, so this cannot fail; hiding everything is the safe answer if it ever does.
    String::from_utf8(shown).unwrap_or_else(|_| "*".repeat(text.len()))
}

fn blot(bytes: &mut [u8]) {
    const SHORT: &[u8] = b"\"***\"";
    if bytes.len() >= SHORT.len() && !bytes.contains(&b'\n') {
        let padded = SHORT.iter().copied().chain(std::iter::repeat(b' '));
        bytes.iter_mut().zip(padded).for_each(|(byte, mask)| *byte = mask);
    } else {
        bytes
            .iter_mut()
            .filter(|byte| !matches!(byte, b'\n' | b'\r'))
            .for_each(|byte| *byte = b'*');
    }
}

fn collect(table: &DeTable<'_>, section: &str, secret: bool, ranges: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        let key = key.get_ref().as_ref();
        let pointer = matches!(key, "env" | "file");
        let secret =
            (secret && !pointer) || is_secret(key) && !is_plain_broker_url(section, key, value.get_ref());
        collect_value(value.get_ref(), value.span(), key, secret, ranges);
    }
}

fn collect_value(
    value: &DeValue<'_>,
    span: Range<usize>,
    key: &str,
    secret: bool,
    ranges: &mut Vec<Range<usize>>,
) {
    match value {
        DeValue::Table(table) => collect(table, key, secret, ranges),
        DeValue::Array(items) => {
            for item in items {
                collect_value(item.get_ref(), item.span(), key, secret, ranges);
            }
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => {
            if secret {
                ranges.push(span);
            }
        }
    }
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let near = |known: &&str| strsim::damerau_levenshtein(&key, known) <= known.len() / 3;
    !key.ends_with("_file") && (WORDS.iter().any(|word| key.contains(word)) || KEYS.iter().any(near))
}

/// The broker's address is no secret unless someone wrote a password into it.
fn is_plain_broker_url(section: &str, key: &str, value: &DeValue<'_>) -> bool {
    section == "mqtt" && key == "url" && value.as_str().is_some_and(|url| !url.contains('@'))
}

/// The rest of every line that starts with a secret key, or assigns to one.
fn collect_by_look(text: &str, ranges: &mut Vec<Range<usize>>) {
    let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        let mut first = true;
        let mut at = 0;
        while let Some(rest) = line.get(at..).filter(|rest| !rest.is_empty()) {
            let word_end = rest.find(|c| !is_key(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(word_end);
            let assigns = after.trim_start_matches(['"', '\'', ' ', '\t']).starts_with('=');
            if is_secret(word) && (first || assigns) {
                let value = after
                    .trim_start_matches(['"', '\'', ' ', '\t'])
                    .strip_prefix('=')
                    .unwrap_or(after)
                    .trim_start_matches([' ', '\t']);
                let start = line_start + line.len() - value.len();
                ranges.push(start..end_of_value(text, start, line_start + line.trim_end().len()));
                break;
            }
            first &= word.is_empty();
            at += word_end + after.chars().next().map_or(0, char::len_utf8);
        }
        line_start += line.len();
    }
}

/// Where a value that begins at `start` ends at the latest: with its line, or with its closing delimiter when it
/// opens a multi-line string.
fn end_of_value(text: &str, start: usize, line_end: usize) -> usize {
    let line = text.get(start..line_end).unwrap_or_default();
    let opened = ["\"\"\"", "'''"]
        .into_iter()
        .find(|delimiter| line.matches(delimiter).count() == 1);
    let Some(delimiter) = opened else {
        return line_end.max(start);
    };
    text.get(line_end..)
        .and_then(|rest| rest.find(delimiter))
        .map_or(text.len(), |found| line_end + found + delimiter.len())
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::mask;

    fn masked(text: &str) -> String {
        let (tree, errors) = DeTable::parse_recoverable(text);
        let shown = mask(text, tree.get_ref(), !errors.is_empty());
        assert_eq!(shown.len(), text.len(), "positions must hold");
        shown
    }

    #[test]
    fn no_secret_survives_in_any_form() {
        for text in [
            "password = \"hunter2\"",
            "password = 'hunter2'",
            "password = \"\"\"\nhunter2\n\"\"\"",
            "pasword = \"hunter2\"",
            "[mqtt]\npassword = \"hunter2\"",
            "PASSWORD = \"hunter2\"",
            "password = [\"hunter2\"]",
            "password = { value = \"hunter2\" }",
            "[mqtt]\npassword.value = \"hunter2\"",
            "[mqtt]\nurl = \"mqtt://me:hunter2@host\"",
            "[[target]]\nurl = \"http://host/hunter2\"",
            "[[target]]\nproxy = \"http://me:hunter2@host\"",
            "target = [{ name = \"a\", url = \"http://host/hunter2\" }]",
            "token = \"密码hunter2\"",
            "password = \"hunter2",
            "password \"hunter2\"",
            "password = hunter2",
            "password = \"\"\"\nhunter2\n",
            "x = { token = \"hunter2\"",
        ] {
            assert!(!masked(text).contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn what_is_no_secret_stays_readable() {
        for text in [
            "[mqtt]\nurl = \"mqtt://127.0.0.1\"",
            "password_file = \"secrets/mqtt\"",
            "password = { env = \"MQTT_PASSWORD\" }",
            "proxy = { file = \"secrets/proxy\" }",
            "title = \"taken\"",
            "public_url = \"http://a\"",
        ] {
            assert_eq!(masked(text), text);
        }
        assert_eq!(
            masked("token = \"0123456789\" # why"),
            "token = \"***\"        # why"
        );
    }
}
