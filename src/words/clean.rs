//! What devices, registries and people wrote, made harmless: no control or invisible characters, one line, no mention, no
//! address that a reader's program would make a link of, and none of the characters that a style has a meaning for.

use super::Style;

/// `text` on one line of at most `most` characters, without anything that is not seen, and without mentions and
/// links in any style.
pub(super) fn clean(text: &str, most: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(most.saturating_mul(4)));
    let mut count = 0;
    let mut characters = text.chars().filter(|c| !is_unseen(*c)).peekable();
    while let Some(c) = characters.next() {
        if count >= most {
            clean.truncate(clean.trim_end().len());
            clean.push('…');
            return clean;
        }
        let next = characters.peek().copied();
        let c = match c {
            c if c.is_whitespace() => {
                if clean.is_empty() || clean.ends_with(' ') {
                    continue;
                }
                ' '
            }
            '@' | '﹫' => '＠',
            // `http://…`, and by the point `www.…` and bare domains: readers' programs make links of them.
            ':' if next.is_none_or(|next| matches!(next, '/' | '\\')) => '：',
            '.' if next.is_none_or(char::is_alphabetic) => '．',
            c => c,
        };
        clean.push(c);
        count += 1;
    }
    clean.truncate(clean.trim_end().len());
    clean
}

/// Whether nobody sees `c`, though programs act on it: controls that are no white space, marks of direction, joiners,
/// fillers, tags, and code points that stand for nothing.
fn is_unseen(c: char) -> bool {
    if c.is_whitespace() {
        return false;
    }
    c.is_control()
        || matches!(c,
            '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
            | '\u{180B}'..='\u{180F}'
            | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}'
            | '\u{FFFE}' | '\u{FFFF}' | '\u{E000}'..='\u{F8FF}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..)
}

/// `text`, cleaned before, with the characters that `style` has a meaning for in their wide forms: a reader sees the same, no program acts
/// on it. HTML is not done here: its templates escape by themselves.
pub(super) fn escape(text: &str, style: Style) -> String {
    match style {
        Style::Plain | Style::Html => text.to_owned(),
        Style::Wecom | Style::Dingtalk | Style::Feishu => widened(text),
    }
}

fn widened(text: &str) -> String {
    let mut wide = String::with_capacity(text.len());
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    for (at, c) in text.char_indices() {
        // At the start of a line these make a list, or a heading of the line before.
        let starts = at == 0 && matches!(c, '-' | '+' | '=');
        let numbers = digits > 0 && at == digits && matches!(c, '.' | ')') && !follows_digit(text, at);
        let marks = matches!(
            c,
            '<' | '>' | '[' | ']' | '(' | ')' | '*' | '_' | '#' | '`' | '~' | '|' | '\\' | '&' | '@'
        );
        wide.push(if starts || numbers || marks {
            full_width(c)
        } else {
            c
        });
    }
    wide
}

fn follows_digit(text: &str, at: usize) -> bool {
    text.as_bytes().get(at + 1).is_some_and(u8::is_ascii_digit)
}

/// The wide form of a printable ASCII character other than a space.
fn full_width(c: char) -> char {
    const APART: u32 = 0xFEE0;
    match c {
        '!'..='~' => char::from_u32(u32::from(c) + APART).unwrap_or(c),
        other => other,
    }
}

/// `address` as it may stand in a link of any style: what would end the link, or is no part of an address, is
/// percent-encoded.
pub(super) fn link(address: &str) -> String {
    const HEX: [u8; 16] = *b"0123456789ABCDEF";
    let mut link = String::with_capacity(address.len());
    for byte in address.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => link.push(char::from(byte)),
            b'-' | b'.' | b'_' | b'~' | b':' | b'/' | b'?' | b'#' | b'=' | b'&' | b'%' | b'+' | b','
            | b';' => {
                link.push(char::from(byte));
            }
            other => {
                link.push('%');
                link.extend(
                    [other >> 4, other & 15]
                        .map(|half| HEX.get(usize::from(half)).map_or('0', |digit| char::from(*digit))),
                );
            }
        }
    }
    link
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_gone_and_lines_become_one() {
        let cases = [
            ("厨房\n探测器", "厨房 探测器"),
            ("  a \t\r\n b\u{2028}c ", "a b c"),
            ("\u{202E}gnp\u{202C}.exe", "gnp．exe"),
            ("a\u{200B}b\u{FEFF}\u{0}c\u{E0041}", "abc"),
            ("@all @13800001111", "＠all ＠13800001111"),
            ("see http://x.cn/a", "see http：//x．cn/a"),
            ("www.x.cn", "www．x．cn"),
            ("lel 53.2 No.3", "lel 53.2 No.3"),
            ("ends with.", "ends with．"),
            ("1号：二楼", "1号：二楼"),
        ];
        for (text, expected) in cases {
            assert_eq!(clean(text, 60), expected, "{text:?}");
        }
        assert_eq!(clean("一二三四五", 3), "一二三…");
        assert_eq!(clean("一二三", 3), "一二三");
    }

    #[test]
    fn marks_are_wide_where_they_mean_something() {
        let cases = [
            ("[x](y)", "［x］（y）"),
            ("1#厨房_A", "1＃厨房＿A"),
            ("<＠u> `c` **b**", "＜＠u＞ ｀c｀ ＊＊b＊＊"),
            ("- one", "－ one"),
            ("1. one", "1． one"),
            ("53.2 %LEL", "53.2 %LEL"),
            ("a - b", "a - b"),
            ("&lt;", "＆lt;"),
        ];
        for (text, expected) in cases {
            assert_eq!(escape(text, Style::Wecom), expected, "{text:?}");
            assert_eq!(escape(text, Style::Plain), text);
        }
    }

    #[test]
    fn a_link_cannot_be_ended_by_what_is_in_it() {
        assert_eq!(
            link("https://x.cn/a?b=1&c=(d) <e>\"\n"),
            "https://x.cn/a?b=1&c=%28d%29%20%3Ce%3E%22%0A"
        );
    }
}
