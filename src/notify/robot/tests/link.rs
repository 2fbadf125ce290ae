//! The address in robots' texts: whose it is, which messages have one, and that it is never cut.

use super::*;

/// A gateway's addresses.
fn links() -> (tempfile::TempDir, Links) {
    let folder = tempfile::tempdir().unwrap();
    let links = Links::open(folder.path(), "https://gw.example").unwrap();
    (folder, links)
}

/// The address in a message as its service would open it, and what is pressed; `None`: it has none.
fn link_in(service: Service, body: &Value) -> Option<(String, String)> {
    let linked = |text: &str, open: &str| {
        let (before, after) = text.split_once(open)?;
        let label = before.rsplit(['[', '\n']).next()?;
        let end = after.find([')', '\n']).unwrap_or(after.len());
        Some((label.to_owned(), after[..end].to_owned()))
    };
    match service {
        Service::Wecom if body["msgtype"] == "text" => {
            let (_, address) = body["text"]["content"].as_str()?.split_once("\n确认收到：")?;
            Some((
                "确认收到".to_owned(),
                address.lines().next().unwrap_or_default().to_owned(),
            ))
        }
        Service::Wecom => linked(body["markdown"]["content"].as_str()?, "]("),
        Service::Dingtalk => linked(body["markdown"]["text"].as_str()?, "]("),
        Service::Feishu => {
            let lines = body["content"]["post"]["zh_cn"]["content"].as_array()?;
            let node = lines.iter().flat_map(|line| line.as_array().unwrap());
            let node = node.into_iter().find(|node| node["tag"] == "a")?;
            Some((
                node["text"].as_str()?.to_owned(),
                node["href"].as_str()?.to_owned(),
            ))
        }
    }
}

/// What the address is about, if it is one for `officer`.
fn checked(links: &Links, address: &str, officer: &str) -> Option<Id> {
    let token = address.strip_prefix("https://gw.example/a/")?.split('?').next()?;
    links
        .check(token, officer, Timestamp(0))
        .ok()
        .map(|link| link.alarm)
}

#[test]
fn whoever_has_to_acknowledge_gets_an_address_of_their_own() {
    let (_folder, links) = links();
    let wang = person("wang", ["", "wang", "manager1", "ou_wang"]);
    let li = person("li", ["", "li", "manager2", "ou_li"]);
    for service in SERVICES {
        let post = |people: &[Recipient]| {
            let parcel = with_people(parcel(1, "老灶火锅"), people);
            robot_with(service, false, Some(&links)).post(&parcel, AT).body
        };
        let (label, address) = link_in(service, &post(std::slice::from_ref(&wang))).unwrap();
        assert_eq!(label, "确认收到");
        assert_eq!(
            checked(&links, &address, "wang"),
            Some(Id::from_bits(2)),
            "{address}"
        );
        for people in [&[][..], &[wang.clone(), li.clone()]] {
            let (_, address) = link_in(service, &post(people)).unwrap();
            assert_eq!(checked(&links, &address, ""), Some(Id::from_bits(2)), "{address}");
        }
        let unreachable = links.clone().of_this_machine();
        let parcel = parcel(1, "a");
        let body = robot_with(service, false, Some(&unreachable))
            .post(&parcel, AT)
            .body;
        assert_eq!(link_in(service, &body), None, "nobody could open it: {body}");
    }
}

#[test]
fn what_asks_for_nothing_and_what_is_about_several_has_no_address() {
    let (_folder, links) = links();
    let changed = |from: &str, to: &str| {
        let notices = parcel(1, "a").into_notices().map(|notice| PendingNotice {
            body: notice.body.replace(from, to),
            ..notice
        });
        Parcel::of(notices.collect()).unwrap()
    };
    let several = parcel(2, "a")
        .into_notices()
        .enumerate()
        .map(|(number, notice)| PendingNotice {
            alarm: Id::from_bits(u128::try_from(number).unwrap()),
            ..notice
        });
    let several = Parcel::of(several.collect()).unwrap();
    for service in SERVICES {
        for parcel in [
            changed("active_unacknowledged", "active_acknowledged"),
            changed("active_unacknowledged", "cleared"),
            changed("alarm.raised", "alarm.recovered"),
            changed("alarm.raised", "alarm.shelved"),
            several.clone(),
        ] {
            let body = robot_with(service, false, Some(&links)).post(&parcel, AT).body;
            assert!(!body.to_string().contains("gw.example"), "{body}");
        }
    }
}

#[test]
fn an_address_is_never_cut_and_the_limits_hold_with_it() {
    let (_folder, links) = links();
    let names = "\"\\厨".repeat(400);
    let people: Vec<Recipient> = (0..300)
        .map(|number| {
            let id = format!("{number:0>64}");
            person(&format!("{number}{}", "厨".repeat(60)), ["", &id, &id, &id])
        })
        .collect();
    for (service, most) in SERVICES.into_iter().zip([5_000, 20_000, 20_000]) {
        for everybody in [false, true] {
            let parcel = with_people(long(parcel(1, &names), &names), &people);
            let body = robot_with(service, everybody, Some(&links))
                .post(&parcel, AT)
                .body;
            assert!(body.to_string().len() <= most, "{service:?}: {body}");
            let (_, address) = link_in(service, &body).unwrap_or_else(|| panic!("{body}"));
            assert_eq!(checked(&links, &address, ""), Some(Id::from_bits(2)), "{address}");
            if service == Service::Wecom {
                let text = if everybody {
                    &body["text"]
                } else {
                    &body["markdown"]
                };
                assert!(text["content"].as_str().unwrap().len() <= if everybody { 2_048 } else { 4_096 });
            }
        }
    }
}

/// With as much text around it as a body may have.
fn long(parcel: Parcel, names: &str) -> Parcel {
    let notices = parcel.into_notices().map(|notice| {
        let mut body: Value = serde_json::from_str(&notice.body).unwrap();
        body["note"] = json!(names);
        body["alarm"]["title"]["zh"] = json!(names);
        body["alarm"]["venue"]["address"] = json!(names);
        body["alarm"]["device"] = json!({"name": names});
        body["alarm"]["values"] = (0..6)
            .map(|number| (format!("{number}{names}"), json!(names)))
            .collect();
        PendingNotice {
            body: body.to_string(),
            ..notice
        }
    });
    Parcel::of(notices.collect()).unwrap()
}
