//! Where requests are handed in: the bus, which may be away.

use std::time::Duration;

use cutover_bus::{Access, Asked, Bus};
use cutover_core::Request;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::refusal::Refusal;

/// How long an unreachable bus is left alone before it is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Where requests are handed in.
#[derive(Clone)]
pub struct Desk(watch::Receiver<Option<Bus>>);

impl Desk {
    /// Connects, and tries it again and again until the bus is there or it is told to stop. Once connected the bus reconnects by itself.
    pub fn open(access: Access, name: &'static str, stop: &CancellationToken) -> Self {
        let (sender, receiver) = watch::channel(None);
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::select! { bus = connect(&access, name) => drop(sender.send(Some(bus))), () = stop.cancelled() => {} }
        });
        Self(receiver)
    }

    /// Whether the bus is there, as far as is known.
    pub(crate) fn is_open(&self) -> bool {
        self.0.borrow().as_ref().is_some_and(Bus::is_connected)
    }

    /// Hands a request in; it is stored once this is `Ok`.
    pub(crate) async fn ask(&self, request: &Request) -> Result<Asked, Refusal> {
        let bus = self.0.borrow().clone().ok_or(Refusal::Away)?;
        bus.ask(request).await.map_err(|error| {
            tracing::warn!(request = request.id(), %error, "a request was not stored: its sender is told to send it again");
            Refusal::Away
        })
    }
}

async fn connect(access: &Access, name: &str) -> Bus {
    loop {
        match Bus::enter(access, name).await {
            Ok(bus) => return bus,
            Err(error) => tracing::warn!(%error, "waiting for the bus"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}
