//! What a robot's answer means. Status and code decide together: errors come with HTTP 200 too. Pure.

use serde_json::Value;

use crate::config::Service;
use crate::domain::time::{Millis, Timestamp};
use crate::notify::parcel::LONGEST_SILENCE;
use crate::notify::target::{SendError, Taken};

/// After WeCom's 45009, as those who met it waited.
const WECOM_WAIT: Millis = Millis(65_000);

/// DingTalk's own punishment.
const DINGTALK_WAIT: Millis = Millis(600_000);

/// After Feishu's limits, and after HTTP 429 that does not say how long.
const WAIT: Millis = Millis(60_000);

/// How far DingTalk and Feishu let a clock be off, in milliseconds.
const CLOCK_TOLERANCE_MS: u64 = 3_600_000;

/// An answer as it came.
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    pub(super) body: &'a [u8],
    /// The headers; empty where there are none.
    pub(super) date: &'a str,
    pub(super) retry_after: &'a str,
}

/// Whether the message that went out at `at` was taken, and if not, why.
pub(super) fn verdict(service: Service, answer: &Answer<'_>, at: Timestamp) -> Result<Taken, SendError> {
    let body: Value = serde_json::from_slice(answer.body).unwrap_or_default();
    let Some(code) = code(service, &body) else {
        return Err(without_code(service, answer, &body));
    };
    let good = (200..300).contains(&answer.status);
    let clock = || is_clock_off(answer, &body, at);
    Err(match (service, code) {
        (_, 0) if good => return Ok(Taken),
        (Service::Wecom | Service::Dingtalk, -1) => SendError::Busy,
        (Service::Wecom, 45_009) => SendError::Throttled(WECOM_WAIT),
        (Service::Dingtalk, 130_101) => SendError::Throttled(DINGTALK_WAIT),
        // The month's quota is used up.
        (Service::Dingtalk, 90_030) => SendError::Throttled(LONGEST_SILENCE),
        (Service::Feishu, 9_499 | 11_232) => SendError::Throttled(WAIT),
        (Service::Dingtalk, 310_000) | (Service::Feishu, 19_021) if clock() => SendError::Clock,
        (Service::Wecom, 93_000)
        | (Service::Dingtalk, 300_001 | 310_000)
        | (Service::Feishu, 19_001 | 19_021 | 19_022 | 19_024) => SendError::Misconfigured(code),
        _ if answer.status == 429 || answer.status >= 500 => without_code(service, answer, &body),
        _ => SendError::Refused(code),
    })
}

fn without_code(service: Service, answer: &Answer<'_>, body: &Value) -> SendError {
    match (service, answer.status) {
        (_, 429) => SendError::Throttled(retry_after(answer.retry_after)),
        (Service::Dingtalk, _) if body.get("punish").is_some() => SendError::Throttled(DINGTALK_WAIT),
        (_, 200..300) => SendError::NoCode,
        (_, status) => SendError::Status(status),
    }
}

/// The code, a number or a text.
fn code(service: Service, body: &Value) -> Option<i64> {
    let members: &[&str] = match service {
        Service::Wecom | Service::Dingtalk => &["errcode"],
        Service::Feishu => &["code", "StatusCode"],
    };
    let value = members.iter().find_map(|member| body.get(member))?;
    value
        .as_i64()
        .or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()))
}

fn retry_after(header: &str) -> Millis {
    let seconds: Option<u64> = header.trim().parse().ok();
    let wait = seconds.map_or(WAIT, |seconds| Millis(seconds.saturating_mul(1_000)));
    wait.clamp(Millis(1_000), LONGEST_SILENCE)
}

/// Whether a signature was refused for this machine's clock: the service says so, or its own clock is far from ours.
fn is_clock_off(answer: &Answer<'_>, body: &Value, at: Timestamp) -> bool {
    let told = ["errmsg", "msg"]
        .iter()
        .filter_map(|member| body.get(member).and_then(Value::as_str))
        .any(|text| text.contains("invalid timestamp"));
    let theirs = jiff::fmt::rfc2822::parse(answer.date);
    let off =
        theirs.is_ok_and(|theirs| theirs.timestamp().as_millisecond().abs_diff(at.0) > CLOCK_TOLERANCE_MS);
    told || off
}
