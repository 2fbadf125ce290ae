//! The group robot of the demo, as WeCom's answers, and what its readers see. Never asks the gateway anything.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::message::Paint;
use super::sink::{Arrived, Received};

/// WeCom's own limit, in bytes.
const LONGEST: usize = 4_096;

/// The part of WeCom's message that is looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Posted {
    markdown: Markdown,
}

#[derive(Debug, Deserialize)]
struct Markdown {
    content: String,
}

/// `POST /group`: takes a message, and says so in the body, as WeCom does.
pub(super) async fn receive(
    State(received): State<Received>,
    Json(posted): Json<Posted>,
) -> Result<Json<Value>, StatusCode> {
    let text = posted.markdown.content;
    if text.len() > LONGEST {
        return Ok(Json(
            json!({ "errcode": 40_058, "errmsg": "markdown.content exceed max length 4096" }),
        ));
    }
    let arrived = received.arrived.send(Arrived::Group(text)).await;
    arrived.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(Json(json!({ "errcode": 0, "errmsg": "ok" })))
}

/// A message as the group reads it, in a frame.
pub fn lines(text: &str, paint: Paint) -> Vec<String> {
    let heading = paint.with("30;44", " 值班群 the station's group ");
    let mut lines = vec![String::new(), heading];
    let told = text
        .lines()
        .map(|line| format!("  {} {}", paint.dim("│"), without_markup(line)));
    lines.extend(told);
    lines
}

/// The line without what WeCom understands and a terminal does not.
fn without_markup(line: &str) -> String {
    let mut plain = String::new();
    let mut rest = line.trim_start_matches(['#', '>', ' ']);
    while let Some((before, tag)) = rest.split_once('<') {
        plain.push_str(before);
        rest = match tag.split_once('>') {
            Some((_, after)) => after,
            None => tag,
        };
    }
    plain.push_str(rest);
    plain.replace("**", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_shown_without_its_markup() {
        let text = "## <font color=\"warning\">【故障 2 条】</font>\n> **老街面馆**：阀门故障";
        let lines = lines(text, Paint(false));
        assert_eq!(lines[2], "  │ 【故障 2 条】");
        assert_eq!(lines[3], "  │ 老街面馆：阀门故障");
    }
}
