use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// The limit of a silence. Only what is waited for can be silent: while a client takes its time to read, the application
/// isn't asked for more.
#[derive(Debug)]
pub(crate) struct Silence {
    limit: Option<Duration>,
    /// Made when first something has to be waited for.
    timer: Option<Pin<Box<Sleep>>>,
    lasts: bool,
}

impl Silence {
    /// Without a limit it may last for ever.
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self { limit, timer: None, lasts: false }
    }

    /// Something has come.
    pub(crate) fn end(&mut self) {
        self.lasts = false;
    }

    /// Nothing is there: ready when that has been so for too long.
    pub(crate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(limit) = self.limit else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        if !std::mem::replace(&mut self.lasts, true) {
            timer.as_mut().reset(Instant::now() + limit);
        }
        timer.as_mut().poll(cx)
    }
}
