//! Waiting for the requests of displaced replicas to end.

use std::time::Duration;

use cutover_core::{Progress, Settings};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::{Result, Traffic};

/// From one question to the next: at first, and at last.
const FIRST: Duration = Duration::from_millis(50);
const LAST: Duration = Duration::from_millis(500);
/// What the proxy has beyond its own limit: it cuts what is in flight after `timeouts.drain` and `drain_streams`.
const MARGIN: Duration = Duration::from_secs(5);

/// How long a drain may take.
pub(crate) fn limit(settings: &Settings) -> Duration {
    settings.timeouts.longest_drain().0.saturating_add(MARGIN)
}

/// Asks until nothing that matters is draining, or until `limit` has passed. The last answer is the one that counts.
pub(crate) async fn wait<F>(
    limit: Duration,
    matters: impl Fn(&str) -> bool,
    ask: impl Fn() -> F,
    progress: &watch::Sender<Progress>,
) -> Result<Traffic>
where
    F: Future<Output = Result<Traffic>>,
{
    let began = Instant::now();
    let mut pause = FIRST;
    loop {
        let traffic = ask().await?;
        let draining: Vec<&str> =
            traffic.draining.iter().map(String::as_str).filter(|name| matters(name)).collect();
        if draining.is_empty() || began.elapsed() >= limit {
            return Ok(traffic);
        }
        progress.send_replace(Progress::Step(format!("{} answers its last requests", draining.join(", "))));
        sleep(pause).await;
        pause = (pause * 2).min(LAST);
    }
}
