use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use cutover_control::{Call, Canary, Refusal, Reply, Request, Response, Switch, Upstream};
use tokio::sync::{Mutex, Notify};
use tokio::time::sleep;

use crate::control::{Callee, Ledger, Store, instance};
use crate::drive::back_end::BackEnd;
use crate::drive::displaced::Displaced;
use crate::drive::held::Held;
use crate::targets::health::look;

/// How long it is from one try to end a canary to the next.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Carries out control calls, one at a time: the ledger decides, the other proxy does it and has confirmed it, the store
/// makes it durable, then the call is answered. Where something of that fails, what was before is in force again.
#[derive(Debug)]
pub(super) struct Driver<B> {
    store: Store,
    instance: String,
    held: Mutex<Held<B>>,
    /// A canary may have got a weight, or another hold.
    weighted: Notify,
}

impl<B: BackEnd> Driver<B> {
    /// Has the other proxy do what the ledger says; where it doesn't, that is tried again before each call.
    pub(super) async fn start(store: Store, ledger: Ledger, displaced: Displaced, back_end: B) -> Self {
        let mut held = Held::new(ledger, displaced, back_end);
        if let Err(refusal) = held.settle().await {
            tracing::warn!(%refusal, "{} does not do what it was told before", B::NAME);
        }
        Self { store, instance: instance(), held: Mutex::new(held), weighted: Notify::new() }
    }

    /// Ends each canary that is not renewed in time, or that was refused and may still get a share, for as long as this is
    /// polled.
    pub(super) async fn end_canaries(&self) -> Infallible {
        // Said once, not at each try.
        let mut fails = false;
        loop {
            let left = self.held.lock().await.until_settling();
            let over = async {
                match left {
                    Some(left) => sleep(left).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = self.weighted.notified() => continue,
                () = over => {}
            }
            let mut held = self.held.lock().await;
            // A renewal may have come meanwhile.
            if held.until_settling().is_some_and(|left| left.is_zero()) {
                let was_known = held.is_known();
                let settled = held.settle().await;
                drop(held);
                match settled {
                    Ok(()) if was_known => tracing::warn!(
                        "a canary was not renewed in time: everything of its service goes to what serves"
                    ),
                    Ok(()) => tracing::warn!("{} does what it was told again", B::NAME),
                    Err(ref refusal) => {
                        if !fails {
                            tracing::error!(%refusal, "a canary that is over may still get its share");
                        }
                        sleep(TRY_AGAIN).await;
                    }
                }
                fails = settled.is_err();
            }
        }
    }

    /// A canary may have a share afterwards also where this fails.
    async fn commit(&self, held: &mut Held<B>, next: Ledger) -> Result<(), Refusal> {
        let committed = held.commit(&self.store, next).await;
        self.weighted.notify_one();
        committed
    }

    async fn carry_out(&self, request: Request) -> Result<Response, Refusal> {
        let mut held = self.held.lock().await;
        let mut next = held.ledger.clone();
        match request {
            Request::Status => {
                held.settle().await?;
                held.back_end.count().await?;
                let (version, instance) = (env!("CARGO_PKG_VERSION").to_owned(), self.instance.clone());
                Ok(Response::Status { version, instance, services: held.services().await? })
            }
            Request::Switch(switch) => {
                // Decided once to refuse at once what must be refused, and again afterwards: the look takes its time, and
                // a newer claim may come meanwhile.
                next.switch(&switch)?;
                refuse_own::<B>(&switch)?;
                held.back_end.check(&next)?;
                let newcomers = held.ledger.newcomers(&switch);
                drop(held);
                look(&newcomers, switch.upstream.application_protocol, switch.health.as_ref()).await?;
                let mut held = self.held.lock().await;
                let mut next = held.ledger.clone();
                let previous = next.switch(&switch)?;
                self.commit(&mut held, next).await?;
                tracing::info!(key = %switch.key, deployment = switch.deployment, previous, "switched");
                Ok(Response::Switched { previous })
            }
            Request::Canary(canary) => {
                let switch = &canary.switch;
                next.canary(&canary, held.clock.after(canary.hold_ms))?;
                refuse_own::<B>(switch)?;
                refuse_choosy::<B>(&canary)?;
                held.back_end.check(&next)?;
                let newcomers = held.ledger.new_canaries(switch);
                drop(held);
                look(&newcomers, switch.upstream.application_protocol, switch.health.as_ref()).await?;
                let mut held = self.held.lock().await;
                let mut next = held.ledger.clone();
                let active = next.canary(&canary, held.clock.after(canary.hold_ms))?;
                self.commit(&mut held, next).await?;
                tracing::debug!(key = %switch.key, deployment = switch.deployment, canary.weight, "weighted");
                Ok(Response::Weighted { active })
            }
            Request::Restore { key, epoch, deployment } => {
                let serving = next.restore(&key, &epoch, &deployment)?;
                self.commit(&mut held, next).await?;
                tracing::info!(%key, deployment, serving, "restored");
                Ok(Response::Restored { serving })
            }
            Request::Retire { key, epoch, deployment } => {
                next.retire(&key, &epoch, &deployment)?;
                self.commit(&mut held, next).await?;
                held.retired(&key).await
            }
            Request::Adopt { key, journal } => {
                next.fences.adopt(&key, &journal);
                self.commit(&mut held, next).await?;
                tracing::info!(%key, journal, "adopted");
                Ok(Response::Adopted)
            }
            _ => Err(own::<B>()),
        }
    }
}

impl<B: BackEnd + Sync> Callee for Driver<B> {
    async fn call(&self, call: Call) -> Option<Reply> {
        Some(self.carry_out(call.request).await)
    }
}

/// Refuses a deployment that wants what only Cutover's own proxy can.
fn refuse_own<B: BackEnd>(switch: &Switch) -> Result<(), Refusal> {
    let is_own = switch.tls.is_some()
        || !switch.ports.is_empty()
        || switch.upstream != Upstream::default()
        || switch.timeouts.total_ms != 0;
    if is_own { Err(own::<B>()) } else { Ok(()) }
}

/// Refuses a canary that is more than a weight. A cookie of the other proxy's would keep who has come early from the canary,
/// however high its weight, and might be stored by a cache for all; nginx compares what marks testers without case.
fn refuse_choosy<B: BackEnd>(canary: &Canary) -> Result<(), Refusal> {
    if !canary.sticky && canary.choose.is_none() && canary.mirror == 0 {
        return Ok(());
    }
    let (key, name) = (&canary.switch.key, B::NAME);
    let message = format!(
        "{key}: this host has a {name} that is driven: a canary gets a weight there, and neither keeps its clients, nor has \
         testers or mirrored requests, see docs/foreign-proxy.md"
    );
    Err(Refusal::Invalid { message })
}

/// What is asked is what the other proxy has for itself: TLS, and all that only Cutover's own can.
fn own<B: BackEnd>() -> Refusal {
    let name = B::NAME;
    Refusal::Invalid {
        message: format!(
            "this host has a {name} that is driven: that can't be asked of it, see docs/foreign-proxy.md"
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use std::fs;
    use std::sync::Arc;

    use cutover_control::{Epoch, SetStatus, Target};
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
    use tokio::time::timeout;

    use super::*;

    /// Another proxy that is told things, and refuses the one of a number.
    struct Told {
        ledgers: UnboundedSender<Ledger>,
        told: usize,
        refused: Option<usize>,
    }

    impl BackEnd for Told {
        const NAME: &'static str = "other proxy";

        fn check(&self, _: &Ledger) -> Result<(), Refusal> {
            Ok(())
        }

        async fn apply(&mut self, ledger: &Ledger) -> Result<(), Refusal> {
            self.told += 1;
            if self.refused == Some(self.told) {
                return Err(Refusal::Unconfirmed { message: "not now".to_owned() });
            }
            self.ledgers.send(ledger.clone()).unwrap();
            Ok(())
        }

        async fn lingers(&self) -> bool {
            false
        }

        async fn count(&mut self) -> Result<(), Refusal> {
            Ok(())
        }

        fn fill(&self, _: &str, _: &mut SetStatus) {}
    }

    fn switch(sequence: u64) -> Switch {
        let epoch = Epoch { journal: "j".to_owned(), sequence };
        let address = format!("127.0.0.1:{sequence}").parse().unwrap();
        let targets = vec![Target { replica: format!("app-{sequence}"), address }];
        Switch::new("production/app".parse().unwrap(), epoch, &format!("d{sequence}"), "r", targets)
    }

    /// A driver whose state can't be written, and what the other proxy does.
    async fn scene(refused: Option<usize>) -> (Arc<Driver<Told>>, UnboundedReceiver<Ledger>, Ledger) {
        let folder = tempfile::tempdir().unwrap();
        let (store, mut ledger) = Store::open(folder.path()).unwrap();
        ledger.switch(&switch(1)).unwrap();
        let displaced = Displaced::open(folder.path()).unwrap();
        let (ledgers, mut does) = unbounded_channel();
        let back_end = Told { ledgers, told: 0, refused };
        let driver = Driver::start(store, ledger.clone(), displaced, back_end).await;
        assert_eq!(does.recv().await.unwrap(), ledger);
        fs::remove_dir_all(folder.path()).unwrap();
        (Arc::new(driver), does, ledger)
    }

    #[tokio::test(start_paused = true)]
    async fn a_canary_that_can_not_be_kept_loses_its_share_even_if_that_fails_at_first() {
        // The third is to put it back.
        let (driver, mut does, before) = scene(Some(3)).await;
        let ending = Arc::clone(&driver);
        let ending = tokio::spawn(async move { ending.end_canaries().await });
        tokio::task::yield_now().await;
        let (switch, hold_ms) = (switch(2), 600_000);
        let canary = Canary { switch, weight: 500, hold_ms, sticky: false, choose: None, mirror: 0 };
        let mut next = before.clone();
        next.canary(&canary, driver.held.lock().await.clock.after(hold_ms)).unwrap();
        let mut held = driver.held.lock().await;
        let refused = driver.commit(&mut held, next.clone()).await;
        drop(held);
        assert!(matches!(refused, Err(Refusal::Storage { .. })), "{refused:?}");
        assert_eq!(does.recv().await.unwrap(), next);
        let put_back = timeout(10 * TRY_AGAIN, does.recv()).await.expect("it keeps its share");
        assert_eq!(put_back.unwrap(), before);
        ending.abort();
    }

    #[tokio::test]
    async fn what_can_not_be_noted_as_displaced_is_put_back() {
        let (driver, mut does, before) = scene(None).await;
        let mut next = before.clone();
        next.switch(&switch(2)).unwrap();
        let mut held = driver.held.lock().await;
        let refused = driver.commit(&mut held, next.clone()).await;
        assert!(matches!(refused, Err(Refusal::Storage { .. })), "{refused:?}");
        assert_eq!((does.recv().await.unwrap(), does.recv().await.unwrap()), (next, before.clone()));
        assert_eq!(held.ledger, before);
    }
}
