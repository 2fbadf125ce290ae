//! What the demo says when it starts and when it ends. Pure text.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::message::{Paint, padded};
use super::sink::Tally;
use crate::domain::profile::Reject;
use crate::domain::rule::Class;
use crate::metrics::Metrics;
use crate::simulate::town::Town;

/// Columns of a line's name.
const NAMES: usize = 24;

/// Where the demo can be reached.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// API and `/metrics`.
    pub http: SocketAddr,
    /// The embedded broker.
    pub mqtt: SocketAddr,
}

/// What the viewer reads first: what this is, where it is, what to type.
pub fn welcome(town: &Town, addresses: &Addresses, plot: Plot<'_>, paint: Paint) -> Vec<String> {
    let Addresses { http, mqtt } = addresses;
    let entry = |name: &str, text: String| format!("  {}{text}", padded(name, NAMES));
    let command = |name: &str, text: String| entry(name, paint.with("36", &text));
    let mut lines = vec![
        format!(
            "{} {} venues, {} devices.",
            paint.bold("ninewatch demo"),
            town.venues.len(),
            town.devices.len(),
        ),
        "The devices are simulated; the MQTT broker, rules, store and webhooks are real.".to_owned(),
        format!(
            "{} {}个场所、{}台设备。",
            paint.bold("ninewatch 演示"),
            town.venues.len(),
            town.devices.len(),
        ),
        "设备是模拟的；MQTT、规则、存储、消息推送都是真的。".to_owned(),
        String::new(),
        entry("指标 metrics", format!("http://{http}/metrics")),
        entry("接口 API", format!("http://{http}/api/v1/alarms?state=active")),
        entry("MQTT", mqtt.to_string()),
        String::new(),
        command(
            "看报警 list alarms",
            format!("curl 'http://{http}/api/v1/alarms?state=active'"),
        ),
        command(
            "确认 acknowledge one",
            format!("curl -X POST http://{http}/api/v1/alarms/ALARM_ID/acknowledge"),
        ),
        command(
            "自己造一条 make one",
            format!(
                "mosquitto_pub -p {} -q 1 -t ninewatch/v001/gas_detector/g1/telemetry -m '{{\"lel\":53.2}}'",
                mqtt.port()
            ),
        ),
        String::new(),
    ];
    lines.extend(plot.lines());
    lines
}

/// What will happen.
#[derive(Debug, Clone, Copy)]
pub struct Plot<'a> {
    /// What comes by itself.
    pub story: bool,
    /// The file that says more.
    pub script: Option<&'a Path>,
}

impl Plot<'_> {
    fn lines(self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(script) = self.script {
            lines.push(format!("  What happens 剧本: {}", script.display()));
        }
        let told = if self.story {
            [
                "  Gas leaks within ten seconds, then about every half minute. A closed valve",
                "  ends a leak; else people air the room. Then lightning strikes two venues: the",
                "  group reads of their faults in one message. What nobody acknowledges is told",
                "  again, and to a second officer. Below is what they get. Ctrl-C ends the demo.",
                "  十秒内第一次燃气泄漏，此后约每半分钟一次；阀门关闭则泄漏停止，否则由人员通风。",
                "  随后两个场所遭雷击：值班群收到一条故障汇总。无人确认的报警会再次通知，",
                "  并升级到第二名值班员。以下是他们收到的消息。",
            ]
            .as_slice()
        } else {
            &["  Below is what a duty officer gets 以下是值班员收到的消息。 Ctrl-C ends the demo."]
        };
        lines.extend(told.iter().map(|&line| line.to_owned()));
        lines
    }
}

/// How a demo went.
#[derive(Debug)]
pub struct Ending<'a> {
    /// How long it ran.
    pub lasted: Duration,
    /// The gateway's metrics.
    pub metrics: &'a Metrics,
    /// What the sink got.
    pub tally: &'a Tally,
    /// The sink's name as a target.
    pub target: &'a str,
    /// The data folder, if it stays.
    pub kept: Option<&'a Path>,
}

/// What the viewer reads last: the counts.
pub fn farewell(ending: &Ending<'_>) -> Vec<String> {
    let Ending { metrics, tally, .. } = ending;
    let step = |step: &str| -> u64 {
        let classes = Class::ALL.iter();
        classes
            .map(|class| metrics.alarm_events(step, *class).get())
            .sum()
    };
    let reasons: Vec<String> = Reject::REASONS
        .iter()
        .map(|reason| (reason, metrics.dead_letters_of(reason)))
        .filter(|(_, count)| *count > 0)
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    let seconds = ending.lasted.as_secs();
    let entry = |name: &str, text: String| format!("  {}{text}", padded(name, NAMES));
    vec![
        String::new(),
        format!(
            "演示结束 The demo ran {} min {:02} s.",
            seconds / 60,
            seconds % 60
        ),
        entry(
            "报文 messages",
            format!(
                "{} received, {} acknowledged to the broker after their commit",
                metrics.messages_received.get(),
                metrics.messages_acknowledged.get()
            ),
        ),
        entry(
            "报警 alarms",
            format!(
                "{} raised, {} acknowledged, {} recovered, {} cleared",
                step("raised"),
                step("acknowledged"),
                step("recovered"),
                step("cleared")
            ),
        ),
        entry(
            "消息 notices",
            format!(
                "{} delivered, {} repeated, {} refused, {} pending",
                tally.delivered(),
                tally.repeated(),
                tally.refused(),
                metrics.notices_pending(ending.target).get()
            ),
        ),
        entry(
            "死信 dead letters",
            format!("{} ({})", metrics.dead_letters_total(), reasons.join(", ")),
        ),
        entry(
            "数据 store",
            ending.kept.map_or_else(
                || "in a temporary folder, removed".to_owned(),
                |kept| format!("kept in {}", kept.display()),
            ),
        ),
    ]
}
