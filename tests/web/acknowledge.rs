//! The page behind the address in a message: looked at by anybody and anything, pressed once.

use ninewatch::config::{Auth, Secret};
use ninewatch::domain::alarm::{AlarmState, Operator};
use ninewatch::domain::engine::Refusal;
use ninewatch::domain::journal::{OperatorAction, OperatorInput};
use ninewatch::domain::time::Timestamp;
use ninewatch::handoff::{AlarmCommit, OperatorAct, Outcome};
use ninewatch::link::Link;
use ninewatch::web::Limits;

use super::outward::{id, step};
use super::site::{Answer, Site, ask};

/// When the alarm of these tests was raised, as its body says.
const RAISED_AT: Timestamp = Timestamp(1_767_225_600_000);

fn commit(state: AlarmState, title: &str) -> AlarmCommit {
    let mut commit = step(1, 1, state, &[]);
    commit.alarm = serde_json::json!({
        "id": id(1), "state": state, "priority": "critical", "title": {"zh": title, "en": "Gas high"},
        "venue": {"name": "示例餐馆", "address": "示例路 1 号"}, "device": {"name": "厨房"},
        "raised_at": "2026-01-01T00:00:00.000Z", "acknowledged_by": "王强", "acknowledged_at": "2026-01-01T00:01:00.000Z",
    })
    .to_string();
    commit
}

/// A site whose API wants a token, with one alarm that waits.
async fn site() -> Site {
    let auth = Auth::Token(Secret::new("the API's own".to_owned()));
    let site = Site::open_with(auth, Limits::default()).await;
    site.store
        .commit(vec![commit(AlarmState::ActiveUnacknowledged, "燃气<b>高报")])
        .await;
    site
}

/// The path for `officer`, of a notice of now.
fn path(site: &Site, officer: &str) -> String {
    let now = u128::from(ninewatch::clock::wall().0.unsigned_abs());
    let link = Link {
        alarm: id(1),
        notice: ninewatch::domain::id::Id::from_bits(now << 80),
        raised_at: RAISED_AT,
    };
    let address = site.store.links.address(link, officer);
    address.strip_prefix("http://gw.example").unwrap().to_owned()
}

/// Presses the button; the gateway commits `commits` and answers with `outcome`.
async fn press(
    site: &mut Site,
    (path, form): (&str, &str),
    commits: Vec<AlarmCommit>,
    outcome: Outcome,
) -> (Answer, OperatorInput) {
    let headers = format!(
        "content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n",
        form.len()
    );
    let (operators, store) = (&mut site.operators, &site.store);
    let gateway = async {
        let request = operators.recv().await.unwrap();
        let OperatorAct::Alarm(input) = request.act else {
            panic!("{:?}", request.act);
        };
        store.commit(commits).await;
        request.answer.send(outcome).unwrap();
        input
    };
    tokio::join!(ask(site.address, "POST", path, &headers, form), gateway)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_changes_nothing_and_the_button_acknowledges() {
    let mut site = site().await;
    let path = path(&site, "王强");
    let page = site.get(&path).await;
    assert_eq!(page.status, 200, "{page:?}");
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .contains("form-action 'self'")
    );
    assert!(
        page.body.contains("燃气&lt;b&gt;高报"),
        "names cannot write markup: {}",
        page.body
    );
    assert!(
        page.body.contains("确认收到") && !page.body.contains("<script"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("name=\"by\""), "it is known who presses");
    assert!(
        site.operators.try_recv().is_err(),
        "a GET asked the gateway for something"
    );
    let acknowledged = vec![commit(AlarmState::ActiveAcknowledged, "燃气高报")];
    let (answer, input) = press(&mut site, (&path, ""), acknowledged, Ok(None)).await;
    assert_eq!(
        (input.alarm, input.action),
        (id(1), OperatorAction::AcknowledgeRaise(RAISED_AT))
    );
    let Operator { by, note } = input.operator;
    assert_eq!(by, "王强");
    assert!(note.unwrap().contains("through the address in notice"));
    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("已由以下人员确认：王强"), "{}", answer.body);
    // It does nothing a second time.
    let again = site.ask("POST", &path, "content-length: 0\r\n", "").await;
    assert!(again.body.contains("已由以下人员确认"), "{}", again.body);
    assert!(site.operators.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_a_group_says_who_they_are() {
    let mut site = site().await;
    let path = path(&site, "");
    let english = site
        .ask("GET", &path, "accept-language: en-GB,en;q=0.9\r\n", "")
        .await;
    assert!(
        english.body.contains("Your name") && english.body.contains("Gas high"),
        "{}",
        english.body
    );
    let length = "content-type: application/x-www-form-urlencoded\r\ncontent-length: 6\r\n";
    site.ask("POST", &path, length, "by=%20")
        .await
        .problem(400, "bad-body");
    let (answer, input) = press(&mut site, (&path, "by=%E6%9D%8E"), Vec::new(), Ok(None)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(input.operator.by, "李");
    let (answer, _) = press(&mut site, (&path, "by=x"), Vec::new(), Err(Refusal::NoSuchAlarm)).await;
    assert!(answer.body.contains("该报警已结束"), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_of_before_does_nothing_for_what_was_raised_again() {
    let mut site = site().await;
    let path = path(&site, "wang");
    // It is raised again between the look and the press: the gateway says so.
    let (answer, _) = press(&mut site, (&path, ""), Vec::new(), Err(Refusal::RaisedAgain)).await;
    assert!(answer.body.contains("该报警又再次触发"), "{}", answer.body);
    let mut again = step(2, 1, AlarmState::ActiveUnacknowledged, &[]);
    again.alarm = commit(AlarmState::ActiveUnacknowledged, "燃气高报")
        .alarm
        .replace("2026-01-01T00:00:00.000Z", "2026-01-01T01:00:00.000Z");
    site.store.commit(vec![again]).await;
    for method in ["GET", "POST"] {
        let answer = site.ask(method, &path, "content-length: 0\r\n", "").await;
        assert_eq!(answer.status, 200, "{method}");
        assert!(
            answer.body.contains("该报警又再次触发") && !answer.body.contains("<button"),
            "{}",
            answer.body
        );
    }
    assert!(site.operators.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_an_old_and_another_ones_address_do_nothing() {
    let mut site = site().await;
    let good = path(&site, "wang");
    let other = good.replace("?o=wang", "?o=li");
    let old = Link {
        alarm: id(1),
        notice: id(1_000_001),
        raised_at: RAISED_AT,
    };
    let old = site
        .store
        .links
        .address(old, "wang")
        .replace("http://gw.example", "");
    for (path, status, said) in [
        (other.as_str(), 404, "此链接无效"),
        ("/a/AAAA", 404, "此链接无效"),
        (old.as_str(), 410, "已超过一周"),
    ] {
        for method in ["GET", "POST"] {
            let answer = site.ask(method, path, "content-length: 0\r\n", "").await;
            assert_eq!(answer.status, status, "{method} {path}");
            assert!(answer.body.contains(said), "{}", answer.body);
            assert!(!answer.body.contains("示例餐馆"), "it says nothing of the alarm");
        }
    }
    assert!(site.operators.try_recv().is_err());
}
