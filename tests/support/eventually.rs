//! Waiting for a condition, with a deadline. Tests never sleep for a guessed time.

use std::time::Duration;

use tokio::time::{Instant, sleep};

const POLL: Duration = Duration::from_millis(20);

/// Asks `probe` until it answers `Some`, and gives that. Panics with `what` when `deadline` has passed.
pub(crate) async fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(answer) = probe().await {
            return answer;
        }
        assert!(Instant::now() < end, "not within {deadline:?}: {what}");
        sleep(POLL).await;
    }
}

/// Asks `probe` for as long as `span` lasts, and panics with `what` when it ever answers `false`.
pub(crate) async fn stays(what: &str, span: Duration, mut probe: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + span;
    while Instant::now() < end {
        assert!(probe().await, "did not stay so for {span:?}: {what}");
        sleep(POLL).await;
    }
}
