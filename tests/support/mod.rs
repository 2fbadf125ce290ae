//! What the tests with real servers share: the gateway, the broker, a webhook sink, a publisher, waiting.

#![expect(dead_code, reason = "each test binary uses its own part of it")]

pub(crate) mod alertmanager;
pub(crate) mod eventually;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod ledger;
pub(crate) mod mosquitto;
pub(crate) mod postgres;
pub(crate) mod prometheus;
pub(crate) mod proxy;
pub(crate) mod publisher;
pub(crate) mod reference;
pub(crate) mod replica;
pub(crate) mod sink;
pub(crate) mod strace;
pub(crate) mod subscriber;
pub(crate) mod tmpfs;

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

pub(crate) use self::eventually::eventually;

/// Long enough for a loaded two-core machine; nothing waits this long when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A loopback port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}

/// A file or folder of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs an installed program to its end. A missing one is a failure that names the package, never a skip.
pub(crate) fn run_installed(program: &str, package: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| {
            panic!("cannot run {program} ({error}); install it: apt-get install {package}")
        })
}

/// Standard output and error of a finished program, for messages.
pub(crate) fn said(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    format!("{}\n{out}{err}", output.status)
}
