//! What holds for any names and any limit: nothing is injected, nothing is over the limit, nothing goes uncounted.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Text as devices, registries and people may have written it: everything a style has a meaning for, and anything at all.
fn names() -> impl Strategy<Value = String> {
    let parts = prop_oneof![
        Just("@all"),
        Just("<@user>"),
        Just("@13800001111"),
        Just("<at user_id=\"all\">x</at>"),
        Just("[x](http://evil.cn)"),
        Just("<font color=\"warning\">"),
        Just("</font>"),
        Just("**"),
        Just("`"),
        Just("\n# "),
        Just("\r\n> "),
        Just("\n- "),
        Just("![i](u)"),
        Just("\u{202E}"),
        Just("\u{200B}"),
        Just("http://evil.cn/"),
        Just("www.evil.cn"),
        Just("evil.cn"),
        Just("<script>"),
        Just("\" onload=\""),
        Just("{{ x }}"),
        Just("{% raw %}"),
        Just("&lt;@all&gt;"),
        Just("\\"),
        Just("a"),
        Just("厨房"),
        Just("~~"),
        Just("|"),
        Just("1. "),
        Just("=== "),
        Just("\0"),
    ];
    let any = any::<String>();
    let mixed = proptest::collection::vec(parts, 1..6).prop_map(|parts| parts.concat());
    prop_oneof![mixed, any]
}

/// What is left of a text when everything that the house's templates put there themselves is taken away.
fn foreign(text: &str, style: Style) -> String {
    let ours: &[&str] = match style {
        Style::Wecom => &[
            "<font color=\"warning\">",
            "<font color=\"comment\">",
            "<font color=\"info\">",
            "</font>",
            "**",
            "\n> ",
            "[确认收到](",
            "[查看](",
            "<@duty>",
        ],
        Style::Dingtalk => &["#### ", "\n> ", "[确认收到](", "[查看]("],
        Style::Plain | Style::Feishu | Style::Html => &[],
    };
    let mut rest = text.replace(&format!("{LINK})"), "").replace(LINK, "");
    for ours in ours {
        rest = rest.replace(ours, " ");
    }
    rest
}

fn check_harmless(text: &str, style: Style) -> Result<(), TestCaseError> {
    let rest = foreign(text, style);
    let markup: &[char] = match style {
        Style::Plain | Style::Html => &['@'],
        Style::Wecom | Style::Dingtalk | Style::Feishu => &[
            '@', '<', '>', '[', ']', '(', ')', '*', '_', '#', '`', '~', '|', '\\', '&',
        ],
    };
    let found = rest.chars().find(|c| markup.contains(c));
    prop_assert_eq!(found, None, "{:?}: {}", style, text);
    let hidden = rest.chars().find(|c| {
        (c.is_control() && *c != '\n')
            || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    });
    prop_assert_eq!(hidden, None, "{:?}: {}", style, text);
    if style != Style::Html {
        prop_assert!(!rest.contains("://"), "{:?}: {}", style, text);
    }
    let letters: Vec<char> = rest.chars().collect();
    let domain = letters
        .windows(3)
        .any(|three| three[1] == '.' && three[0].is_alphanumeric() && three[2].is_alphabetic());
    prop_assert!(!domain, "{:?}: {}", style, text);
    for line in rest.lines() {
        prop_assert!(!line.starts_with(['-', '+', '=']), "{:?}: {}", style, text);
    }
    Ok(())
}

/// A body with these names everywhere that others can write.
fn named(number: usize, names: &[String; 4]) -> String {
    let [venue, device, point, note] = names;
    raised(number, |body| {
        body["alarm"]["venue"]["name"] = json!(venue);
        body["alarm"]["venue"]["address"] = json!(note);
        body["alarm"]["device"]["name"] = json!(device);
        body["alarm"]["title"]["zh"] = json!(device);
        let mut values = serde_json::Map::new();
        values.insert(point.clone(), json!(note));
        body["alarm"]["values"] = values.into();
        body["by"] = json!(venue);
        body["note"] = json!(note);
    })
}

fn four_names() -> impl Strategy<Value = [String; 4]> {
    [names(), names(), names(), names()]
}

thread_local! {
    static WORDS: [(Style, Words); 5] = STYLES.map(|style| (style, words(Language::Zh, style)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_name_injects_anything(names in four_names(), count in 1_usize..9) {
        let bodies: Vec<String> = (0..count).map(|number| named(number, &names)).collect();
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        WORDS.with(|all| -> Result<(), TestCaseError> {
            for (style, words) in all {
                let mut words = words.clone();
                for form in ["template", "plain"] {
                    let written = words.write(&story(&bodies));
                    prop_assert_eq!(written.plain_because.is_some(), form == "plain");
                    let lines = written.text.lines().count();
                    let most = if count == 1 { 9 } else { count + 6 };
                    if *style == Style::Html {
                        check_html(&written.text)?;
                    } else {
                        prop_assert!(lines <= most, "{:?} {}: {}", style, form, &written.text);
                        check_harmless(&written.text, *style)?;
                    }
                    check_harmless(&written.title, if *style == Style::Html { Style::Plain } else { *style })?;
                    template::set(&mut words.templates, "{{ nothing }}").unwrap();
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn every_text_keeps_its_limit_its_first_words_and_its_link(
        names in four_names(), count in 1_usize..60, limit in 40_usize..3_000, mention in prop_oneof![Just(""), Just("<@duty>")],
    ) {
        let bodies: Vec<String> = (0..count).map(|number| named(number, &names)).collect();
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        WORDS.with(|all| -> Result<(), TestCaseError> {
            for (style, words) in all {
                let written = words.write(&Story { mention, limit, ..story(&bodies) });
                prop_assert!(written.text.len() <= limit, "{:?}: {} of {}: {}", style, written.text.len(), limit, written.text);
                prop_assert!(!written.text.is_empty());
                if limit >= 200 && *style != Style::Feishu {
                    prop_assert!(written.text.contains("紧急"), "{:?}: {}", style, &written.text);
                }
                if limit >= 300 && !matches!(style, Style::Feishu | Style::Html) {
                    prop_assert!(written.text.contains(LINK), "{:?}: {}", style, &written.text);
                    prop_assert!(written.text.contains(mention));
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn nothing_is_lost_from_a_digest(
        kinds in proptest::collection::vec((0_usize..40, 0_usize..6, 0_usize..20, any::<bool>()), 0..120), limit in 1_500_usize..6_000,
    ) {
        let bodies: Vec<String> = kinds.iter().map(|(alarm, kind, venue, over)| match kind {
            5 => "[]".to_owned(),
            4 => json!({"type": "watchdog", "gateway": "g"}).to_string(),
            kind => raised(*alarm, |body| {
                body["alarm"]["priority"] = json!(["critical", "high", "low", "unheard of"][*kind]);
                body["alarm"]["class"] = json!(["alarm", "fault", "hazard", "unheard of"][*kind]);
                body["alarm"]["venue"]["name"] = json!(format!("场所{venue}"));
                if *over {
                    body["alarm"]["state"] = json!("cleared");
                }
            }),
        }).collect();
        let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        let unreadable = kinds.iter().filter(|(_, kind, ..)| *kind == 5).count();
        let heartbeats = kinds.iter().filter(|(_, kind, ..)| *kind == 4).count();
        let alarms: std::collections::HashSet<_> =
            kinds.iter().filter(|(_, kind, ..)| *kind < 4).map(|(alarm, ..)| alarm).collect();
        WORDS.with(|all| -> Result<(), TestCaseError> {
            let words = &all[0].1;
            let spoken = words.vocabulary.now();
            let manner = words.manner(NOW, &spoken);
            let (matters, lost) = matters(&bodies, manner);
            prop_assert_eq!((matters.len(), lost), (alarms.len() + heartbeats, unreadable));
            for size in [(LISTED, PLACES), (3, 2), (0, 0)] {
                let digest = Digest::new(&matters, lost, size, manner);
                let sum = |counts: &[digest::Count]| counts.iter().map(|count| count.count).sum::<usize>();
                prop_assert_eq!(digest.total, matters.len() + unreadable);
                prop_assert_eq!(
                    digest.items.len() + digest.standing + digest.over + digest.done + digest.unreadable,
                    digest.total
                );
                prop_assert_eq!(sum(&digest.classes), digest.standing);
                prop_assert_eq!(sum(&digest.places) + digest.elsewhere, digest.standing);
            }
            if bodies.len() > 1 && matters.len() + lost > 1 {
                let text = words.write(&Story { limit, ..story(&bodies) }).text;
                let total = format!("共 {} 条", matters.len() + lost);
                prop_assert!(text.contains(&total) && !text.contains('…'), "{}", text);
            }
            Ok(())
        })?;
    }
}

/// In HTML: every tag is one of the templates', and no text has one.
fn check_html(page: &str) -> Result<(), TestCaseError> {
    const TAGS: [&str; 16] = [
        "!DOCTYPE", "html", "/html", "meta", "title", "/title", "body", "/body", "h2", "/h2", "ul", "/ul",
        "li", "/li", "table", "/table",
    ];
    const MORE: [&str; 8] = ["tr", "/tr", "td", "/td", "p", "/p", "a", "/a"];
    let mut anchors = 0;
    for tag in page.split('<').skip(1) {
        let name = tag.split(['>', ' ']).next().unwrap_or_default();
        prop_assert!(TAGS.contains(&name) || MORE.contains(&name), "{}", tag);
        let attributes = tag.split('>').next().unwrap_or_default();
        prop_assert!(!attributes.contains("onload"), "{}", tag);
        anchors += usize::from(name == "a");
    }
    prop_assert!(anchors <= 1, "{}", page);
    Ok(())
}
