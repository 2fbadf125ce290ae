//! Signatures by published vectors, verdicts by what the services answer, and bodies by their own grammar.

use serde_json::json;

use super::*;
use crate::config::TargetKind;
use crate::domain::id::Id;
use crate::store::PendingNotice;
use crate::words::Language;

const AT: Timestamp = Timestamp(1_599_360_473_000);

fn robot(service: Service, mention_all: bool) -> Robot {
    let robot = RobotSettings {
        service,
        mention_all,
        language: Language::Zh,
        template: None,
    };
    let secret = (service != Service::Wecom).then(|| Secret::new("SEC0123456789abcdef".to_owned()));
    let settings = TargetSettings {
        name: "group".to_owned(),
        kind: TargetKind::Robot(robot.clone()),
        url: Secret::new("http://127.0.0.1:1/robot?key=k".to_owned()),
        secret,
        timeout: Duration::from_secs(1),
        fall_over: Duration::from_secs(15),
    };
    Robot::new(&settings, &robot, &Arc::default()).unwrap()
}

fn parcel(count: usize, name: &str) -> Parcel {
    let notices = (0..count).map(|number| PendingNotice {
        row: 1,
        id: Id::from_bits(1),
        alarm: Id::from_bits(2),
        body: json!({
            "id": format!("E{number}"), "type": "alarm.raised", "at": "2020-09-06T02:47:53.000Z", "gateway": "g", "level": 1,
            "alarm": {
                "id": format!("A{number}"), "class": "alarm", "priority": "critical", "state": "active_unacknowledged",
                "title": {"zh": "燃气浓度高报"}, "venue": {"name": name}, "raised_at": "2020-09-06T02:47:53.000Z",
            },
        })
        .to_string(),
        created_at: AT,
        attempts: 0,
        due_at: AT,
        critical: true,
        urgent: true,
        people: Vec::new(),
    });
    Parcel::of(notices.collect()).unwrap()
}

/// Also what `printf … | openssl dgst -sha256 -hmac …` computes.
#[test]
fn signatures_are_those_of_the_services() {
    assert_eq!(
        dingtalk::signature("1599360473000", "SEC0123456789abcdef"),
        "aKqBjoyC+NYhkgqBYxW0ACXynJFx9Q2eLA+Q9FLxhBY="
    );
    assert_eq!(
        feishu::signature("1599360473", "demo-secret"),
        "3/MaVZ8JLIy4TUG+7KSFJqvUkTKd+HWY8g+56DZWq8s="
    );
}

#[test]
fn each_service_gets_its_own_form() {
    let wecom = robot(Service::Wecom, false).post(&parcel(1, "老灶火锅"), AT);
    assert_eq!(
        wecom.body,
        json!({"msgtype": "markdown", "markdown": {
            "content": "🔴 **<font color=\"warning\">【紧急报警】老灶火锅 燃气浓度高报</font>**\n> <font color=\"comment\">时间：</font>10:47:53"
        }})
    );
    assert_eq!(wecom.url.as_str(), "http://127.0.0.1:1/robot?key=k");
    let dingtalk = robot(Service::Dingtalk, true).post(&parcel(1, "老灶火锅"), AT);
    assert_eq!(
        dingtalk.body,
        json!({"msgtype": "markdown", "at": {"isAtAll": true}, "markdown": {
            "title": "【紧急报警】老灶火锅 燃气浓度高报",
            "text": "#### 🔴 【紧急报警】老灶火锅 燃气浓度高报  \n> 时间：10:47:53"
        }})
    );
    assert_eq!(
        dingtalk.url.query(),
        Some("key=k&timestamp=1599360473000&sign=aKqBjoyC%2BNYhkgqBYxW0ACXynJFx9Q2eLA%2BQ9FLxhBY%3D")
    );
    let feishu = robot(Service::Feishu, true).post(&parcel(1, "老灶火锅"), AT).body;
    assert_eq!(feishu["timestamp"], "1599360473");
    assert_eq!(
        feishu["content"]["post"]["zh_cn"],
        json!({"title": "🔴 【紧急报警】老灶火锅 燃气浓度高报", "content": [
            [{"tag": "text", "text": "时间：10:47:53"}], [{"tag": "at", "user_id": "all"}]
        ]})
    );
}

#[test]
fn everybody_is_called_only_when_it_is_wanted_and_critical() {
    let called = robot(Service::Wecom, true).post(&parcel(1, "a"), AT).body;
    assert_eq!(called["text"]["mentioned_list"], json!(["@all"]));
    for service in [Service::Wecom, Service::Dingtalk, Service::Feishu] {
        let body = robot(service, false)
            .post(&parcel(1, "@all <at user_id=\"all\">"), AT)
            .body;
        let text = body.to_string();
        assert!(
            !text.contains("@all") && !text.contains("<at") && !text.contains("\"isAtAll\":true"),
            "{text}"
        );
    }
}

#[test]
fn bursts_of_long_names_stay_below_the_limits_of_the_services() {
    let names = "\"\\厨".repeat(40);
    for (service, most) in [
        (Service::Wecom, 5_000),
        (Service::Dingtalk, 20_000),
        (Service::Feishu, 20_000),
    ] {
        let body = robot(service, false).post(&parcel(500, &names), AT).body;
        assert!(
            body.to_string().len() <= most,
            "{service:?}: {}",
            body.to_string().len()
        );
        if service == Service::Wecom {
            assert!(body["markdown"]["content"].as_str().unwrap().len() <= 4_096);
        }
    }
}

type Case = (Service, u16, &'static str, &'static str, Result<Taken, SendError>);

const fn throttled(milliseconds: u64) -> Result<Taken, SendError> {
    Err(SendError::Throttled(Millis(milliseconds)))
}

/// More than an hour from `AT`.
const OFF: &str = "Sun, 06 Sep 2020 05:00:00 GMT";

#[rustfmt::skip]
const CASES: [Case; 23] = [
    (Service::Wecom, 200, r#"{"errcode":0,"errmsg":"ok"}"#, "", Ok(Taken)),
    (Service::Dingtalk, 200, r#"{"errcode":"0"}"#, "", Ok(Taken)),
    (Service::Feishu, 200, r#"{"code":0,"msg":"success","data":{}}"#, "", Ok(Taken)),
    (Service::Feishu, 200, r#"{"StatusCode":0,"StatusMessage":"success"}"#, "", Ok(Taken)),
    (Service::Wecom, 200, "{}", "", Err(SendError::NoCode)),
    (Service::Wecom, 200, "<html>", "", Err(SendError::NoCode)),
    (Service::Wecom, 200, r#"{"errcode":null}"#, "", Err(SendError::NoCode)),
    (Service::Feishu, 200, r#"{"errcode":0}"#, "", Err(SendError::NoCode)),
    (Service::Wecom, 502, "<html>", "", Err(SendError::Status(502))),
    (Service::Wecom, 500, r#"{"errcode":0}"#, "", Err(SendError::Status(500))),
    (Service::Wecom, 404, r#"{"errcode":0}"#, "", Err(SendError::Refused(0))),
    (Service::Wecom, 200, r#"{"errcode":45009}"#, "", throttled(65_000)),
    (Service::Wecom, 200, r#"{"errcode":93000}"#, "", Err(SendError::Misconfigured(93_000))),
    (Service::Wecom, 200, r#"{"errcode":40058}"#, "", Err(SendError::Refused(40_058))),
    (Service::Dingtalk, 200, r#"{"errcode":130101}"#, "", throttled(600_000)),
    (Service::Dingtalk, 200, r#"{"status":1111,"wait":5,"punish":"deny"}"#, "", throttled(600_000)),
    (Service::Dingtalk, 200, r#"{"errcode":"310000","errmsg":"sign not match"}"#, "", Err(SendError::Misconfigured(310_000))),
    (Service::Dingtalk, 200, r#"{"errcode":310000,"errmsg":"invalid timestamp"}"#, "", Err(SendError::Clock)),
    (Service::Dingtalk, 200, r#"{"errcode":310000,"errmsg":"sign not match"}"#, OFF, Err(SendError::Clock)),
    (Service::Feishu, 200, r#"{"code":19021}"#, OFF, Err(SendError::Clock)),
    (Service::Feishu, 200, r#"{"code":19024}"#, "", Err(SendError::Misconfigured(19_024))),
    (Service::Feishu, 400, r#"{"code":9499}"#, "", throttled(60_000)),
    (Service::Feishu, 429, "", "", throttled(7_000)),
];

#[test]
fn success_needs_status_and_code_and_failures_have_their_classes() {
    for (service, status, body, date, expected) in CASES {
        let answer = Answer {
            status,
            body: body.as_bytes(),
            date,
            retry_after: "7",
        };
        assert_eq!(
            verdict(service, &answer, AT),
            expected,
            "{service:?} {status} {body}"
        );
    }
}
