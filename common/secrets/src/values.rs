//! What the references of a deployment stand for, to one of the programs that carry it out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cutover_core::{Plan, Program, Reference, Sealed, SealedValue, ServiceKey};
use cutover_seal::{Opener, Purpose};
use zeroize::Zeroizing;

use crate::{Error, Found, Secret, Stores};

/// The variable that names the file with the key that opens what was sealed to a program.
pub(crate) const KEY: &str = "CUTOVER_SEALING_KEY";

/// The key by which it enters the bus does the same, where there is one.
const BUS_KEY: &str = "CUTOVER_NATS_KEY";

/// The values of a deployment, as one program has them: what was sealed to it, and what is in stores of secrets.
#[derive(Debug)]
pub struct Values(From);

#[derive(Debug)]
enum From {
    Deployment { reader: Program, service: ServiceKey, sealed: Sealed, stores: Stores },
    Hand(BTreeMap<Reference, Secret>),
}

impl Values {
    /// Those of a deployment, for a program whose environment is that of this process.
    pub fn of(plan: &Plan, reader: Program) -> Self {
        Self::by(plan, reader, &Stores::from_environment())
    }

    /// The same by another environment.
    pub fn by(plan: &Plan, reader: Program, stores: &Stores) -> Self {
        Self::with(plan.key.clone(), plan.sealed.clone(), reader, stores.clone())
    }

    /// Those of a service that was given these.
    pub const fn with(service: ServiceKey, sealed: Sealed, reader: Program, stores: Stores) -> Self {
        Self(From::Deployment { reader, service, sealed, stores })
    }

    /// Values that are at hand already.
    pub fn known(values: impl IntoIterator<Item = (Reference, Secret)>) -> Self {
        Self(From::Hand(values.into_iter().collect()))
    }

    /// The value of one reference.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn resolve(&self, reference: &Reference) -> Result<Secret, Error> {
        let found = self.find([reference]).await.pop();
        found.ok_or_else(|| Error::Empty(reference.clone()))?.map(|found| found.value)
    }

    /// Looks for the values of references, and answers in their order. What is in one store is read with one login, and each secret
    /// once.
    pub async fn find<'a>(
        &self,
        references: impl IntoIterator<Item = &'a Reference>,
    ) -> Vec<Result<Found, Error>> {
        match &self.0 {
            From::Deployment { reader, service, sealed, stores } => {
                let references: Vec<&Reference> = references.into_iter().collect();
                let mut found = stores.find(references.iter().copied()).await;
                // Read when the first value needs it, and dropped with the last.
                let mut key = None;
                for (found, reference) in found.iter_mut().zip(references) {
                    if reference.is_persons() {
                        let sealed = sealed
                            .of(reference, *reader)
                            .ok_or_else(|| Error::NotGiven { reference: reference.clone(), reader: *reader });
                        let purpose = Purpose { service, reference };
                        *found = sealed.and_then(|sealed| {
                            let key = match &key {
                                Some(key) => key,
                                None => key.insert(stores.opener()?),
                            };
                            open(key, sealed, purpose)
                        });
                    }
                }
                found
            }
            From::Hand(values) => {
                let known = |reference: &Reference| {
                    let value = values.get(reference).cloned();
                    value.map(Found::of).ok_or_else(|| Error::Empty(reference.clone()))
                };
                references.into_iter().map(known).collect()
            }
        }
    }
}

fn open(key: &Opener, sealed: &SealedValue, purpose: Purpose<'_>) -> Result<Found, Error> {
    let opened = key.open(sealed, purpose);
    let mut value =
        opened.map_err(|source| Error::Sealed { reference: purpose.reference.clone(), source })?;
    if value.is_empty() {
        return Err(Error::Empty(purpose.reference.clone()));
    }
    Ok(Found::of(Secret::new(std::mem::take(&mut *value))))
}

impl Stores {
    /// The key that opens what was sealed to this program.
    fn opener(&self) -> Result<Opener, Error> {
        let set = |name| self.variable(name).filter(|path| !path.is_empty());
        let path = set(KEY).or_else(|| set(BUS_KEY)).ok_or(Error::NoKey)?;
        let path = PathBuf::from(path);
        let unreadable = |source| Error::Key { path: path.clone(), source };
        let text = std::fs::read_to_string(&path).map(Zeroizing::new).map_err(unreadable)?;
        // As the keys of the bus: whose it is, and the seed.
        let seed = text.split_whitespace().last().unwrap_or_default();
        Opener::from_seed(seed).map_err(|source| Error::MalformedKey { path, source })
    }
}
