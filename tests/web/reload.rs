//! `POST /-/reload`: what is answered when it is done, when it is refused, and when it takes its time.

use std::path::Path;
use std::time::Duration;

use ninewatch::config::{self, Auth, Secret};
use ninewatch::reload::{ReloadError, Reloaded};
use ninewatch::web::Limits;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::outward::within;
use super::site::{Answer, Site};

fn now(summary: &str, ended: usize) -> Reloaded {
    let summary = summary.to_owned();
    Reloaded { summary, ended }
}

/// What a client gets when the reload ends so.
async fn reloaded(site: &mut Site, outcome: Result<Reloaded, ReloadError>) -> Answer {
    let address = site.address;
    let asked = super::site::ask(address, "POST", "/-/reload", "", "");
    let reload = async {
        let request = site.reloads.recv().await.unwrap();
        request.answer.send(outcome).unwrap();
    };
    let (answer, ()) = tokio::join!(asked, reload);
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_answers_with_what_is_in_force() {
    let mut site = Site::open().await;
    let answer = reloaded(&mut site, Ok(now("1 kind, 2 rules", 3))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({ "in_force": "1 kind, 2 rules", "alarms_ended": 3 })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn findings_are_answered_one_by_one_with_their_places() {
    let mut site = Site::open().await;
    let text = "[gateway]\nid = 'g'\nmax_device = 3\n[mqtt]\nurl = 'ftp://x'\n[http]\nauth = 'none'\n";
    let findings = config::load_str("ninewatch.toml", text, Path::new("")).unwrap_err();
    let answer = reloaded(&mut site, Err(ReloadError::Findings(findings))).await;
    let detail = answer.problem(422, "bad-configuration");
    assert_eq!(detail, "nothing was changed: 2 findings");
    let found = answer.json()["findings"].clone();
    let place = |finding: &Value| {
        let part = |name| finding[name].clone();
        (part("file"), part("line"), part("column"))
    };
    assert_eq!(place(&found[0]), (json!("ninewatch.toml"), json!(3), json!(1)));
    assert_eq!(found[0]["message"], "unknown key `max_device` in [gateway]");
    assert_eq!(found[0]["suggestion"], "did you mean `max_devices`?");
    assert_eq!(place(&found[1]), (json!("ninewatch.toml"), json!(5), json!(7)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_reloaded_says_why() {
    let mut site = Site::open().await;
    let answer = reloaded(&mut site, Err(ReloadError::NoFile)).await;
    assert!(answer.problem(409, "no-file").contains("configuration file"));
    let unusable = ReloadError::Unusable("the profiles do not fit".to_owned());
    let answer = reloaded(&mut site, Err(unusable)).await;
    assert!(answer.problem(422, "bad-configuration").contains("do not fit"));
    let answer = reloaded(&mut site, Err(ReloadError::Stopping)).await;
    answer.problem(503, "unavailable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_takes_the_same_token_as_every_act() {
    let auth = Auth::Token(Secret::new("s3cret".to_owned()));
    let mut site = Site::open_with(auth, Limits::default()).await;
    site.post("/-/reload", "").await.problem(401, "unauthorized");
    let token = "authorization: Bearer s3cret\r\n";
    let foreign = format!("{token}sec-fetch-site: cross-site\r\n");
    let answer = site.ask("POST", "/-/reload", &foreign, "").await;
    answer.problem(403, "cross-site");
    assert!(site.reloads.try_recv().is_err(), "it was asked for");
    let address = site.address;
    let asked = super::site::ask(address, "POST", "/-/reload", token, "");
    let reload = async {
        let request = site.reloads.recv().await.unwrap();
        request.answer.send(Ok(now("", 0))).unwrap();
    };
    let (answer, ()) = tokio::join!(asked, reload);
    assert_eq!(answer.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_takes_long_goes_on_without_its_client() {
    let limits = Limits {
        reload_wait: Duration::from_millis(50),
        ..Limits::default()
    };
    let mut site = Site::open_with(Auth::None, limits).await;
    let answer = site.post("/-/reload", "").await;
    assert!(answer.problem(503, "unavailable").contains("goes on"));
    let request = site.reloads.recv().await.unwrap();
    assert!(request.answer.send(Ok(now("", 0))).is_err(), "nobody waits");

    let mut gone = TcpStream::connect(site.address).await.unwrap();
    gone.write_all(b"POST /-/reload HTTP/1.1\r\nhost: test\r\n\r\n")
        .await
        .unwrap();
    let request = within("the request", site.reloads.recv()).await;
    drop(gone);
    assert!(request.is_some(), "it stands whatever becomes of its client");
}
