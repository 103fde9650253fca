//! The proxies of a service's hosts: they keep its certificate and the account, and nothing else does.

use cutover_control::{Account, Certificate, Challenge, ServiceStatus};
use cutover_core::{HostName, JournalId, ServiceKey, Timestamp};
use cutover_fleet::{Fleet, Machine, key_of};
use futures_util::future::join_all;

use super::error::Error;
use super::step::{Found, Seen};
use super::wanted::Wanted;
use crate::leaf;

/// The proxies of a service's hosts.
pub(crate) struct Proxies<'a> {
    key: &'a ServiceKey,
    machines: Vec<Machine>,
}

impl<'a> Proxies<'a> {
    /// Those of the hosts where a certificate is wanted.
    pub(crate) fn of(fleet: &Fleet, key: &'a ServiceKey, wanted: &Wanted) -> Self {
        Self { key, machines: wanted.hosts.iter().map(|host| fleet.machine(host)).collect() }
    }

    /// What each shows for the service, if it still obeys this journal.
    pub(crate) async fn seen(&self, journal: &JournalId) -> Vec<Seen> {
        let see = async |machine: &Machine| {
            let found = match machine.proxy().service(self.key).await {
                Ok(service) => Found::of(service, journal),
                Err(error) => {
                    let (service, host) = (self.key, machine.name());
                    tracing::warn!(%service, %host, error = %causes(&error), "a proxy can't be asked for its certificates");
                    Found::Silent
                }
            };
            Seen { host: machine.name().clone(), found }
        };
        join_all(self.machines.iter().map(see)).await
    }

    /// Makes all answer an authority.
    ///
    /// # Errors
    /// None of them can be told.
    pub(crate) async fn answer(&self, challenge: &Challenge) -> Result<(), Error> {
        let answer = async |machine: &Machine| machine.proxy().answer(challenge.clone()).await;
        self.told(join_all(self.machines.iter().map(answer)).await)
    }

    /// Makes all keep an account.
    ///
    /// # Errors
    /// None of them can be told.
    pub(crate) async fn keep(&self, account: &Account) -> Result<(), Error> {
        let keep = async |machine: &Machine| machine.proxy().keep_account(account.clone()).await;
        self.told(join_all(self.machines.iter().map(keep)).await)
    }

    /// The account at an authority, from the first that has it; none: no proxy that could be asked has one.
    ///
    /// # Errors
    /// None of them can be asked.
    pub(crate) async fn account(&self, directory: &str) -> Result<Option<Account>, Error> {
        let mut asked = Vec::new();
        for machine in &self.machines {
            let told = machine.proxy().certificates().await;
            let told =
                told.map(|(_, accounts)| accounts.into_iter().find(|kept| kept.directory == directory));
            if let Ok(Some(account)) = told {
                return Ok(Some(account));
            }
            asked.push(told.map(drop));
        }
        self.told(asked).map(|()| None)
    }

    /// Makes all show a certificate that was just ordered. Where that fails, it is brought later.
    ///
    /// # Errors
    /// None of them shows it.
    pub(crate) async fn certify(
        &self,
        certificate: &Certificate,
        wanted: &Wanted,
        now: Timestamp,
    ) -> Result<(), Error> {
        let certify = async |machine: &Machine| self.show(machine, certificate, wanted, now).await;
        let mut failed = None;
        let mut is_shown = false;
        for shown in join_all(self.machines.iter().map(certify)).await {
            match shown {
                Ok(()) => is_shown = true,
                Err(error) => {
                    tracing::warn!(service = %self.key, error = %causes(&error), "a certificate is not shown yet");
                    failed = Some(error);
                }
            }
        }
        failed.filter(|_| !is_shown).map_or(Ok(()), Err)
    }

    /// Brings the certificate, and the account that it was ordered with, from one host to others.
    ///
    /// # Errors
    /// Why it has failed with the last one with which it has; all that could be told have it then.
    pub(crate) async fn bring(
        &self,
        from: &HostName,
        to: &[HostName],
        wanted: &Wanted,
        now: Timestamp,
    ) -> Result<(), Error> {
        let Some(source) = self.machines.iter().find(|machine| machine.name() == from) else { return Ok(()) };
        let (certificates, accounts) = source.proxy().certificates().await?;
        let account = accounts.into_iter().find(|account| account.directory == wanted.acme.directory);
        let key = key_of(self.key);
        let own = certificates.into_iter().filter(|(of, _)| *of == key).filter_map(|(_, certificate)| {
            let status = leaf::read(&certificate).filter(|status| wanted.suits(status, now))?;
            Some((status.not_after, certificate))
        });
        let Some((_, certificate)) = own.max_by_key(|(until, _)| *until) else {
            return Err(Error::NoCertificate { host: from.clone() });
        };
        let bring = async |machine: &Machine| {
            self.show(machine, &certificate, wanted, now).await?;
            if let Some(account) = account.clone() {
                machine.proxy().keep_account(account).await?;
            }
            Ok(())
        };
        let mut brought = Ok(());
        for machine in self.machines.iter().filter(|machine| to.contains(machine.name())) {
            let (service, host) = (self.key, machine.name());
            match bring(machine).await {
                Ok(()) => tracing::info!(%service, %host, %from, "a certificate is brought"),
                Err(error) => {
                    tracing::warn!(%service, %host, error = %causes(&error), "a certificate could not be brought");
                    brought = Err(error);
                }
            }
        }
        brought
    }

    /// Makes one show a certificate. It isn't believed because it was answered.
    async fn show(
        &self,
        machine: &Machine,
        certificate: &Certificate,
        wanted: &Wanted,
        now: Timestamp,
    ) -> Result<(), Error> {
        let shown = machine.proxy().certify(self.key, certificate.clone()).await?;
        if wanted.suits(&shown, now) {
            return Ok(());
        }
        Err(Error::NotShown {
            host: machine.name().clone(),
            names: wanted.names.join(", "),
            shown: shown.names.join(", "),
        })
    }

    /// Says who could not be asked or told; an error where that is everybody.
    fn told(&self, told: Vec<Result<(), cutover_fleet::Error>>) -> Result<(), Error> {
        let all = told.len();
        let failed: Vec<_> = told.into_iter().filter_map(Result::err).collect();
        for error in &failed {
            tracing::warn!(service = %self.key, error = %causes(error), "a proxy could not be asked or told");
        }
        let everybody = failed.len() == all;
        failed.into_iter().next().filter(|_| everybody).map_or(Ok(()), |error| Err(error.into()))
    }
}

impl Found {
    /// What a proxy that answers says of the service.
    fn of(service: Option<ServiceStatus>, journal: &JournalId) -> Self {
        match service {
            Some(service) if service.epoch.journal != journal.0 => Self::Foreign,
            service => Self::Shown(service.map(|service| service.certificates).unwrap_or_default()),
        }
    }
}

/// An error and its causes in one line.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    cutover_core::Failure::of(error, true).message
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_control::Epoch;
    use cutover_core::{Acme, HostSpec, Proof};
    use cutover_host::{Hosts, SshOptions};

    use super::*;

    #[test]
    fn a_service_that_obeys_another_journal_is_not_ours() {
        let status = |journal: &str| {
            let epoch = Epoch { journal: journal.to_owned(), sequence: 1 };
            ServiceStatus::new(cutover_control::ServiceKey::new("production", "shop"), epoch)
        };
        let journal = JournalId("ours".to_owned());
        assert_eq!(Found::of(Some(status("other")), &journal), Found::Foreign);
        for service in [Some(status("ours")), None] {
            assert_eq!(Found::of(service, &journal), Found::Shown(Vec::new()));
        }
    }

    #[tokio::test]
    async fn that_no_proxy_can_be_asked_for_an_account_does_not_mean_that_there_is_none() {
        let hosts = Hosts::new(SshOptions::new("/nonexistent"), "/nonexistent");
        let fleet = Fleet::new(hosts.clone());
        let spec =
            HostSpec { name: "127.0.0.9".parse().unwrap(), port: 22, user: "root".into(), host_key: None };
        fleet.put(&spec, Machine::new(spec.name.clone(), hosts.local()).with_socket("/nonexistent".into()));
        let directory = "https://ca.example/dir".to_owned();
        let wanted = Wanted {
            deployment: "01jd0000000000000000000000".parse().unwrap(),
            names: vec!["x.example".into()],
            acme: Acme { directory: directory.clone(), email: None, proof: Proof::Http },
            hosts: vec![spec],
        };
        let key = ServiceKey { destination: "production".parse().unwrap(), service: "shop".parse().unwrap() };
        let asked = Proxies::of(&fleet, &key, &wanted).account(&directory).await;
        assert!(matches!(asked, Err(Error::Fleet(_))), "{asked:?}");
    }
}
