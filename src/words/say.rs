//! The words of both languages: classes, priorities, steps, states, lengths of time, days. Knows nothing of messages.

use jiff::tz::TimeZone;

use crate::domain::officer::Language;
use crate::domain::time::Timestamp;

/// What stands between two parts of a list.
pub(super) const fn comma(language: Language) -> &'static str {
    language.of("，", ", ")
}

/// The class with its priority, as it stands in front: `紧急报警`, `CRITICAL ALARM`. A word that is not known says nothing.
pub(super) fn urgency(language: Language, priority: &str, class: &str) -> String {
    let priority = match priority {
        "critical" => language.of("紧急", "CRITICAL"),
        "high" => language.of("重要", "HIGH"),
        "medium" => language.of("一般", "MEDIUM"),
        "low" => language.of("低级", "LOW"),
        _ => "",
    };
    let class = self::class(language, class);
    match language {
        Language::Zh => format!("{priority}{class}"),
        Language::En => format!("{priority} {}", class.to_uppercase()).trim().to_owned(),
    }
}

/// A class's name.
pub(super) fn class(language: Language, class: &str) -> &str {
    match class {
        "alarm" => language.of("报警", "alarm"),
        "warning" => language.of("预警", "warning"),
        "fault" => language.of("故障", "fault"),
        "hazard" => language.of("隐患", "hazard"),
        _ => language.of("消息", "notice"),
    }
}

/// What an alarm's step is called; `None`: it has no word of its own.
pub(super) fn step(language: Language, event: &str) -> Option<&'static str> {
    let (zh, en) = match event {
        "alarm.acknowledged" => ("已确认", "ACKNOWLEDGED"),
        "alarm.recovered" => ("已恢复", "RECOVERED"),
        "alarm.cleared" => ("已解除", "CLEARED"),
        "alarm.shelved" => ("已搁置", "SHELVED"),
        "alarm.unshelved" => ("搁置结束", "NO LONGER SHELVED"),
        "alarm.out_of_service" => ("停用检修", "OUT OF SERVICE"),
        "alarm.in_service" => ("恢复使用", "BACK IN SERVICE"),
        "alarm.suppressed" => ("已被抑制", "SUPPRESSED"),
        "alarm.limited" => ("已限流", "LIMITED"),
        "alarm.verified" => ("已核实", "VERIFIED"),
        "alarm.closed" => ("已结案", "CLOSED"),
        "alarm.unclosed" => ("未能结案", "CAN NO LONGER BE CLOSED"),
        "watchdog" => ("值守心跳", "HEARTBEAT"),
        _ => return None,
    };
    Some(language.of(zh, en))
}

/// Where an alarm stands; the word itself when it is not known.
pub(super) fn state(language: Language, state: &str) -> &str {
    match state {
        "active_unacknowledged" => language.of("未确认", "not acknowledged"),
        "active_acknowledged" => language.of("已确认，仍在持续", "acknowledged, still active"),
        "recovered_unacknowledged" => language.of("已恢复，未确认", "recovered, not acknowledged"),
        "recovered_acknowledged" => language.of("已恢复", "recovered"),
        "cleared" => language.of("已解除", "cleared"),
        other => other,
    }
}

/// Why an order failed, or an alarm's life ended, or what somebody judged; empty when it says nothing new.
pub(super) fn reason(language: Language, reason: &str) -> &'static str {
    match reason {
        "not_sent" => language.of("指令没有发出", "the command could not be sent"),
        "not_proven" => language.of("设备没有证实已执行", "the device does not show that it obeyed"),
        "declined" => language.of("设备拒绝执行", "the device refuses"),
        "unwritable" => language.of("设备协议不支持该指令", "the device's profile has no such command"),
        "reset" => language.of("人工复位", "reset by hand"),
        "rule_removed" => language.of("规则已删除", "its rule was removed"),
        "device_retired" => language.of("设备已停用", "its device was retired"),
        "real" => language.of("真实", "real"),
        "false" => language.of("误报", "false alarm"),
        "test" => language.of("测试", "test"),
        "drill" => language.of("演练", "drill"),
        _ => "",
    }
}

/// What is to be said of evidence that is not good; empty: nothing.
pub(super) fn quality(language: Language, quality: &str) -> &'static str {
    match quality {
        "uncertain" => language.of("部分数据未知", "some values are not known"),
        "stale" => language.of("设备已失联", "the device is silent"),
        "fault" => language.of(
            "设备有故障，数据不可靠",
            "the device is broken, its values prove nothing",
        ),
        _ => "",
    }
}

/// A value that is a word, as people say it; the word itself when it is not known.
pub(super) fn word(language: Language, word: &str) -> &str {
    match (language, word) {
        (Language::Zh, "normal") => "正常",
        (Language::Zh, "fault") => "故障",
        (Language::Zh, "warmup") => "预热",
        (Language::Zh, "end_of_life") => "寿命到期",
        (Language::Zh, "open") => "开",
        (Language::Zh, "closed") => "关",
        (Language::Zh, "moving") => "动作中",
        (Language::Zh, "unknown") => "未知",
        (Language::Zh, "idle") => "空闲",
        (Language::Zh, "charging") => "充电中",
        (Language::Zh, "full") => "已充满",
        (_, other) => other,
    }
}

/// A length of time in its two largest units.
pub(super) fn duration(language: Language, milliseconds: u64) -> String {
    const UNITS: [(u64, &str, &str); 4] = [
        (86_400, "天", "d"),
        (3_600, "小时", "h"),
        (60, "分", "min"),
        (1, "秒", "s"),
    ];
    let mut rest = milliseconds / 1_000;
    let first = UNITS.iter().position(|(size, ..)| rest >= *size).unwrap_or(3);
    let mut parts = Vec::new();
    for (size, zh, en) in UNITS.iter().skip(first).take(2) {
        let count = rest / size;
        rest %= size;
        if count > 0 || parts.is_empty() {
            parts.push(format!("{count} {}", language.of(zh, en)));
        }
    }
    parts.join(" ")
}

/// The time of day in `zone`, with the day when it is not that of `now`.
pub(super) fn when(language: Language, at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let local = |at: Timestamp| {
        jiff::Timestamp::from_millisecond(at.0)
            .ok()
            .map(|at| zone.to_datetime(at))
    };
    let Some(local_at) = local(at) else {
        return at.to_rfc3339();
    };
    let time = local_at.strftime("%H:%M:%S");
    if local(now).is_some_and(|now| now.date() == local_at.date()) {
        return time.to_string();
    }
    match language {
        Language::Zh => format!("{}月{}日 {time}", local_at.month(), local_at.day()),
        Language::En => format!("{} {time}", local_at.strftime("%-d %b")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schedule::time_zone;

    #[test]
    fn lengths_of_time_have_two_units_at_most() {
        for (milliseconds, zh, en) in [
            (999, "0 秒", "0 s"),
            (59_999, "59 秒", "59 s"),
            (60_000, "1 分", "1 min"),
            (200_000, "3 分 20 秒", "3 min 20 s"),
            (7_500_000, "2 小时 5 分", "2 h 5 min"),
            (3 * 86_400_000 + 4 * 3_600_000 + 1, "3 天 4 小时", "3 d 4 h"),
        ] {
            assert_eq!(duration(Language::Zh, milliseconds), zh);
            assert_eq!(duration(Language::En, milliseconds), en);
        }
    }

    #[test]
    fn the_day_stands_there_when_it_is_another() {
        let zone = time_zone("Asia/Shanghai").unwrap();
        // 2026-01-01 00:00:05 in Shanghai.
        let at = Timestamp(1_767_196_805_000);
        let hour = |hours: i64| Timestamp(at.0 + hours * 3_600_000);
        assert_eq!(when(Language::Zh, at, hour(23), &zone), "00:00:05");
        assert_eq!(when(Language::Zh, at, hour(24), &zone), "1月1日 00:00:05");
        assert_eq!(when(Language::En, at, hour(-1), &zone), "1 Jan 00:00:05");
        assert_eq!(
            when(Language::Zh, Timestamp(i64::MAX), at, &zone),
            i64::MAX.to_string()
        );
    }
}
