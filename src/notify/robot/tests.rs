//! Signatures by published vectors, verdicts by what the services answer, and bodies by their own grammar.

mod link;

use serde_json::json;

use super::*;
use crate::config::{NetworkSettings, TargetKind};
use crate::domain::directions::Recipient;
use crate::domain::id::Id;
use crate::domain::officer::{Contact, Language};
use crate::store::PendingNotice;

const AT: Timestamp = Timestamp(1_599_360_473_000);

fn robot(service: Service, mention_all: bool) -> Robot {
    robot_with(service, mention_all, None)
}

fn robot_with(service: Service, mention_all: bool, links: Option<&Links>) -> Robot {
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
        network: NetworkSettings::default(),
        acknowledges: false,
    };
    Robot::new(&settings, &robot, (&InForce::default(), links)).unwrap()
}

/// All three.
const SERVICES: [Service; 3] = [Service::Wecom, Service::Dingtalk, Service::Feishu];

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
    refused: false, });
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
const CASES: [Case; 29] = [
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
    (Service::Wecom, 200, r#"{"errcode":-1,"errmsg":"system busy"}"#, "", Err(SendError::Busy)),
    (Service::Dingtalk, 200, r#"{"errcode":"-1","errmsg":"系统繁忙"}"#, "", Err(SendError::Busy)),
    (Service::Feishu, 200, r#"{"code":-1}"#, "", Err(SendError::Refused(-1))),
    (Service::Dingtalk, 200, r#"{"errcode":130101}"#, "", throttled(600_000)),
    (Service::Dingtalk, 200, r#"{"status":1111,"wait":5,"punish":"deny"}"#, "", throttled(600_000)),
    (Service::Dingtalk, 200, r#"{"errcode":"310000","errmsg":"sign not match"}"#, "", Err(SendError::Misconfigured(310_000))),
    (Service::Dingtalk, 200, r#"{"errcode":310000,"errmsg":"invalid timestamp"}"#, "", Err(SendError::Clock)),
    (Service::Dingtalk, 200, r#"{"errcode":310000,"errmsg":"sign not match"}"#, OFF, Err(SendError::Clock)),
    (Service::Dingtalk, 200, r#"{"errcode":300001,"errmsg":"token is not exist"}"#, "", Err(SendError::Misconfigured(300_001))),
    (Service::Dingtalk, 200, r#"{"errcode":90030,"errmsg":"webhook over limit"}"#, "", throttled(3_600_000)),
    (Service::Feishu, 400, r#"{"code":19001,"msg":"param invalid: incoming webhook access token invalid"}"#, "", Err(SendError::Misconfigured(19_001))),
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

/// Somebody with these ids; empty ones are none.
fn person(name: &str, [mobile, wecom, dingtalk, feishu]: [&str; 4]) -> Recipient {
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Recipient {
        officer: name.to_owned(),
        name: name.to_owned(),
        language: Language::Zh,
        contact: Contact {
            mobile: given(mobile),
            email: None,
            wecom: given(wecom),
            dingtalk: given(dingtalk),
            feishu: given(feishu),
        },
        next: Vec::new(),
    }
}

/// The parcel with these people in each of its notices.
fn with_people(parcel: Parcel, people: &[Recipient]) -> Parcel {
    let notices = parcel.into_notices().map(|notice| PendingNotice {
        people: people.to_vec(),
        ..notice
    });
    Parcel::of(notices.collect()).unwrap()
}

fn posted(service: Service, count: usize, people: &[Recipient]) -> Value {
    robot(service, false)
        .post(&with_people(parcel(count, "老灶火锅"), people), AT)
        .body
}

#[test]
fn people_are_called_by_what_each_service_knows_them_as() {
    let wang = person("王工", ["+8613800001111", "wang", "manager1", "ou_wang"]);
    let li = person("李工", ["13800002222", "", "", ""]);
    let zhao = person("赵工", ["", "", "", ""]);
    let last = |text: &Value| text.as_str().unwrap().lines().last().unwrap().to_owned();

    let wecom = posted(Service::Wecom, 1, &[wang.clone(), zhao.clone()]);
    assert_eq!(last(&wecom["markdown"]["content"]), "通知：<@wang> 赵工");
    let wecom = posted(Service::Wecom, 1, &[wang.clone(), li.clone(), zhao.clone()]);
    assert_eq!(wecom["msgtype"], "text");
    assert_eq!(wecom["text"]["mentioned_list"], json!(["wang"]));
    assert_eq!(wecom["text"]["mentioned_mobile_list"], json!(["13800002222"]));
    assert_eq!(last(&wecom["text"]["content"]), "通知：赵工");

    let dingtalk = posted(Service::Dingtalk, 1, &[wang.clone(), li.clone(), zhao.clone()]);
    assert_eq!(
        dingtalk["at"],
        json!({"isAtAll": false, "atUserIds": ["manager1"], "atMobiles": ["13800002222"]})
    );
    assert_eq!(
        last(&dingtalk["markdown"]["text"]),
        "通知：@manager1 @13800002222 赵工"
    );

    let feishu = posted(Service::Feishu, 1, &[wang, li, zhao]);
    let lines = feishu["content"]["post"]["zh_cn"]["content"].as_array().unwrap();
    assert_eq!(
        lines.last().unwrap(),
        &json!([{"tag": "at", "user_id": "ou_wang"}, {"tag": "text", "text": "通知：李工 赵工"}])
    );
}

#[test]
fn all_people_of_a_digest_are_called_once_and_with_everybody_too() {
    let wang = person("王工", ["", "wang", "", ""]);
    let digest = with_people(parcel(9, "老灶火锅"), &[wang.clone(), wang]);
    let body = robot(Service::Wecom, false).post(&digest, AT).body.to_string();
    assert_eq!(body.matches("<@wang>").count(), 1, "{body}");
    let body = robot(Service::Wecom, true).post(&digest, AT).body;
    assert_eq!(body["text"]["mentioned_list"], json!(["wang", "@all"]));
}

#[test]
fn nobody_is_called_for_what_is_over() {
    let wang = person("王工", ["13800001111", "wang", "manager1", "ou_wang"]);
    let over = with_people(parcel(1, "老灶火锅"), &[wang]);
    let over = over.into_notices().map(|notice| PendingNotice {
        body: notice
            .body
            .replace("alarm.raised", "alarm.recovered")
            .replace("active_un", "recovered_un"),
        ..notice
    });
    let over = Parcel::of(over.collect()).unwrap();
    for service in [Service::Wecom, Service::Dingtalk, Service::Feishu] {
        let body = robot(service, false).post(&over, AT).body.to_string();
        let called = ["13800001111", "wang", "manager1", "王工"].map(|word| body.contains(word));
        assert_eq!(called, [false; 4], "{body}");
    }
}

#[test]
fn what_is_no_id_by_its_form_calls_nobody() {
    for odd in [
        "all",
        "@all",
        "ALL",
        "a> <@all",
        "a\"b",
        "王",
        "a b",
        "@138",
        &"a".repeat(65),
    ] {
        let odd = person("李工<@all> @all [x](y)", [odd, odd, odd, odd]);
        for service in [Service::Wecom, Service::Dingtalk, Service::Feishu] {
            let body = posted(service, 1, std::slice::from_ref(&odd));
            let text = body.to_string();
            assert!(text.contains("通知：李工＜＠all＞ ＠all ［x］（y）"), "{text}");
            assert!(
                !text.contains("@all") && !text.contains("<@") && !text.contains("\"user_id\""),
                "{text}"
            );
            assert!(
                body["at"].get("atUserIds").is_none() && body["text"].is_null(),
                "{text}"
            );
        }
    }
}

#[test]
fn more_people_than_find_room_are_counted_and_the_text_keeps_its_limits() {
    let names = "\"\\厨".repeat(40);
    let people: Vec<Recipient> = (0..300)
        .map(|number| {
            let (id, mobile) = (format!("{number:0>64}"), format!("138{number:0>8}"));
            let mut person = person(&format!("{number}{}", "厨".repeat(60)), [&mobile, &id, &id, &id]);
            if number % 3 == 1 {
                person.contact = Contact {
                    mobile: Some(mobile),
                    ..Contact::default()
                };
            } else if number % 3 == 2 {
                person.contact = Contact::default();
            }
            person
        })
        .collect();
    for (service, most) in [
        (Service::Wecom, 5_000),
        (Service::Dingtalk, 20_000),
        (Service::Feishu, 20_000),
    ] {
        for count in [1, 500] {
            let parcel = with_people(parcel(count, &names), &people);
            let body = robot(service, false).post(&parcel, AT).body;
            let text = body.to_string();
            assert!(text.len() <= most, "{service:?}: {}", text.len());
            assert!(text.contains(" 人") && text.contains("另 2"), "{text}");
            if service == Service::Wecom {
                assert!(body["text"]["content"].as_str().unwrap().len() <= 2_048);
            }
        }
    }
}

#[test]
fn a_message_is_in_the_language_that_its_readers_share() {
    let zh = person("王工", ["", "wang", "", ""]);
    let en = Recipient {
        language: Language::En,
        ..person("Ann", ["", "ann", "", ""])
    };
    let content = |people: &[Recipient]| posted(Service::Wecom, 1, people)["markdown"]["content"].to_string();
    let english = content(&[en.clone(), en.clone()]);
    assert!(
        english.contains("CRITICAL ALARM") && english.contains("For: <@ann>"),
        "{english}"
    );
    assert!(content(&[zh, en.clone()]).contains("紧急报警"));
    assert!(content(&[]).contains("紧急报警"));
    // One notice of two is for the whole group.
    let both = with_people(parcel(1, "a"), &[en]).into_notices().chain(
        parcel(2, "b")
            .into_notices()
            .filter(|notice| notice.body.contains("A1")),
    );
    let both = Parcel::of(both.collect()).unwrap();
    let body = robot(Service::Wecom, false).post(&both, AT).body.to_string();
    assert!(body.contains("紧急") && body.contains("<@ann>"), "{body}");
}
