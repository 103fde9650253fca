//! Reading what a host says, again and again until it says it.

use std::future::Future;
use std::time::Duration;

use cutover_fleet::Machine;
use tokio::time::{sleep, timeout};

use crate::Error;

/// The wait after a reading that failed.
const AGAIN: Duration = Duration::from_millis(200);

/// Reads `what` of a host until that succeeds, for at most `limit`.
///
/// # Errors
/// [`Error::Unread`] after `limit`, with the last failure.
pub async fn reading<T, F>(
    machine: &Machine,
    what: &str,
    limit: Duration,
    read: impl Fn() -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, cutover_fleet::Error>>,
{
    let mut last = None;
    let tries = async {
        loop {
            match read().await {
                Ok(value) => return value,
                Err(error) => last = Some(error),
            }
            sleep(AGAIN).await;
        }
    };
    let ended = timeout(limit, tries).await;
    ended.map_err(|_| Error::Unread {
        host: machine.name().clone(),
        what: what.to_owned(),
        limit,
        source: last.map(Box::new),
    })
}
