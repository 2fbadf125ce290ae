//! A real mail server (aiosmtpd) for the tests: what it got, as another language's parser reads it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::Value;
use tokio::sync::mpsc;

/// How long a line is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Smtp {
    pub(crate) port: u16,
    lines: mpsc::Receiver<Value>,
    commands: ChildStdin,
    child: Child,
}

impl Smtp {
    /// A server that speaks `tls` (`none`, `starttls`, `smtps`), its certificate, for localhost, in `folder`.
    pub(crate) async fn start(folder: &Path, tls: &str) -> Smtp {
        Smtp::start_at(folder, tls, 0).await
    }

    /// The same at this port; 0: at a free one. A certificate that is in `folder` already stays.
    pub(crate) async fn start_at(folder: &Path, tls: &str, port: u16) -> Smtp {
        let (certificate, key) = (folder.join("smtp.pem"), folder.join("smtp.key"));
        if !certificate.exists() {
            let CertifiedKey { cert, signing_key } =
                generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
            std::fs::write(&certificate, cert.pem()).unwrap();
            std::fs::write(&key, signing_key.serialize_pem()).unwrap();
        }
        let mut child = Command::new("/usr/bin/python3")
            .arg("tests/notify/smtp.py")
            .args(["--port", &port.to_string(), "--tls", tls, "--certificate"])
            .arg(certificate)
            .arg("--key")
            .arg(key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{error}: python3-aiosmtpd is needed: tests/install.sh"));
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel(10_000);
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap();
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        let mut smtp = Smtp {
            port: 0,
            lines,
            commands: child.stdin.take().unwrap(),
            child,
        };
        let first = smtp.line().await;
        smtp.port = first["port"]
            .as_u64()
            .and_then(|port| u16::try_from(port).ok())
            .unwrap();
        smtp
    }

    async fn line(&mut self) -> Value {
        tokio::time::timeout(PATIENCE, self.lines.recv())
            .await
            .expect("the mail server says nothing (python3-aiosmtpd: tests/install.sh)")
            .expect("the mail server ended; its errors are above")
    }

    /// The next line with this member.
    pub(crate) async fn next(&mut self, member: &str) -> Value {
        loop {
            let line = self.line().await;
            if line.get(member).is_some() {
                return line;
            }
        }
    }

    /// The next letter, however long it takes; `None`: the server is gone.
    pub(crate) async fn letter(&mut self) -> Option<Value> {
        loop {
            let line = self.lines.recv().await?;
            if line.get("message").is_some() {
                return Some(line);
            }
        }
    }

    /// Nothing passes this gate any more: before the letters of a name, or `hello` before each conversation. Whoever waits
    /// there is told as `waits`.
    pub(crate) async fn shut(&mut self, gate: &str) {
        writeln!(self.commands, "shut {gate}").unwrap();
        assert_eq!(self.next("shut").await["shut"], gate);
    }

    /// What waits at this gate passes, and so does all that follows.
    pub(crate) fn open(&mut self, gate: &str) {
        writeln!(self.commands, "open {gate}").unwrap();
    }

    /// What came and was not asked for yet.
    pub(crate) fn rest(&mut self) -> Vec<Value> {
        std::iter::from_fn(|| self.lines.try_recv().ok()).collect()
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
