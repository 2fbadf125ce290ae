//! `/api/v1/roster`: who is on duty, and what is not shown.

use serde_json::json;

use super::site::Site;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_on_duty_is_shown_by_name_and_without_telephone_numbers() {
    let site = Site::open().await;
    let answer = site.get("/api/v1/roster?at=2026-01-06T12:00:00%2B08:00").await;
    assert_eq!(answer.status, 200);
    let wang = json!({"id": "wang", "name": "王磊"});
    assert_eq!(
        answer.json(),
        json!({"items": [{"roster": "duty", "officers": [wang], "until": "2026-01-12T00:00:00.000Z"}], "next": null})
    );
    assert!(!answer.body.contains("138"));
    // Before the first turn nobody is.
    let answer = site.get("/api/v1/roster?at=1767225600000").await;
    let nobody = json!({"roster": "duty", "officers": [], "until": "2026-01-05T00:00:00.000Z"});
    assert_eq!(answer.json()["items"], json!([nobody]));
    assert_eq!(site.get("/api/v1/roster").await.status, 200);
    site.get("/api/v1/roster?at=tomorrow")
        .await
        .problem(400, "bad-query");
    site.get("/api/v1/roster?day=1").await.problem(400, "bad-query");
}
