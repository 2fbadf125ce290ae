//! What devices said, from the broker into the history and out of the API, on real servers, and over a kill.

#![cfg(test)]

mod support;

use serde_json::{Value, json};

use support::gateway::Gateway;
use support::http;
use support::mosquitto::Mosquitto;
use support::publisher::Publisher;
use support::sink::Sink;

/// The values of a point in the history of g1, in order.
async fn values(gateway: &Gateway, point: &str) -> Vec<Value> {
    let path = format!("/api/v1/devices/g1/history?venue=v1&point={point}");
    let answer = http::get(&gateway.url(&path)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let answer = answer.json();
    let items = answer["items"].as_array().expect("a list has items");
    items.iter().map(|item| item["value"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_device_said_is_shown_and_survives_a_kill() {
    let broker = Mosquitto::start("");
    let sink = Sink::start();
    let mut gateway = Gateway::prepare(broker.port, &sink.url()).start().await;
    let mut device = Publisher::start(broker.port, "device");
    // The shipped deadband of lel is 1.
    for lel in [2.0, 2.5, 3.5, 3.4] {
        device
            .gas("g1", &json!({"lel": lel, "temperature": 20.0}).to_string())
            .await;
    }
    gateway.wait_acknowledged(4).await;
    assert_eq!(values(&gateway, "lel").await, [json!(2.0), json!(3.5)]);

    gateway.kill();
    let mut gateway = gateway.start().await;
    // It knows what it kept: no second sample of the same.
    device
        .gas("g1", r#"{"lel": 3.3, "temperature": 20.2, "state": "fault"}"#)
        .await;
    gateway.wait_acknowledged(1).await;
    assert_eq!(values(&gateway, "lel").await, [json!(2.0), json!(3.5)]);
    assert_eq!(values(&gateway, "temperature").await, [json!(20.0)]);
    assert_eq!(values(&gateway, "state").await, [json!("fault")]);
    assert_eq!(values(&gateway, "online").await, [json!(true)]);

    let device = http::get(&gateway.url("/api/v1/devices/g1")).await.json();
    assert_eq!(device["values"]["lel"]["value"], 3.5);
    assert_eq!(
        (&device["online"], &device["registered"]),
        (&json!(true), &json!(true))
    );
    let devices = http::get(&gateway.url("/api/v1/devices")).await.json();
    assert_eq!(devices["items"].as_array().map(Vec::len), Some(1), "{devices}");
    let venues = http::get(&gateway.url("/api/v1/venues")).await.json();
    assert_eq!(venues["items"][0]["name"], "示例餐馆");
    let buckets = http::get(&gateway.url("/api/v1/devices/g1/history?point=lel&buckets=1"))
        .await
        .json();
    assert_eq!(
        (&buckets["items"][0]["count"], &buckets["items"][0]["max"]),
        (&json!(2), &json!(3.5))
    );
    assert!(gateway.terminate().await.success());
}
