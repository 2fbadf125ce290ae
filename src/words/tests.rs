//! What officers read, as it reads: every style, every step, digests, a site's own templates.

mod properties;

use serde_json::{Value, json};

use super::*;
use crate::domain::interlock::CommandDef;
use crate::domain::kind::{Keep, Kind, PointDef, ValueType};
use crate::domain::schedule::time_zone;
use crate::domain::text::Text;
use crate::domain::time::Millis;

const STYLES: [Style; 5] = [
    Style::Plain,
    Style::Wecom,
    Style::Dingtalk,
    Style::Feishu,
    Style::Html,
];
const LINK: &str = "https://gw.example/a/01J?sig=abc";
const NOW: Timestamp = Timestamp(1_767_225_620_000);

fn vocabulary() -> InForce {
    let named = |zh: &str, en: &str| Text {
        zh: zh.to_owned(),
        en: en.to_owned(),
    };
    let lel = PointDef {
        id: "lel".to_owned(),
        value: ValueType::Number {
            unit: "%LEL".to_owned(),
            min: -10.0,
            max: 2_000.0,
        },
        default: None,
        stale_after: None,
        keep: Keep::default(),
        title: named("燃气浓度", "Gas concentration"),
    };
    let close = CommandDef {
        id: "close".to_owned(),
        title: named("关阀", "Close"),
        verify: "position == 'closed'".to_owned(),
        unless: None,
        within: Millis(10_000),
        attempts: 3,
        opens: false,
    };
    let detector = Kind {
        id: "gas_detector".to_owned(),
        points: vec![lel],
        ..Kind::default()
    };
    let valve = Kind {
        id: "shutoff_valve".to_owned(),
        commands: vec![close],
        ..Kind::default()
    };
    Vocabulary::of([&detector, &valve]).into()
}

fn words(language: Language, style: Style) -> Words {
    Words::new(language, style, time_zone("Asia/Shanghai").unwrap(), vocabulary())
}

fn story<'a>(bodies: &'a [&'a str]) -> Story<'a> {
    Story {
        bodies,
        now: NOW,
        link: Some(LINK),
        mention: "",
        limit: usize::MAX,
    }
}

/// An alarm of rule `gas-high`, changed by `change`.
fn raised(number: usize, change: impl FnOnce(&mut Value)) -> String {
    let mut body = json!({
        "id": format!("E{number}"), "type": "alarm.raised", "at": "2026-01-01T00:00:00.120Z", "gateway": "karuo-01", "level": 1,
        "alarm": {
            "id": format!("A{number}"), "rule": "gas-high", "class": "alarm", "priority": "critical",
            "state": "active_unacknowledged",
            "title": {"zh": "燃气浓度高报", "en": "Gas concentration high"},
            "venue": {"id": "r1", "name": "老灶火锅", "kind": "restaurant", "address": "示例路 9 号"},
            "device": {"id": "g1", "kind": "gas_detector", "name": "厨房探测器"},
            "values": {"lel": 53.2}, "raised_at": "2026-01-01T00:00:00.000Z", "recovered_at": null,
            "first_out": true, "late": false, "late_by_ms": null, "quality": "good", "latched": true,
        },
        "by": null, "note": null, "ack_url": "http://x/",
    });
    change(&mut body);
    body.to_string()
}

fn text(language: Language, style: Style, bodies: &[&str]) -> String {
    words(language, style).write(&story(bodies)).text
}

#[test]
fn an_alarm_reads_well_in_every_style() {
    let body = raised(1, |_| ());
    let bodies = [body.as_str()];
    assert_eq!(
        text(Language::Zh, Style::Plain, &bodies),
        "【紧急报警】老灶火锅 燃气浓度高报\n地址：示例路 9 号\n设备：厨房探测器\n读数：燃气浓度 53.2 %LEL\n时间：08:00:00\n说明：本场所首个报警\n\
         确认收到：https://gw.example/a/01J?sig=abc"
    );
    assert_eq!(
        text(Language::En, Style::Plain, &bodies),
        "CRITICAL ALARM: 老灶火锅 Gas concentration high\nAddress: 示例路 9 号\nDevice: 厨房探测器\nValues: Gas concentration 53.2 %LEL\n\
         Time: 08:00:00\nAlso: first of its venue\nAcknowledge: https://gw.example/a/01J?sig=abc"
    );
    assert_eq!(
        text(Language::Zh, Style::Wecom, &bodies),
        "🔴 **<font color=\"warning\">【紧急报警】老灶火锅 燃气浓度高报</font>**\n> <font color=\"comment\">地址：</font>示例路 9 号\n\
         > <font color=\"comment\">设备：</font>厨房探测器\n> <font color=\"comment\">读数：</font>燃气浓度 53.2 %LEL\n\
         > <font color=\"comment\">时间：</font>08:00:00\n> <font color=\"comment\">说明：</font>本场所首个报警\n[确认收到](https://gw.example/a/01J?sig=abc)"
    );
    assert_eq!(
        text(Language::Zh, Style::Dingtalk, &bodies),
        "#### 🔴 【紧急报警】老灶火锅 燃气浓度高报  \n> 地址：示例路 9 号  \n> 设备：厨房探测器  \n> 读数：燃气浓度 53.2 %LEL  \n\
         > 时间：08:00:00  \n> 说明：本场所首个报警  \n[确认收到](https://gw.example/a/01J?sig=abc)"
    );
    assert_eq!(
        text(Language::Zh, Style::Feishu, &bodies),
        "地址：示例路 9 号\n设备：厨房探测器\n读数：燃气浓度 53.2 %LEL\n时间：08:00:00\n说明：本场所首个报警"
    );
    let html = text(Language::Zh, Style::Html, &bodies);
    assert!(
        html.contains("<h2 style=\"color:#c00000;font-size:20px\">【紧急报警】老灶火锅 燃气浓度高报</h2>")
    );
    let written = words(Language::Zh, Style::Html).write(&story(&bodies));
    assert_eq!(written.title, "【紧急报警】老灶火锅 燃气浓度高报");
    assert_eq!(written.link.as_deref(), Some(LINK));
    assert_eq!(written.plain_because, None);
}

#[test]
fn every_step_says_what_it_is() {
    let at = |body: &mut Value, event: &str, state: &str| {
        body["type"] = json!(event);
        body["alarm"]["state"] = json!(state);
        body["at"] = json!("2026-01-01T00:03:20.000Z");
    };
    let first = |body: &str| {
        let written = text(Language::Zh, Style::Plain, &[body]);
        written.lines().next().unwrap().to_owned()
    };
    let escalated = raised(1, |body| {
        at(body, "alarm.escalated", "active_unacknowledged");
        body["level"] = json!(2);
    });
    assert_eq!(
        first(&escalated),
        "【紧急报警，升级到第 2 级】老灶火锅 燃气浓度高报"
    );
    let recovered = raised(1, |body| {
        at(body, "alarm.recovered", "recovered_acknowledged");
        body["alarm"]["recovered_at"] = json!("2026-01-01T00:03:20.000Z");
    });
    assert_eq!(
        text(Language::Zh, Style::Plain, &[&recovered]),
        "【已恢复】老灶火锅 燃气浓度高报\n地址：示例路 9 号\n设备：厨房探测器\n读数：燃气浓度 53.2 %LEL\n时间：08:03:20\n说明：历时 3 分 20 秒"
    );
    let acknowledged = raised(1, |body| {
        at(body, "alarm.acknowledged", "active_acknowledged");
        body["by"] = json!("夜班");
        body["note"] = json!("在路上");
    });
    let told = text(Language::Zh, Style::Plain, &[&acknowledged]);
    assert!(told.starts_with("【已确认】老灶火锅 燃气浓度高报\n"), "{told}");
    assert!(
        told.ends_with("\n处理人：夜班\n备注：在路上"),
        "no link: nobody has to acknowledge: {told}"
    );
    let late = raised(1, |body| body["alarm"]["late_by_ms"] = json!(300_000));
    assert!(
        text(Language::Zh, Style::Plain, &[&late])
            .contains("时间：08:00:00\n说明：本场所首个报警；迟报，数据晚到 5 分\n")
    );
    let venue_wide = raised(1, |body| body["alarm"]["device"] = Value::Null);
    assert!(!text(Language::Zh, Style::Plain, &[&venue_wide]).contains("设备："));
}

#[test]
fn an_order_says_whether_it_was_obeyed() {
    let samples = samples::samples();
    let of = |event: &str| samples.iter().find(|body| body.contains(event)).unwrap().as_str();
    let failed = text(Language::Zh, Style::Plain, &[of("command.failed")]);
    assert_eq!(
        failed,
        "【关阀失败】老灶火锅 进气总管阀\n地址：示例路 9 号\n时间：08:00:30\n说明：设备没有证实已执行；已试 3 次；起因是燃气浓度高报"
    );
    assert!(
        text(Language::Zh, Style::Plain, &[of("command.verified")])
            .starts_with("【关阀成功】老灶火锅 进气总管阀\n")
    );
    assert!(
        text(Language::En, Style::Plain, &[of("command.failed")])
            .starts_with("CLOSE FAILED: 老灶火锅 进气总管阀\n")
    );
    assert!(text(Language::Zh, Style::Plain, &[of("watchdog")]).starts_with("【值守心跳】karuo-01\n"));
}

#[test]
fn a_burst_lists_the_critical_and_counts_the_rest() {
    let mut bodies: Vec<String> = (0..3).map(|number| raised(number, |_| ())).collect();
    bodies.extend((3..40).map(|number| {
        raised(number, |body| {
            body["alarm"]["priority"] = json!("medium");
            body["alarm"]["class"] = json!(if number % 2 == 0 { "fault" } else { "warning" });
            body["alarm"]["venue"]["name"] = json!(format!("场所{}", number % 12));
        })
    }));
    bodies.extend((40..50).map(|number| {
        raised(number, |body| {
            body["type"] = json!("alarm.recovered");
            body["alarm"]["state"] = json!("cleared");
        })
    }));
    // Of the first one it is told again: that it is over.
    bodies.push(raised(0, |body| {
        body["type"] = json!("alarm.recovered");
        body["alarm"]["state"] = json!("recovered_unacknowledged");
    }));
    bodies.push("no JSON".to_owned());
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    assert_eq!(
        text(Language::Zh, Style::Plain, &bodies),
        "【紧急 2 条】老灶火锅 燃气浓度高报 等共 51 条\n08:00:00 老灶火锅 燃气浓度高报（厨房探测器），未确认\n\
         08:00:00 老灶火锅 燃气浓度高报（厨房探测器），未确认\n另有未恢复：37 条（预警 19，故障 18）\n\
         分布：场所3 4，场所0 3，场所1 3，场所10 3，场所11 3，场所2 3，场所4 3，场所5 3，其他 4 处共 12\n已恢复：11 条\n无法读取：1 条\n\
         时间：08:00:00\n查看：https://gw.example/a/01J?sig=abc"
    );
}

#[test]
fn several_notices_of_one_alarm_are_one_in_its_last_state() {
    let first = raised(1, |_| ());
    let last = raised(1, |body| {
        body["type"] = json!("alarm.recovered");
        body["at"] = json!("2026-01-01T00:00:10.000Z");
        body["alarm"]["state"] = json!("recovered_unacknowledged");
    });
    let both = text(Language::Zh, Style::Plain, &[&first, &last]);
    assert_eq!(
        both,
        text(Language::Zh, Style::Plain, &[&last, &first]),
        "in any order"
    );
    assert_eq!(both, text(Language::Zh, Style::Plain, &[&last]));
    assert!(both.starts_with("【已恢复】"));
}

#[test]
fn a_template_of_the_sites_own_takes_the_place_and_is_tried_before() {
    let words = |source: &str| words(Language::Zh, Style::Wecom).with_template(source);
    let body = raised(1, |body| body["alarm"]["venue"]["name"] = json!("a*b"));
    let own = words("{% if digest %}{{ total }} 条{% else %}**{{ venue }}** {{ title }}{% endif %}").unwrap();
    assert_eq!(own.write(&story(&[&body])).text, "**a＊b** 燃气浓度高报");
    let syntax = words("a\n{% if %}").unwrap_err();
    assert_eq!(syntax.line, Some(2), "{syntax}");
    let member = words("a\n\n{{ venu }}").unwrap_err();
    assert_eq!(
        (member.line, &*member.problem),
        (Some(3), "undefined value: `venu`"),
        "{member:?}"
    );
    // Only a digest has it.
    assert_eq!(words("{{ total }}").unwrap_err().line, Some(1));
    let endless = words("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}");
    assert!(endless.unwrap_err().problem.contains("fuel"));
}

#[test]
fn every_documented_name_has_a_value_in_its_form() {
    let docs = include_str!("../../docs/notices.md");
    let (_, docs) = docs.split_once("\n| in both forms | |\n").unwrap();
    let (docs, _) = docs.split_once("\n## ").unwrap();
    let names = |table: &str| -> Vec<String> {
        let cells = table.lines().filter_map(|row| row.split('|').nth(1));
        let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
        names.map(str::to_owned).collect()
    };
    let (both, docs) = docs.split_once("\n| single | |\n").unwrap();
    let (single, digest) = docs.split_once("\n| digest | |\n").unwrap();
    let tables = [("", both), ("not digest", single), ("digest", digest)];
    let mut seen = 0;
    for (form, table) in tables {
        for name in names(table) {
            seen += 1;
            let printed = format!("{{{{ {name} }}}}");
            let source = if form.is_empty() {
                format!("x{printed}")
            } else {
                format!("x{{% if {form} %}}{printed}{{% endif %}}")
            };
            for language in [Language::Zh, Language::En] {
                let tried = words(language, Style::Plain).with_template(&source);
                assert!(tried.is_ok(), "{source}: {:?}", tried.err());
            }
        }
    }
    assert!(seen > 40, "{seen} names are read from the documentation");
    let own = words(Language::Zh, Style::Plain)
        .with_template("{{ type }}")
        .unwrap();
    let bodies = [raised(1, |_| ()), raised(2, |_| ())];
    assert_eq!(own.write(&story(&[&bodies[0]])).text, "alarm．raised");
    assert_eq!(own.write(&story(&[&bodies[0], &bodies[1]])).text, "digest");
}

#[test]
fn without_its_template_a_story_is_told_plainly() {
    for style in STYLES {
        let mut words = words(Language::Zh, style);
        template::set(&mut words.templates, "{{ 1 }}\n{{ headline / 2 }}").unwrap();
        let body = raised(1, |_| ());
        let written = words.write(&story(&[&body]));
        let why = written.plain_because.unwrap();
        assert_eq!(why, "invalid operation in line 2");
        assert!(
            written.text.contains("时间：08:00:00"),
            "{style:?}: {}",
            written.text
        );
        assert_eq!(written.text.contains("燃气浓度高报"), style != Style::Feishu);
        assert_eq!(written.text.contains("gw.example"), style != Style::Feishu);
    }
}

#[test]
fn the_templates_of_the_house_do_for_every_sample() {
    for language in Language::ALL {
        for style in STYLES {
            let words = words(language, style);
            let samples = samples::samples();
            let all: Vec<&str> = samples.iter().map(String::as_str).collect();
            for bodies in all.chunks(1).chain([&*all]) {
                let written = words.write(&story(bodies));
                assert_eq!(written.plain_because, None, "{style:?}");
                assert!(!written.title.is_empty());
            }
        }
    }
}
