use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

/// Something that happens once a time is over. Dropping this calls it off.
#[derive(Debug)]
pub(crate) struct Expiry {
    _timer: AbortOnDropHandle<()>,
}

impl Expiry {
    pub(crate) fn after(left: Duration, act: impl FnOnce() + Send + 'static) -> Self {
        let timer = tokio::spawn(async move {
            tokio::time::sleep(left).await;
            act();
        });
        Self { _timer: AbortOnDropHandle::new(timer) }
    }
}
