//! Certificate authorities, asked over ACME (RFC 8555).

use std::path::PathBuf;

use cutover_control::{Account, Certificate, Challenge, SecretText};
use cutover_core::{Acme, Proof};
use instant_acme::{
    AccountBuilder, AuthorizationStatus, ChallengeType, Identifier, NewAccount, NewOrder, Order, OrderStatus,
    Problem, RetryPolicy,
};

use super::error::Error;
use super::proxies::Proxies;

/// What an authority says of an account that it doesn't have, or has no more (RFC 8555, 6.7).
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// How long is waited for an authority's verdict, and then for the certificate.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(std::time::Duration::from_secs(120));

/// The way to certificate authorities.
#[derive(Debug)]
pub(crate) struct Authorities {
    /// What their servers are known by; none: the roots that the system trusts.
    root: Option<PathBuf>,
}

impl Authorities {
    pub(crate) const fn new(root: Option<PathBuf>) -> Self {
        Self { root }
    }

    /// Orders a certificate for `names`; the proxies answer what the authority asks. With the account that one of them keeps, or,
    /// where none of them has one, a new one, which they keep from then on.
    pub(crate) async fn order(
        &self,
        acme: &Acme,
        names: &[String],
        proxies: &Proxies<'_>,
    ) -> Result<Certificate, Error> {
        let identifiers: Vec<_> = names.iter().cloned().map(Identifier::Dns).collect();
        let order = NewOrder::new(&identifiers);
        let made = match proxies.account(&acme.directory).await? {
            Some(kept) => match self.kept(&kept).await?.new_order(&order).await {
                Err(instant_acme::Error::Api(problem)) if problem.r#type.as_deref() == Some(NO_ACCOUNT) => {
                    tracing::warn!(directory = acme.directory, "the authority has lost the account");
                    self.register(acme, proxies).await?.new_order(&order).await
                }
                made => made,
            },
            None => self.register(acme, proxies).await?.new_order(&order).await,
        };
        let mut order = made.map_err(|source| failed("taking the order", source))?;
        prove(&mut order, acme.proof, proxies).await?;
        let key = order.finalize().await.map_err(|source| failed("signing the certificate", source))?;
        let key = SecretText::new(key);
        let chain = order.poll_certificate(&PATIENCE).await;
        let chain = chain.map_err(|source| failed("signing the certificate", source))?;
        Ok(Certificate { chain, key, ordered_from: Some(acme.directory.clone()) })
    }

    async fn kept(&self, kept: &Account) -> Result<instant_acme::Account, Error> {
        let credentials = serde_json::from_str(kept.credentials.expose()).map_err(|_| Error::Account)?;
        let account = self.builder()?.from_credentials(credentials).await;
        account.map_err(|source| failed("saying where orders are taken", source))
    }

    /// A new account. The proxies keep it before anything is ordered with it.
    async fn register(&self, acme: &Acme, proxies: &Proxies<'_>) -> Result<instant_acme::Account, Error> {
        let contact = acme.email.as_ref().map(|email| format!("mailto:{email}"));
        let contact: Vec<&str> = contact.as_deref().into_iter().collect();
        let new =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let made = self.builder()?.create(&new, acme.directory.clone(), None).await;
        let (account, credentials) = made.map_err(|source| failed("making an account", source))?;
        let credentials = SecretText::new(serde_json::to_string(&credentials).map_err(|_| Error::Account)?);
        proxies.keep(&Account { directory: acme.directory.clone(), credentials }).await?;
        tracing::info!(directory = acme.directory, account = account.id(), "an account is made");
        Ok(account)
    }

    fn builder(&self) -> Result<AccountBuilder, Error> {
        let builder = match &self.root {
            Some(root) => instant_acme::Account::builder_with_root(root),
            None => instant_acme::Account::builder(),
        };
        builder.map_err(|source| Error::Roots { source: Box::new(source) })
    }
}

/// Shows the authority that every name leads to the proxies.
async fn prove(order: &mut Order, proof: Proof, proxies: &Proxies<'_>) -> Result<(), Error> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(|source| failed("saying what it asks", source))?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let host = authorization.identifier().to_string();
        let kind = match proof {
            Proof::Http => ChallengeType::Http01,
            Proof::Handshake => ChallengeType::TlsAlpn01,
        };
        let Some(mut challenge) = authorization.challenge(kind) else {
            return Err(Error::NoChallenge { name: host });
        };
        let answer = challenge.key_authorization();
        let asked = match proof {
            Proof::Http => {
                Challenge::Http01 { token: challenge.token.clone(), answer: answer.as_str().to_owned() }
            }
            Proof::Handshake => Challenge::TlsAlpn01 { host, digest: hex::encode(answer.digest()) },
        };
        proxies.answer(&asked).await?;
        challenge.set_ready().await.map_err(|source| failed("asking", source))?;
    }
    match order.poll_ready(&PATIENCE).await {
        Ok(OrderStatus::Ready | OrderStatus::Valid) => Ok(()),
        Ok(_) | Err(instant_acme::Error::Api(_)) => Err(refused(order).await),
        Err(source) => Err(failed("asking", source)),
    }
}

/// Why an order was refused: the words of the authority on the name that failed.
async fn refused(order: &mut Order) -> Error {
    let of_order = order.state().error.clone();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if authorization.refresh().await.is_err() {
            continue;
        }
        let problem = authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = problem {
            return Error::Refused { name: authorization.identifier().to_string(), problem: words(problem) };
        }
    }
    let source = of_order.map_or(instant_acme::Error::Str("a reason"), instant_acme::Error::Api);
    failed("asking", source)
}

/// What a problem document says (RFC 7807), its type in the end.
fn words(problem: &Problem) -> String {
    let detail = problem.detail.as_deref().unwrap_or("no reason is given");
    match problem.r#type.as_deref().map(|kind| kind.rsplit(':').next().unwrap_or(kind)) {
        Some(kind) => format!("{detail} ({kind})"),
        None => detail.to_owned(),
    }
}

fn failed(doing: &'static str, source: instant_acme::Error) -> Error {
    Error::Authority { doing, source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_known_by_the_roots_of_the_system_unless_another_is_named() {
        assert!(Authorities::new(None).builder().is_ok());
        let error = Authorities::new(Some("/nonexistent.pem".into())).builder().err();
        let told = error.map(|error| super::super::proxies::causes(&error)).unwrap_or_default();
        assert!(told.contains("CUTOVER_ACME_ROOT"), "{told}");
    }
}
