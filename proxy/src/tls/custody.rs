use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use cutover_control::{
    Account, Certificate, CertificateStatus, Challenge, Refusal, Response, ServiceKey, encode_reply,
};
use serde::{Deserialize, Serialize};

use super::{Certified, Tls};
use crate::error::Error;
use crate::store::Store;

/// What was entrusted to the proxy, as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Keyring {
    certificates: BTreeMap<ServiceKey, Certificate>,
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
    certified: BTreeMap<ServiceKey, Arc<Certified>>,
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
        for (key, certificate) in &keyring.certificates {
            let read = Certified::read(certificate, &tls.terms);
            let read = read.map_err(|unfit| store.damaged_keyring(format_args!("{key}: {unfit}")))?;
            certified.insert(key.clone(), Arc::new(read));
        }
        tls.show(certified.values());
        Ok(Self { store, tls, keyring, certified })
    }

    /// What a service shows.
    pub(crate) fn status(&self, key: &ServiceKey) -> Vec<CertificateStatus> {
        self.certified.get(key).map(|certified| certified.status().clone()).into_iter().collect()
    }

    /// Shows a certificate from now on, unless it was ordered, and the one that came before it from there is as good.
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
        if let Some(known) = self.certified.get(&key)
            && (self.keyring.certificates.get(&key) == Some(&certificate)
                || is_earlier(status, known.status()))
        {
            return Ok(Response::Certified { certificate: known.status().clone() });
        }
        let mut next = self.keyring.clone();
        next.certificates.insert(key.clone(), certificate);
        encode_reply(&Ok(next.told())).map_err(|error| invalid(format!("no room for it: {error}")))?;
        self.store.keep_keyring(&next).await?;
        self.keyring = next;
        let status = status.clone();
        tracing::info!(%key, names = status.names.join(" "), issuer = status.issuer, "certified");
        self.certified.insert(key, Arc::new(certified));
        self.tls.show(self.certified.values());
        Ok(Response::Certified { certificate: status })
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

    fn told(&self) -> Response {
        let certificates =
            self.certificates.iter().map(|(key, certificate)| (key.clone(), certificate.clone()));
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

fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
