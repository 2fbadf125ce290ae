//! `ninewatch demo` as a viewer sees it: an alarm, its acknowledgement over HTTP, a clean end.

#![cfg(test)]

mod support;

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use support::gateway::{BINARY, signal};
use support::{PATIENCE, eventually, http};

struct Demo {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Demo {
    /// Ends by itself after a minute at most, so that no read waits longer.
    fn start(temporary: &Path, arguments: &[&str]) -> Demo {
        let mut child = Command::new(BINARY)
            .args(["demo", "--venues", "3", "--listen", "127.0.0.1:0", "--for", "60s"])
            .args(arguments)
            .env("TMPDIR", temporary)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Demo { child, lines }
    }

    #[track_caller]
    fn line_with(&mut self, text: &str) -> String {
        let mut line = self.lines.by_ref().map(Result::unwrap);
        line.find(|line| line.contains(text))
            .unwrap_or_else(|| panic!("the demo ended without saying {text:?}"))
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alarm_comes_is_acknowledged_over_http_and_the_end_is_clean() {
    let temporary = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(temporary.path(), &[]);
    let api = demo.line_with("接口 API");
    let list = api.split_whitespace().last().unwrap().to_owned();
    let alarm = demo.line_with("ALARM critical");
    assert!(
        alarm.contains("Gas concentration high") && alarm.contains("%LEL"),
        "{alarm}"
    );

    let client = http::client();
    let alarms: serde_json::Value =
        serde_json::from_str(&client.get(&list).send().await.unwrap().text().await.unwrap()).unwrap();
    let high = alarms["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|alarm| alarm["rule"] == "gas-high")
        .expect("the alarm that was shown stands");
    let url = list.replace(
        "?state=active",
        &format!("/{}/acknowledge", high["id"].as_str().unwrap()),
    );
    let answer = client
        .post(url)
        .header("content-type", "application/json")
        .body(r#"{"by":"the viewer"}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let reload = list.replace("/api/v1/alarms?state=active", "/-/reload");
    let refused = http::post(&reload, &serde_json::json!({})).await;
    assert_eq!(refused.status, 409, "there is no file to read: {}", refused.text);
    let acknowledged = demo.line_with("ACKNOWLEDGED");
    assert!(acknowledged.ends_with("by the viewer"), "{acknowledged}");

    signal(demo.child.id(), "TERM");
    demo.line_with("The demo ran");
    let notices = demo.line_with("notices");
    assert!(notices.ends_with("0 repeated, 0 refused, 0 pending"), "{notices}");
    demo.line_with("temporary folder, removed");
    assert!(demo.child.wait().unwrap().success());
    assert_eq!(
        std::fs::read_dir(temporary.path()).unwrap().count(),
        0,
        "nothing stays behind"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_goes_away_ends_the_demo_without_a_failure() {
    let temporary = tempfile::tempdir().unwrap();
    let mut child = Command::new(BINARY)
        .args(["demo", "--venues", "3", "--listen", "127.0.0.1:0", "--for", "60s"])
        .env("TMPDIR", temporary.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let status = eventually("the demo ends", PATIENCE, async || child.try_wait().unwrap()).await;
    assert!(status.success(), "{status}");
    let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert_eq!(said, "");
    assert_eq!(
        std::fs::read_dir(temporary.path()).unwrap().count(),
        0,
        "nothing stays behind"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_takes_the_place_of_the_story_in_whatever_profiles_the_venues_speak() {
    let temporary = tempfile::tempdir().unwrap();
    let script = temporary.path().join("script.toml");
    let text = "[[incident]]\nat = \"500ms\"\nvenue = \"v002\"\ndevice = \"g1\"\nwhat = \"gas_leak\"\nrise = \"1s\"\n\n\
                [[speaks]]\nvenue = \"v002\"\nprofile = \"sparkplug-b\"\n";
    std::fs::write(&script, text).unwrap();
    let script = script.display().to_string();
    let mut demo = Demo::start(
        temporary.path(),
        &["--script", &script, "--profile", "zigbee2mqtt"],
    );
    demo.line_with(&script);
    // Nobody can command a Sparkplug valve: that the order failed may be told first.
    let alarm = demo.line_with("ALARM critical  Gas detected");
    assert!(alarm.contains("South Gate Hotpot"), "{alarm}");
    signal(demo.child.id(), "TERM");
    let dead = demo.line_with("dead letters");
    assert!(
        dead.ends_with("0 ()"),
        "nothing lies in a script that does not say so: {dead}"
    );
    demo.line_with("00:00  gas_leak    v002 g1");
}

/// Eight faults at once, a leak that the demo's officer takes, and one that nobody does.
const TROUBLE: &str = r#"
[[incident]]
at = "1s"
venue = "v003"
what = "fault"

[[incident]]
at = "1s"
venue = "v001"
device = "g1"
what = "gas_leak"
rise = "1s"
peak = 80.0

[[incident]]
at = "4s"
venue = "v002"
device = "g1"
what = "gas_leak"
rise = "1s"
peak = 80.0
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_acknowledges_goes_up_and_many_faults_are_one_message() {
    let temporary = tempfile::tempdir().unwrap();
    let script = temporary.path().join("trouble.toml");
    std::fs::write(&script, TROUBLE).unwrap();
    let mut demo = Demo::start(temporary.path(), &["--script", script.to_str().unwrap()]);
    let (mut digest, mut again, mut up) = (false, false, false);
    while !(digest && again && up) {
        let line = demo.line_with("");
        digest |= line.contains("等共 4 条");
        again |= line.contains("TOLD AGAIN");
        up |= line.contains("ESCALATED") && line.ends_with("level 2");
    }
    assert!(
        demo.line_with("delivered in")
            .ends_with("to 王磊 / Wang Lei, 李娜 / Li Na")
    );
}
