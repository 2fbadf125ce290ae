//! Feishu's and Lark's custom bot: a rich post, each line a text node of its own, signed in the body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Post, Robot, hmac, write};
use crate::domain::time::Timestamp;

/// The most bytes of the text: with a node around each line a body stays below Feishu's 20 KB.
const TEXT: usize = 10_000;

/// The message and where it goes.
pub(super) fn post(robot: &Robot, bodies: &[&str], at: Timestamp, everybody: bool) -> Post {
    let written = write(&robot.words, bodies, at, TEXT);
    let mut lines: Vec<Value> = written
        .text
        .lines()
        .map(|line| json!([{"tag": "text", "text": line}]))
        .collect();
    if everybody {
        lines.push(json!([{"tag": "at", "user_id": "all"}]));
    }
    let title = format!("{} {}", written.sign, written.title);
    let mut body = json!({
        "msg_type": "post",
        "content": {"post": {"zh_cn": {"title": title, "content": lines}}},
    });
    if let (Some(secret), Some(members)) = (&robot.secret, body.as_object_mut()) {
        let seconds = at.0.div_euclid(1_000).to_string();
        let sign = signature(&seconds, secret.expose());
        members.insert("timestamp".to_owned(), seconds.into());
        members.insert("sign".to_owned(), sign.into());
    }
    let url = robot.url.clone();
    Post { url, body }
}

/// The signature of `timestamp` (seconds since 1970), in base64: what is signed is the key, and the message is empty.
pub(super) fn signature(timestamp: &str, secret: &str) -> String {
    let key = format!("{timestamp}\n{secret}");
    STANDARD.encode(hmac(key.as_bytes(), b""))
}
