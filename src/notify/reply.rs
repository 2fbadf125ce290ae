//! What an upstream system answers: who acknowledges what it was told of. Reads the answer, and hands the act to the gateway as
//! the API does; it decides nothing about alarms, and whatever is wrong with an answer, the delivery stays good.

use std::time::Duration;

use prometheus::IntCounter;
use reqwest::Response;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::domain::alarm::Operator;
use crate::domain::journal::{OperatorAction, OperatorInput};
use crate::handoff::{OperatorAct, OperatorRequest};
use crate::link::Link;
use crate::metrics::Metrics;

/// The longest answer that is read, in bytes.
const LIMIT: usize = 16 * 1024;

/// How long the rest of an answer is waited for once its status is known.
const WAIT: Duration = Duration::from_secs(5);

/// How long the gateway may take to commit what was asked of it.
const ACT_WAIT: Duration = Duration::from_secs(5);

/// The longest name, in bytes.
const NAME: usize = 128;

/// The longest remark, in bytes.
const NOTE: usize = 1_024;

/// The ear for one target's answers.
#[derive(Debug)]
pub(super) struct Replies {
    target: String,
    operators: mpsc::Sender<OperatorRequest>,
    acknowledged: IntCounter,
    refused: IntCounter,
    malformed: IntCounter,
}

/// Who acknowledges, and what they say of it.
#[derive(Debug, PartialEq, Eq)]
struct Acknowledgement {
    by: String,
    note: Option<String>,
}

impl Replies {
    /// For the answers of `target`; acts go to `operators`.
    pub(super) fn new(target: &str, operators: mpsc::Sender<OperatorRequest>, metrics: &Metrics) -> Replies {
        let counter = |result| metrics.replies(target, result);
        Replies {
            target: target.to_owned(),
            operators,
            acknowledged: counter("acknowledged"),
            refused: counter("refused"),
            malformed: counter("malformed"),
        }
    }

    /// Reads `answer` to a notice that asks for `link`, and does what it says.
    pub(super) async fn hear(&self, link: Link, answer: Response) {
        let read = match tokio::time::timeout(WAIT, read(answer)).await {
            Ok(read) => read,
            Err(_) => Err("it did not end in time"),
        };
        match read.and_then(|body| said(&body)) {
            Ok(None) => {}
            Ok(Some(said)) => self.acknowledge(link, said).await,
            Err(problem) => {
                self.malformed.inc();
                tracing::warn!(
                    target_name = %self.target, alarm = %link.alarm, problem,
                    "a target's answer cannot be read; the message is delivered, and nobody has acknowledged by it"
                );
            }
        }
    }

    async fn acknowledge(&self, link: Link, said: Acknowledgement) {
        let (answer, answered) = oneshot::channel();
        let operator = Operator {
            by: format!("{}: {}", self.target, said.by),
            note: Some(
                said.note
                    .unwrap_or_else(|| format!("in its answer to notice {}", link.notice)),
            ),
        };
        let input = OperatorInput {
            alarm: link.alarm,
            action: OperatorAction::AcknowledgeRaise(link.raised_at),
            operator,
        };
        let request = OperatorRequest {
            act: OperatorAct::Alarm(input),
            answer,
        };
        let exchange = async {
            self.operators.send(request).await.ok()?;
            answered.await.ok()
        };
        let why = match tokio::time::timeout(ACT_WAIT, exchange).await {
            Ok(Some(Ok(_))) => {
                self.acknowledged.inc();
                return;
            }
            Ok(Some(Err(refusal))) => refusal.to_string(),
            Ok(None) => "the gateway is stopping".to_owned(),
            Err(_) => "the gateway has not answered in time; it may still do it".to_owned(),
        };
        self.refused.inc();
        tracing::warn!(
            target_name = %self.target, alarm = %link.alarm, why,
            "the acknowledgement in a target's answer was not taken"
        );
    }
}

async fn read(mut answer: Response) -> Result<Vec<u8>, &'static str> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|_| "it broke off")? {
        if body.len() + chunk.len() > LIMIT {
            return Err("it is longer than 16 KiB");
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// What an answer says. Most receivers answer with nothing or `ok`: only what begins like a JSON object is looked into.
fn said(body: &[u8]) -> Result<Option<Acknowledgement>, &'static str> {
    if !body.trim_ascii_start().starts_with(b"{") {
        return Ok(None);
    }
    let body: Value = serde_json::from_slice(body).map_err(|_| "it is not JSON")?;
    let said = match body.get("acknowledge") {
        None | Some(Value::Null | Value::Bool(false)) => return Ok(None),
        Some(said) => said,
    };
    let by = said.get("by").and_then(Value::as_str).map_or("", str::trim);
    if by.is_empty() || by.len() > NAME || by.chars().any(char::is_control) {
        return Err("acknowledge.by must be a name of 1 to 128 bytes without control characters");
    }
    let note = match said.get("note") {
        None | Some(Value::Null) => None,
        Some(Value::String(note)) if note.len() <= NOTE && !note.chars().any(char::is_control) => {
            Some(note.clone()).filter(|note| !note.trim().is_empty())
        }
        Some(_) => {
            return Err("acknowledge.note must be a text of at most 1024 bytes without control characters");
        }
    };
    let by = by.to_owned();
    Ok(Some(Acknowledgement { by, note }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_who_acknowledges() {
        let by = |by: &str, note: Option<&str>| {
            Ok(Some(Acknowledgement {
                by: by.to_owned(),
                note: note.map(str::to_owned),
            }))
        };
        for (body, expected) in [
            (
                r#"{"acknowledge":{"by":"dispatcher-7","note":"车已派出"}}"#,
                by("dispatcher-7", Some("车已派出")),
            ),
            (
                r#" {"ok":true,"acknowledge":{"by":" 调度 ","more":1}}"#,
                by("调度", None),
            ),
            (r#"{"acknowledge":{"by":"a","note":null}}"#, by("a", None)),
            (r#"{"acknowledge":{"by":"a","note":" "}}"#, by("a", None)),
            ("", Ok(None)),
            ("ok", Ok(None)),
            ("<html>{</html>", Ok(None)),
            ("[]", Ok(None)),
            (r#"{"errcode":0}"#, Ok(None)),
            (r#"{"acknowledge":false}"#, Ok(None)),
            (r#"{"acknowledge":null}"#, Ok(None)),
        ] {
            assert_eq!(said(body.as_bytes()), expected, "{body}");
        }
        let (long, longer) = ("a".repeat(129), "a".repeat(1_025));
        for body in [
            r#"{"acknowledge":{"by":"#,
            r#"{"acknowledge":true}"#,
            r#"{"acknowledge":"wang"}"#,
            r#"{"acknowledge":{}}"#,
            r#"{"acknowledge":{"by":" "}}"#,
            r#"{"acknowledge":{"by":7}}"#,
            r#"{"acknowledge":{"by":"a\nb"}}"#,
            r#"{"acknowledge":{"by":"a","note":7}}"#,
            &format!(r#"{{"acknowledge":{{"by":"{long}"}}}}"#),
            &format!(r#"{{"acknowledge":{{"by":"a","note":"{longer}"}}}}"#),
        ] {
            assert!(said(body.as_bytes()).is_err(), "{body}");
        }
    }
}
