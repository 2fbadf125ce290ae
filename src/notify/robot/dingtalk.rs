//! DingTalk's custom robot: markdown, signed in the address.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{Post, Robot, hmac, write};
use crate::domain::time::Timestamp;

/// The most bytes of the text: with its title and JSON around it a body stays below DingTalk's 20 000.
const TEXT: usize = 16_000;

/// The message and where it goes.
pub(super) fn post(robot: &Robot, bodies: &[&str], at: Timestamp, everybody: bool) -> Post {
    let written = write(&robot.words, bodies, at, TEXT);
    let body = json!({
        "msgtype": "markdown",
        "markdown": {"title": written.title, "text": written.text},
        "at": {"isAtAll": everybody},
    });
    let mut url = robot.url.clone();
    if let Some(secret) = &robot.secret {
        let milliseconds = at.0.to_string();
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
