//! Feishu's and Lark's custom bot: a rich post, each line a text node of its own, signed in the body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::call::{Call, Notation};
use super::{Letter, Post, Robot, hmac, write};
use crate::config::Service;
use crate::words::Style;

/// The most bytes of the text: with a node around each line a body stays below Feishu's 20 KB.
const TEXT: usize = 10_000;

/// The most bytes of the nodes of those who are called.
const CALLED: usize = 2_500;

/// The message and where it goes.
pub(super) fn post(robot: &Robot, letter: &Letter<'_>) -> Post {
    let node = |id: &str| json!({"tag": "at", "user_id": id});
    let call = Call::of(
        &letter.people,
        &Notation {
            service: Service::Feishu,
            style: Style::Feishu,
            room: CALLED,
            each: node("").to_string().len(),
        },
    );
    let written = write(&robot.phrases(letter.language).words, letter, "", TEXT);
    let mut lines: Vec<Value> = written
        .text
        .lines()
        .map(|line| json!([{"tag": "text", "text": line}]))
        .collect();
    if let Some(link) = &written.link {
        lines.push(json!([{"tag": "a", "text": written.link_label, "href": link}]));
    }
    let mut called: Vec<Value> = call.ids.iter().map(|id| node(id)).collect();
    let names = call.unreached(letter.language);
    if !names.is_empty() {
        called.push(json!({"tag": "text", "text": names}));
    }
    if letter.everybody {
        called.push(node("all"));
    }
    if !called.is_empty() {
        lines.push(called.into());
    }
    let title = format!("{} {}", written.sign, written.title);
    let mut body = json!({
        "msg_type": "post",
        "content": {"post": {"zh_cn": {"title": title, "content": lines}}},
    });
    if let (Some(secret), Some(members)) = (&robot.secret, body.as_object_mut()) {
        let seconds = letter.at.0.div_euclid(1_000).to_string();
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
