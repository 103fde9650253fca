use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cutover_control::{ServiceKey, Target};
use serde::{Deserialize, Serialize};

use crate::control::store::{replace, state_error};
use crate::control::{Deployed, Ledger, Service};
use crate::error::Error;

/// For so long a target counts as in use once it was displaced: a request may have been on its way to a connection.
const GRACE_MS: u64 = 1_000;

/// The targets that get no new requests any more, and may have some in flight until their time is over. In a file beside
/// the ledger: the other proxy goes on with them while this program is started anew.
#[derive(Debug)]
pub(super) struct Displaced {
    path: PathBuf,
    leavers: Vec<Leaver>,
}

/// A displaced target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Leaver {
    pub(super) key: ServiceKey,
    pub(super) deployment: String,
    pub(super) release: String,
    pub(super) target: Target,
    /// When it was displaced, in milliseconds since 1970.
    since_ms: u64,
    /// For how long what it has in flight is waited for.
    drain_ms: u64,
}

impl Displaced {
    /// # Errors
    ///
    /// [`Error::State`] or [`Error::Damaged`].
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("displaced.json");
        let leavers = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|source| Error::Damaged { path: path.clone(), source })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(state_error("reading", &path, source)),
        };
        Ok(Self { path, leavers })
    }

    /// Notes what one ledger sends requests to and the other doesn't, for as long as the latter lets it drain.
    ///
    /// # Errors
    ///
    /// [`Error::State`]; it is known until the next start.
    pub(super) fn note(&mut self, before: &Ledger, after: &Ledger) -> Result<(), Error> {
        let now = now_ms();
        let known = self.leavers.clone();
        self.leavers.retain(|leaver| !leaver.is_over(now) && !serves(after, &leaver.key, &leaver.target));
        for (key, service) in &before.services {
            let drain_ms = drain_ms(after.services.get(key).unwrap_or(service));
            for deployed in service.on_duty() {
                for target in deployed.targets.iter().filter(|target| !serves(after, key, target)) {
                    self.leavers.retain(|leaver| leaver.key != *key || leaver.target != *target);
                    self.leavers.push(Leaver::new(key, deployed, target, now, drain_ms));
                }
            }
        }
        if self.leavers == known {
            return Ok(());
        }
        let text = serde_json::to_vec(&self.leavers).map_err(io::Error::from);
        let written = text.and_then(|text| replace(&self.path, &text));
        written.map_err(|source| state_error("writing", &self.path, source))
    }

    /// Those of a service whose time isn't over.
    pub(super) fn of(&self, key: &ServiceKey) -> impl Iterator<Item = &Leaver> {
        let now = now_ms();
        self.leavers.iter().filter(move |leaver| leaver.key == *key && !leaver.is_over(now))
    }
}

impl Leaver {
    fn new(key: &ServiceKey, deployed: &Deployed, target: &Target, since_ms: u64, drain_ms: u64) -> Self {
        Self {
            key: key.clone(),
            deployment: deployed.deployment.clone(),
            release: deployed.release.clone(),
            target: target.clone(),
            since_ms,
            drain_ms,
        }
    }

    fn is_over(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.since_ms) >= self.drain_ms
    }

    /// Whether it was displaced just now.
    pub(super) fn is_fresh(&self) -> bool {
        now_ms().saturating_sub(self.since_ms) < GRACE_MS
    }
}

/// The longer of both times: which connections are streams isn't known here.
fn drain_ms(service: &Service) -> u64 {
    service.drain_ms.max(service.drain_streams_ms.unwrap_or_default())
}

fn serves(ledger: &Ledger, key: &ServiceKey, target: &Target) -> bool {
    let service = ledger.services.get(key);
    service.is_some_and(|service| service.on_duty().any(|deployed| deployed.targets.contains(target)))
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cutover_control::{Epoch, Switch};

    use super::*;

    fn switch(ledger: &mut Ledger, deployment: &str, drain_ms: u64, ports: &[u16]) {
        let target = |port: &u16| Target {
            replica: format!("app-{port}"),
            address: format!("127.0.0.1:{port}").parse().unwrap(),
        };
        let (key, targets) = ("production/app".parse().unwrap(), ports.iter().map(target).collect());
        let epoch = Epoch { journal: "j1".into(), sequence: 1 };
        let switch = Switch { drain_ms, ..Switch::new(key, epoch, deployment, "r", targets) };
        ledger.switch(&switch).unwrap();
    }

    fn ports(displaced: &Displaced) -> Vec<u16> {
        let key = "production/app".parse().unwrap();
        displaced.of(&key).map(|leaver| leaver.target.address.port()).collect()
    }

    #[test]
    fn what_is_displaced_is_known_after_a_restart_until_it_serves_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut displaced = Displaced::open(folder.path()).unwrap();
        let (mut one, mut two) = (Ledger::default(), Ledger::default());
        switch(&mut one, "d1", 60_000, &[1, 2]);
        switch(&mut two, "d2", 60_000, &[2, 3]);
        displaced.note(&Ledger::default(), &one).unwrap();
        assert!(ports(&displaced).is_empty());
        displaced.note(&one, &two).unwrap();
        let mut displaced = Displaced::open(folder.path()).unwrap();
        assert_eq!(ports(&displaced), [1]);
        displaced.note(&two, &one).unwrap();
        assert_eq!(ports(&displaced), [3]);
    }

    #[test]
    fn a_time_that_is_over_is_waited_for_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut displaced = Displaced::open(folder.path()).unwrap();
        let (mut one, mut two) = (Ledger::default(), Ledger::default());
        switch(&mut one, "d1", 0, &[1]);
        switch(&mut two, "d2", 0, &[2]);
        displaced.note(&one, &two).unwrap();
        assert!(ports(&displaced).is_empty());
    }
}
