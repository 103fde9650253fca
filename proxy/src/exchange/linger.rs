use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use tokio::time::timeout;

/// How long a client may go on to send what nobody wants.
const LIMIT: Duration = Duration::from_secs(5);

/// Reads the rest of a refused body for a while, and drops it. Many clients read no answer before they have sent all; and
/// a connection that is closed while there are bytes unread is reset, which takes the answer with it.
pub(crate) fn linger(mut body: Incoming) {
    tokio::spawn(async move {
        let rest =
            async { while let Some(Ok(_)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {} };
        timeout(LIMIT, rest).await.ok();
    });
}
