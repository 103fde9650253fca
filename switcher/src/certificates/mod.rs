//! The duty of the certificates: what a service lacks is brought from one proxy to the others, or ordered, and ordered
//! anew before it ends.

mod authority;
mod error;
mod proxies;
mod step;
mod wanted;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cutover_bus::{Held, StandingWork};
use cutover_control::Certificate;
use cutover_core::{CertificateNote, Duty, FailedOrder, IssuedOrder, ServiceKey, Timestamp};
use cutover_fleet::Fleet;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use authority::Authorities;
use error::Error;
use proxies::{Proxies, causes};
use step::{Step, step};
use wanted::Wanted;

use crate::leaf;

/// Names a file with the certificate, in PEM, that the servers of authorities are known by, in the place of the roots that the
/// system trusts.
const ROOT: &str = "CUTOVER_ACME_ROOT";

/// So often it is looked whether something else is served than before.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How long what failed for another reason than an order is left alone.
const AGAIN: Duration = Duration::from_mins(1);
/// How long an order may take.
const ORDER_LIMIT: Duration = Duration::from_mins(5);

/// The certificates of the services whose lease this program holds.
#[derive(Debug)]
pub struct Certificates {
    fleet: Fleet,
    authorities: Authorities,
    /// One order at a time: the first one of all makes the account that the others use.
    one: Mutex<()>,
    /// What was issued and no proxy shows yet. An authority that has issued it doesn't do so again and again.
    in_hand: Mutex<HashMap<ServiceKey, Certificate>>,
}

impl Certificates {
    /// Those of hosts that are reached through `fleet`. `root` is what the servers of authorities are known by, in PEM; none: the
    /// roots that the system trusts.
    pub fn new(fleet: Fleet, root: Option<PathBuf>) -> Self {
        let (one, in_hand) = (Mutex::default(), Mutex::default());
        Self { fleet, authorities: Authorities::new(root), one, in_hand }
    }

    /// The same, with the root that the environment names.
    pub fn from_environment(fleet: Fleet) -> Self {
        Self::new(fleet, std::env::var_os(ROOT).filter(|root| !root.is_empty()).map(PathBuf::from))
    }

    /// Does what is due first for a service; answers with how long nothing else is.
    async fn look(&self, held: &Held, wanted: &Wanted) -> Result<Duration, cutover_bus::Error> {
        let key = held.key();
        let proxies = Proxies::of(&self.fleet, key, wanted);
        let mut note: CertificateNote = held.note().await?.unwrap_or_default();
        let seen = proxies.seen(held.journal_id()).await;
        let in_hand = self.in_hand.lock().await.get(key).and_then(leaf::read);
        Ok(match step(wanted, &seen, in_hand.as_ref(), &note.orders, now()) {
            Step::Place => self.place(key, wanted, &proxies).await,
            Step::Bring { from, to } => match proxies.bring(&from, &to, wanted, now()).await {
                Ok(()) => Duration::ZERO,
                Err(error) => {
                    tracing::warn!(service = %key, error = %causes(&error), "not every proxy shows the certificate");
                    AGAIN
                }
            },
            Step::Order => {
                // Written down before: whoever is broken off has ordered all the same.
                let (deployment, at) = (wanted.deployment.clone(), now());
                note.orders.add(FailedOrder { deployment, at, reason: "it was broken off".to_owned() });
                held.set_note(&note).await?;
                let ordered = self.order(key, wanted, &proxies).await;
                let is_issued = ordered.is_ok();
                match ordered {
                    Ok(issued) => note.orders.issue(issued),
                    Err(error) => note.orders.explain(causes(&error)),
                }
                let noted = held.set_note(&note).await;
                let next = if is_issued { self.place(key, wanted, &proxies).await } else { Duration::ZERO };
                noted?;
                next
            }
            Step::Rest(wait, shown) => {
                self.in_hand.lock().await.remove(key);
                let mut well = CertificateNote { shown: Some(shown), orders: note.orders.clone() };
                well.orders.settle(now());
                if note != well {
                    held.set_note(&well).await?;
                }
                wait
            }
            Step::Wait(wait) => wait,
        })
    }

    /// Orders a certificate, which is in hand then.
    async fn order(
        &self,
        key: &ServiceKey,
        wanted: &Wanted,
        proxies: &Proxies<'_>,
    ) -> Result<IssuedOrder, Error> {
        let _one = self.one.lock().await;
        let order = async {
            let certificate = self.authorities.order(&wanted.acme, &wanted.names, proxies).await?;
            let until = leaf::read(&certificate).ok_or(Error::Unreadable)?.not_after;
            self.in_hand.lock().await.insert(key.clone(), certificate);
            let (names, directory) = (wanted.names.clone(), wanted.acme.directory.clone());
            Ok(IssuedOrder { names, directory, at: now(), until: step::seconds(until) })
        };
        let ordered = timeout(ORDER_LIMIT, order).await.unwrap_or(Err(Error::Late { limit: ORDER_LIMIT }));
        let names = wanted.names.join(", ");
        match &ordered {
            Ok(_) => tracing::info!(service = %key, names, "a certificate is issued"),
            Err(error) => {
                tracing::warn!(service = %key, names, error = %causes(error), "a certificate could not be ordered");
            }
        }
        ordered
    }

    /// Puts what is in hand onto the proxies; answers with how long it is left alone where none of them takes it. Where some
    /// do, the others get it from them.
    async fn place(&self, key: &ServiceKey, wanted: &Wanted, proxies: &Proxies<'_>) -> Duration {
        let Some(certificate) = self.in_hand.lock().await.get(key).cloned() else { return Duration::ZERO };
        match proxies.certify(&certificate, wanted, now()).await {
            Ok(()) => {
                self.in_hand.lock().await.remove(key);
                Duration::ZERO
            }
            Err(error) => {
                tracing::warn!(service = %key, error = %causes(&error), "no proxy shows the certificate yet");
                AGAIN
            }
        }
    }
}

impl StandingWork for Certificates {
    const DUTY: Duty = Duty::Certificates;

    async fn hold(&self, held: Held) {
        let (mut before, mut next) = (None, Instant::now());
        loop {
            let looked = async {
                let wanted = Wanted::of(&held.service().await?);
                if let Some(wanted) = &wanted
                    && (before.as_ref() != Some(wanted) || next <= Instant::now())
                {
                    next = Instant::now() + self.look(&held, wanted).await?;
                }
                before = wanted;
                Ok::<(), cutover_bus::Error>(())
            };
            if let Err(error) = looked.await {
                tracing::warn!(service = %held.key(), %error, "the certificate could not be looked after");
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

/// The time by this machine's clock.
fn now() -> Timestamp {
    Timestamp::default().after(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}
