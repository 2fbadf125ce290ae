//! WeCom's group robot: markdown; `text`, which alone calls everybody and people by their numbers. The key in the address
//! is all the right there is: nothing is signed.

use serde_json::json;

use super::call::{Call, Notation};
use super::{Letter, Post, Robot, members, write};
use crate::config::Service;
use crate::words::Style;

/// The most bytes of `text.content`.
const TEXT: usize = 2_048;

/// The most bytes of `markdown.content`.
const MARKDOWN: usize = 4_096;

/// The message and where it goes.
pub(super) fn post(robot: &Robot, letter: &Letter<'_>) -> Post {
    let phrases = robot.phrases(letter.language);
    let notation = |style, room| Notation {
        service: Service::Wecom,
        style,
        room,
        each: "<@> ".len(),
    };
    let call = Call::of(&letter.people, &notation(Style::Wecom, MARKDOWN / 4));
    let body = if letter.everybody || !call.mobiles.is_empty() {
        let call = Call::of(&letter.people, &notation(Style::Plain, TEXT / 4));
        let written = write(&phrases.plain, letter, &call.unreached(letter.language), TEXT);
        let everybody = letter.everybody.then_some("@all");
        let ids: Vec<&str> = call.ids.iter().copied().chain(everybody).collect();
        let text = members([
            ("content", json!(written.text)),
            ("mentioned_list", json!(ids)),
            ("mentioned_mobile_list", json!(call.mobiles)),
        ]);
        json!({"msgtype": "text", "text": text})
    } else {
        let mention = call.text(letter.language, |id| format!("<@{id}>"));
        let written = write(&phrases.words, letter, &mention, MARKDOWN);
        json!({"msgtype": "markdown", "markdown": {"content": written.text}})
    };
    let url = robot.url.clone();
    Post { url, body }
}
