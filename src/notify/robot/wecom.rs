//! WeCom's group robot: markdown; `text`, which alone calls everybody, for what is critical. The key in the address is all the
//! right there is: nothing is signed.

use serde_json::json;

use super::{Post, Robot, write};
use crate::domain::time::Timestamp;

/// The most bytes of `text.content`.
const TEXT: usize = 2_048;

/// The most bytes of `markdown.content`.
const MARKDOWN: usize = 4_096;

/// The message and where it goes.
pub(super) fn post(robot: &Robot, bodies: &[&str], at: Timestamp, everybody: bool) -> Post {
    let body = if everybody {
        let written = write(&robot.plain, bodies, at, TEXT);
        json!({"msgtype": "text", "text": {"content": written.text, "mentioned_list": ["@all"]}})
    } else {
        let written = write(&robot.words, bodies, at, MARKDOWN);
        json!({"msgtype": "markdown", "markdown": {"content": written.text}})
    };
    let url = robot.url.clone();
    Post { url, body }
}
