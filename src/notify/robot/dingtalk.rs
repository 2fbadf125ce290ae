//! DingTalk's custom robot: markdown, signed in the address.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::call::{Call, Notation};
use super::{Letter, Post, Robot, hmac, members, write};
use crate::config::Service;
use crate::words::Style;

/// The most bytes of the text: with its title and JSON around it a body stays below DingTalk's 20 000.
const TEXT: usize = 16_000;

/// The most bytes of those who are called, in the text; they stand beside it once more.
const CALLED: usize = 1_500;

/// The message and where it goes.
pub(super) fn post(robot: &Robot, letter: &Letter<'_>) -> Post {
    let call = Call::of(
        &letter.people,
        &Notation {
            service: Service::Dingtalk,
            style: Style::Dingtalk,
            room: CALLED,
            each: "@ ".len(),
        },
    );
    // Who is called must stand in the text too.
    let mention = call.text(letter.language, |handle| format!("@{handle}"));
    let written = write(&robot.phrases(letter.language).words, letter, &mention, TEXT);
    let called = members([
        ("isAtAll", json!(letter.everybody)),
        ("atUserIds", json!(call.ids)),
        ("atMobiles", json!(call.mobiles)),
    ]);
    let body = json!({
        "msgtype": "markdown",
        "markdown": {"title": written.title, "text": written.text},
        "at": called,
    });
    let mut url = robot.url.clone();
    if let Some(secret) = &robot.secret {
        let milliseconds = letter.at.0.to_string();
        let signature = signature(&milliseconds, secret.expose());
        url.query_pairs_mut()
            .append_pair("timestamp", &milliseconds)
            .append_pair("sign", &signature);
    }
    Post { url, body }
}

/// The signature of `timestamp` (milliseconds since 1970), in base64.
pub(super) fn signature(timestamp: &str, secret: &str) -> String {
    let signed = format!("{timestamp}\n{secret}");
    STANDARD.encode(hmac(secret.as_bytes(), signed.as_bytes()))
}
