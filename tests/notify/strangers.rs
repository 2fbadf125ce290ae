//! What is owed to targets that are not configured any more reaches its people through their other channels.

use super::people::{column, person, raised_for};
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_owed_to_a_target_that_is_gone_reaches_its_people_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let store = TestStore::open(folder.path());
    let mut phone = Sink::start(|_| Answer::Status(200)).await;
    let wang = person("wang", &["phone"]);
    let mut to_all = raised_for(200, "gone", std::slice::from_ref(&wang));
    to_all.owed[0].everyone = true;
    let mut commits: Vec<_> = (1..=150)
        .map(|number| raised_for(number, "gone", std::slice::from_ref(&wang)))
        .collect();
    commits.extend([
        // One whom nothing else reaches, and one for nobody in particular.
        raised_for(151, "gone", &[wang, person("li", &[])]),
        raised(152, 152, &["gone"]),
        to_all,
    ]);
    store.commit(commits).await;
    let running = Running::start(&store, vec![target("phone", phone.address)]);
    let mut told = Vec::new();
    for _ in 0..152 {
        let got = phone.next().await;
        assert_eq!(got.member("/to/0/officer"), "wang");
        told.push(got.number());
    }
    all_delivered(&store, "phone").await;
    running.stop().await;
    told.sort_unstable();
    let expected: Vec<u64> = (1..=151).chain([200]).collect();
    assert_eq!(told, expected, "each once, however many are read at a time");
    let left = "SELECT json_extract(body, '$.alarm.id') || ' ' || coalesce(json_extract(people, '$[0].officer'), 'all')
                FROM outbox WHERE target = 'gone' AND delivered_at IS NULL ORDER BY row";
    let left = column(folder.path(), left);
    assert_eq!(
        left,
        [
            format!("{} li", id(151)),
            format!("{} all", id(152)),
            format!("{} all", id(200))
        ]
    );
}
