//! All places that values come from.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::sync::Arc;

use cutover_core::Reference;
use futures_util::FutureExt;

use crate::allowance::{Allowance, VARIABLE};
use crate::field::Field;
use crate::variables::Variables;
use crate::{Error, Secret, aws, vault};

/// The places that values come from, and what of them is allowed. Nothing is kept from one call to the next, neither values
/// nor logins.
#[derive(Clone, Debug)]
pub struct Stores {
    variables: Variables,
}

/// A value, and which one it is.
#[derive(Clone, Debug)]
pub struct Found {
    /// The value.
    pub value: Secret,
    /// Its version, where it comes from a store that has versions.
    pub version: Option<String>,
}

impl Stores {
    /// By the environment of this process.
    pub const fn from_environment() -> Self {
        Self { variables: Variables::Process }
    }

    /// By other variables. AWS is entered by those of this process in any case.
    pub fn with(variables: impl IntoIterator<Item = (String, Secret)>) -> Self {
        Self { variables: Variables::Given(variables.into_iter().collect()) }
    }

    /// Looks for the values of references to stores of secrets, and answers in their order. Others have none here.
    pub async fn find<'a>(
        &self,
        references: impl IntoIterator<Item = &'a Reference>,
    ) -> Vec<Result<Found, Error>> {
        let references: Vec<&Reference> = references.into_iter().collect();
        let allowed: Vec<Result<(), Error>> =
            references.iter().map(|reference| self.check(reference)).collect();
        let (mut in_vault, mut in_aws) = (BTreeSet::new(), BTreeSet::new());
        for (reference, allowed) in references.iter().zip(&allowed) {
            match (reference, allowed) {
                (Reference::Vault(secret), Ok(())) => drop(in_vault.insert(vault::address(secret))),
                (Reference::Aws(secret), Ok(())) => drop(in_aws.insert(aws::Address::of(secret))),
                _ => {}
            }
        }
        let (in_vault, in_aws) = tokio::join!(self.read_vault(in_vault), Self::read_aws(in_aws));
        let mut found = Vec::with_capacity(references.len());
        for (reference, allowed) in references.into_iter().zip(allowed) {
            found.push(match (allowed, reference) {
                (Err(error), _) => Err(error),
                (Ok(()), Reference::Environment(_) | Reference::File(_) | Reference::Command(_)) => {
                    Err(Error::Persons(reference.clone()))
                }
                (Ok(()), Reference::Vault(secret)) => {
                    of_vault(reference, &secret.key, in_vault.get(&vault::address(secret)))
                }
                (Ok(()), Reference::Aws(secret)) => {
                    of_aws(reference, secret.key.as_deref(), in_aws.get(&aws::Address::of(secret)))
                }
            });
        }
        found
    }

    async fn read_vault(
        &self,
        addresses: BTreeSet<vault::Address>,
    ) -> Entries<vault::Address, vault::Entry, vault::Error> {
        if addresses.is_empty() {
            return BTreeMap::new();
        }
        Box::pin(vault::read_all(vault::Settings::of(&self.variables), addresses)).await
    }

    async fn read_aws(addresses: BTreeSet<aws::Address>) -> Entries<aws::Address, aws::Entry, aws::Error> {
        if addresses.is_empty() { BTreeMap::new() } else { aws::read_all(addresses).boxed().await }
    }

    /// A variable of its environment.
    pub(crate) fn variable(&self, name: &str) -> Option<OsString> {
        self.variables.get(name)
    }

    /// Refuses what the operator has not allowed.
    fn check(&self, reference: &Reference) -> Result<(), Error> {
        if !reference.is_remote() || self.allowance()?.allows(reference) {
            Ok(())
        } else {
            Err(Error::NotAllowed(reference.clone()))
        }
    }

    fn allowance(&self) -> Result<Allowance, Error> {
        Ok(self.variables.text(VARIABLE).unwrap_or_default().parse()?)
    }

    /// How Vault is entered; none where nothing of it is allowed, or nothing is said of it.
    pub(crate) fn vault(&self) -> Option<vault::Settings> {
        self.allowance().ok().filter(Allowance::has_vault)?;
        vault::Settings::of(&self.variables).ok()
    }
}

impl Found {
    pub(crate) const fn of(value: Secret) -> Self {
        Self { value, version: None }
    }
}

/// What a store answered, by what it was asked for.
type Entries<A, E, R> = BTreeMap<A, Result<E, Arc<R>>>;

fn of_vault(
    reference: &Reference,
    key: &str,
    entry: Option<&Result<vault::Entry, Arc<vault::Error>>>,
) -> Result<Found, Error> {
    match entry {
        Some(Ok(entry)) => {
            let value = field(reference, entry.fields.get(key))?;
            Ok(Found { value, version: entry.version.map(|version| version.to_string()) })
        }
        Some(Err(source)) => Err(Error::Vault { reference: reference.clone(), source: Arc::clone(source) }),
        None => Err(Error::Empty(reference.clone())),
    }
}

fn of_aws(
    reference: &Reference,
    key: Option<&str>,
    entry: Option<&Result<aws::Entry, Arc<aws::Error>>>,
) -> Result<Found, Error> {
    match (entry, key) {
        (Some(Ok(entry)), None) if entry.text.expose().is_empty() => Err(Error::Empty(reference.clone())),
        (Some(Ok(entry)), None) => Ok(Found { value: entry.text.clone(), version: entry.version.clone() }),
        (Some(Ok(entry)), Some(key)) => {
            let fields = entry.fields().ok_or_else(|| Error::NoFields(reference.clone()))?;
            Ok(Found { value: field(reference, fields.get(key))?, version: entry.version.clone() })
        }
        (Some(Err(source)), _) => {
            Err(Error::Aws { reference: reference.clone(), source: Arc::clone(source) })
        }
        (None, _) => Err(Error::Empty(reference.clone())),
    }
}

/// The text of a field.
fn field(reference: &Reference, field: Option<&Field>) -> Result<Secret, Error> {
    match field {
        Some(Field::Text(value)) if value.expose().is_empty() => Err(Error::Empty(reference.clone())),
        Some(Field::Text(value)) => Ok(value.clone()),
        Some(Field::Other) => Err(Error::OtherField(reference.clone())),
        None => Err(Error::NoField(reference.clone())),
    }
}
