use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::targets::{Kind, Lease, STREAM_AFTER};

/// How long a response may go on that has to be waited for: as a request for a while, then as a stream.
#[derive(Debug, Default)]
pub(crate) struct Term(Option<Phase>);

/// The time for which it is of one kind.
struct Phase(Pin<Box<dyn Future<Output = Over> + Send>>);

/// What the time has brought.
enum Over {
    /// It is a stream from now on.
    Stream,
    /// It must end.
    Cut,
}

impl Term {
    /// Ready when the response must end, as its target was displaced.
    pub(crate) fn poll_cut(&mut self, lease: &mut Lease, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let phase = self.0.get_or_insert_with(|| {
                let cut = lease.target().cut(lease.kind()).clone();
                Phase(match lease.kind() {
                    Kind::Request => Box::pin(request(cut)),
                    Kind::Stream | Kind::Upgraded => Box::pin(stream(cut)),
                })
            });
            match ready!(phase.0.as_mut().poll(cx)) {
                Over::Cut => return Poll::Ready(()),
                Over::Stream => lease.becomes(Kind::Stream),
            }
            self.0 = None;
        }
    }
}

async fn request(cut: CancellationToken) -> Over {
    timeout(STREAM_AFTER, cut.cancelled()).await.map_or(Over::Stream, |()| Over::Cut)
}

async fn stream(cut: CancellationToken) -> Over {
    cut.cancelled().await;
    Over::Cut
}

impl fmt::Debug for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phase")
    }
}
