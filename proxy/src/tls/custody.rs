use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use cutover_control::{
    Account, Certificate, CertificateStatus, Challenge, Refusal, Response, ServiceKey, encode_reply,
};
use serde::{Deserialize, Serialize};

use super::{Certified, Tls};
use crate::control::Store;
use crate::error::Error;

/// What was entrusted to the proxy, as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Keyring {
    /// The one of each service that it was certified last.
    certificates: BTreeMap<ServiceKey, Certificate>,
    /// Those before that one that have names which it lacks, the oldest first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    earlier: BTreeMap<ServiceKey, Vec<Certificate>>,
    /// The one that was told last, as older versions keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<Account>,
    /// By the URL of the directory.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    accounts: BTreeMap<String, Account>,
}

/// Keeps certificates with their keys, and accounts; what is kept is durable before it is shown.
#[derive(Debug)]
pub(crate) struct Custody {
    store: Store,
    tls: Arc<Tls>,
    keyring: Keyring,
    /// In the same order.
    certified: BTreeMap<ServiceKey, Vec<Arc<Certified>>>,
}

impl Custody {
    /// Takes up what is stored, and shows it.
    ///
    /// # Errors
    ///
    /// When it can't be read, or a certificate of it can't be shown.
    pub(crate) fn open(store: Store, tls: Arc<Tls>) -> Result<Self, Error> {
        let mut keyring = store.keyring()?;
        if let Some(account) = keyring.account.take() {
            keyring.keep(account);
        }
        let mut certified = BTreeMap::new();
        for key in keyring.certificates.keys() {
            let read =
                keyring.of(key).map(|certificate| Certified::read(certificate, &tls.terms).map(Arc::new));
            let read: Result<Vec<_>, _> = read.collect();
            let read = read.map_err(|unfit| store.damaged_keyring(format_args!("{key}: {unfit}")))?;
            certified.insert(key.clone(), read);
        }
        tls.show(certified.values().map(Vec::as_slice));
        Ok(Self { store, tls, keyring, certified })
    }

    /// What a service shows, the one that it was certified last in the end.
    pub(crate) fn status(&self, key: &ServiceKey) -> Vec<CertificateStatus> {
        self.certified.get(key).into_iter().flatten().map(|certified| certified.status().clone()).collect()
    }

    /// Shows a certificate from now on, unless it was ordered, and the one that came before it from there is as good. Those that
    /// have other names stay.
    ///
    /// # Errors
    ///
    /// [`Refusal::Invalid`], [`Refusal::Storage`].
    pub(crate) async fn certify(
        &mut self,
        key: ServiceKey,
        certificate: Certificate,
    ) -> Result<Response, Refusal> {
        let invalid = |why: String| Refusal::Invalid { message: format!("{key}: {why}") };
        let certified =
            Certified::read(&certificate, &self.tls.terms).map_err(|unfit| invalid(unfit.to_string()))?;
        let status = certified.status();
        if status.not_after <= unix_time() {
            return Err(invalid("the certificate is over".to_owned()));
        }
        if self.keyring.certificates.get(&key) == Some(&certificate) {
            return Ok(Response::Certified { certificate: status.clone() });
        }
        let known = self.certified.get(&key).map(Vec::as_slice).unwrap_or_default();
        if let Some(better) = known.iter().find(|known| is_earlier(status, known.status())) {
            return Ok(Response::Certified { certificate: better.status().clone() });
        }
        let is_over = |known: &Certified| known.status().not_after <= unix_time();
        let is_covered = |known: &Certified| known.status().names.iter().all(|name| certified.is_for(name));
        let mut all = self.kept(&key, |known| !is_over(known) && !is_covered(known));
        let status = status.clone();
        all.push((certificate, Arc::new(certified)));
        self.keep(key.clone(), all).await?;
        tracing::info!(%key, names = status.names.join(" "), issuer = status.issuer, "certified");
        Ok(Response::Certified { certificate: status })
    }

    /// A service has these hosts, on all of its ports, and won't go back to others: gives up what is for none of them, but for the one that it was
    /// certified last.
    ///
    /// # Errors
    ///
    /// [`Refusal::Storage`].
    pub(crate) async fn forget_others(&mut self, key: &ServiceKey, hosts: &[&str]) -> Result<(), Refusal> {
        let known = self.certified.get(key).map(Vec::as_slice).unwrap_or_default();
        let last = known.last();
        let all = self.kept(key, |known| {
            let is_last = last.is_some_and(|last| Arc::ptr_eq(last, known));
            is_last || hosts.is_empty() || hosts.iter().any(|host| known.is_for(host))
        });
        if all.len() == known.len() { Ok(()) } else { self.keep(key.clone(), all).await }
    }

    /// Those of a service that are to stay.
    fn kept(
        &self,
        key: &ServiceKey,
        stays: impl Fn(&Arc<Certified>) -> bool,
    ) -> Vec<(Certificate, Arc<Certified>)> {
        let certified = self.certified.get(key).into_iter().flatten();
        let all = self.keyring.of(key).zip(certified).filter(|(_, certified)| stays(certified));
        all.map(|(certificate, certified)| (certificate.clone(), Arc::clone(certified))).collect()
    }

    /// Keeps and shows these of a service, and no others.
    async fn keep(
        &mut self,
        key: ServiceKey,
        all: Vec<(Certificate, Arc<Certified>)>,
    ) -> Result<(), Refusal> {
        let (mut certificates, certified): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        let mut next = self.keyring.clone();
        next.certificates.extend(certificates.pop().map(|last| (key.clone(), last)));
        next.earlier.insert(key.clone(), certificates);
        next.earlier.retain(|_, earlier| !earlier.is_empty());
        encode_reply(&Ok(next.told()))
            .map_err(|error| Refusal::Invalid { message: format!("{key}: no room for it: {error}") })?;
        self.store.keep_keyring(&next).await?;
        self.keyring = next;
        self.certified.insert(key, certified);
        self.tls.show(self.certified.values().map(Vec::as_slice));
        Ok(())
    }

    /// All of it.
    pub(crate) fn told(&self) -> Response {
        self.keyring.told()
    }

    /// Keeps an account in place of the one at the same authority.
    ///
    /// # Errors
    ///
    /// [`Refusal::Storage`].
    pub(crate) async fn keep_account(&mut self, account: Account) -> Result<Response, Refusal> {
        let mut next = self.keyring.clone();
        next.keep(account);
        if next != self.keyring {
            encode_reply(&Ok(next.told()))
                .map_err(|error| Refusal::Invalid { message: format!("no room for the account: {error}") })?;
            self.store.keep_keyring(&next).await?;
            self.keyring = next;
        }
        Ok(Response::Kept)
    }

    /// Answers a certificate authority from now on.
    ///
    /// # Errors
    ///
    /// [`Refusal::Invalid`].
    pub(crate) fn answer(&self, challenge: Challenge) -> Result<Response, Refusal> {
        let answered = self.tls.challenges.answer(challenge, &self.tls.terms);
        answered.map_err(|error| Refusal::Invalid { message: error.to_string() })?;
        Ok(Response::Answering)
    }

    /// What a certificate authority may still ask.
    pub(crate) fn challenges(&self) -> Vec<Challenge> {
        self.tls.challenges.standing()
    }
}

impl Keyring {
    fn keep(&mut self, account: Account) {
        self.accounts.insert(account.directory.clone(), account.clone());
        self.account = Some(account);
    }

    /// Those of a service, the one that it was certified last in the end.
    fn of(&self, key: &ServiceKey) -> impl Iterator<Item = &Certificate> {
        self.earlier.get(key).into_iter().flatten().chain(self.certificates.get(key))
    }

    /// For clients that look for one of each service, the last one comes first.
    fn told(&self) -> Response {
        let earlier = self.earlier.iter().flat_map(|(key, all)| all.iter().map(move |one| (key, one)));
        let all = self.certificates.iter().chain(earlier);
        let certificates = all.map(|(key, certificate)| (key.clone(), certificate.clone()));
        Response::Certificates {
            certificates: certificates.collect(),
            account: self.account.clone(),
            accounts: self.accounts.values().cloned().collect(),
        }
    }
}

/// Two that were ordered one after the other come in any order: the one that ends last stays, where it has all names. What
/// somebody brings of his own takes its place in any case.
fn is_earlier(fresh: &CertificateStatus, known: &CertificateStatus) -> bool {
    fresh.ordered_from.is_some()
        && fresh.ordered_from == known.ordered_from
        && fresh.not_after < known.not_after
        && fresh.names.iter().all(|name| known.names.contains(name))
}

/// The time, in seconds of Unix time.
pub(super) fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
