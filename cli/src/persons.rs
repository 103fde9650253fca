//! The secrets of the person who deploys: found here, and sealed to the programs that need them.

use std::collections::BTreeMap;
use std::fmt;

use cutover_core::{NeededSecret, Plan, Reference, Sealed};
use cutover_seal::{Purpose, seal};
use cutover_secrets::{Secret, Stores, Values, read};
use serde::Serialize;

use crate::error::Error;
use crate::planning;
use crate::session::Session;

/// How much of a plan what is sealed may be, in bytes.
const MOST: usize = 32 * 1024;

/// How much it may be in all that the journal keeps of a service in one message, which for NATS is 1 MB.
const MOST_IN_ALL: usize = 384 * 1024;

/// Values of references of the person who deploys.
#[derive(Debug, Default)]
pub(crate) struct Persons(BTreeMap<Reference, Secret>);

/// A reference that has no value here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Unresolved {
    /// The key of the deploy file.
    key: String,
    /// Why not, with the reference.
    why: String,
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.why)
    }
}

/// The values of references, by the key that each stands at, as this machine itself finds them: also those that else a program would
/// look up.
///
/// # Errors
/// Those that have no value.
pub(crate) async fn values(references: &[(String, &Reference)]) -> Result<Values, Error> {
    let stores = Stores::from_environment();
    let in_stores: Vec<&Reference> =
        references.iter().map(|(_, reference)| *reference).filter(|one| !one.is_persons()).collect();
    let found = stores.find(in_stores.iter().copied()).await;
    let mut found: BTreeMap<&Reference, _> = in_stores.into_iter().zip(found).collect();
    let (mut values, mut unresolved) = (BTreeMap::new(), Vec::new());
    for (key, reference) in references {
        if values.contains_key(*reference) {
            continue;
        }
        let read = match found.remove(reference) {
            Some(found) => found.map(|found| found.value),
            None => read(reference).await,
        };
        match read {
            Ok(value) => drop(values.insert((*reference).clone(), value)),
            Err(error) => {
                let why = cutover_core::Failure::of(&error, false).message;
                unresolved.push(Unresolved { key: key.clone(), why });
            }
        }
    }
    if unresolved.is_empty() { Ok(Values::known(values)) } else { Err(Error::Unresolved(unresolved)) }
}

impl Persons {
    /// Reads each of what is needed once, one after the other: a command may ask for something.
    ///
    /// # Errors
    /// Those that have no value.
    pub(crate) async fn read(needed: &[NeededSecret<'_>]) -> Result<Self, Error> {
        let (mut values, mut unresolved) = (BTreeMap::new(), BTreeMap::new());
        for NeededSecret { key, reference, .. } in needed.iter().filter(|one| one.reference.is_persons()) {
            if values.contains_key(*reference) || unresolved.contains_key(*reference) {
                continue;
            }
            match read(reference).await {
                Ok(value) => drop(values.insert((*reference).clone(), value)),
                Err(error) => {
                    let why = cutover_core::Failure::of(&error, false).message;
                    unresolved.insert(*reference, Unresolved { key: key.clone(), why });
                }
            }
        }
        if unresolved.is_empty() {
            return Ok(Self(values));
        }
        Err(Error::Unresolved(unresolved.into_values().collect()))
    }

    /// What is needed and surely has no value here. No command is run for it.
    pub(crate) async fn unresolved(needed: &[NeededSecret<'_>]) -> Vec<Unresolved> {
        let looked_at: Vec<NeededSecret<'_>> = needed
            .iter()
            .filter(|needed| !matches!(needed.reference, Reference::Command(_)))
            .cloned()
            .collect();
        match Self::read(&looked_at).await {
            Err(Error::Unresolved(unresolved)) => unresolved,
            _ => Vec::new(),
        }
    }

    /// What the programs need of them to carry out a plan, sealed to each.
    ///
    /// # Errors
    /// A bus on which nobody has written down whom to seal to; more than a plan may hold.
    pub(crate) async fn sealed(&self, session: &Session, plan: &Plan) -> anyhow::Result<Sealed> {
        let mut sealed = Sealed::new();
        if self.0.is_empty() {
            return Ok(sealed);
        }
        let keys = session.sealing_keys().await?;
        let needed = [plan.release.settings.needed_secrets(), planning::built_with(plan)].concat();
        for NeededSecret { reference, reader, .. } in needed {
            if let Some(value) = self.0.get(reference) {
                let key = keys.get(&reader).ok_or(Error::NoSealingKeys)?;
                let purpose = Purpose { service: &plan.key, reference };
                sealed.put(reference.clone(), reader, seal(value.expose(), key, purpose)?);
            }
        }
        let most = most(plan.release.settings.retain);
        if sealed.size() > most {
            return Err(Error::TooMuchSealed { size: sealed.size(), most }.into());
        }
        Ok(sealed)
    }
}

/// How much of a plan may be sealed, where so many releases are kept beside the one that is live, the deployment that runs, and one
/// that owes something.
fn most(retain: u32) -> usize {
    MOST.min(MOST_IN_ALL / (retain as usize).saturating_add(3))
}

/// Refuses a plan that relies on values which were sealed before, and that its programs can't have any more.
///
/// # Errors
/// What they can't have.
pub(crate) async fn require_opened(session: &Session, plan: &Plan) -> anyhow::Result<()> {
    let needed = [plan.release.settings.needed_secrets(), planning::built_with(plan)].concat();
    let lacking = lacking(session, &plan.sealed, needed).await?;
    if lacking.is_empty() { Ok(()) } else { Err(Error::NotOpened(lacking).into()) }
}

/// What of these was not sealed, or to another key than the one that its reader has now.
///
/// # Errors
/// A bus that doesn't answer.
pub(crate) async fn lacking(
    session: &Session,
    sealed: &Sealed,
    mut needed: Vec<NeededSecret<'_>>,
) -> Result<Vec<String>, cutover_bus::Error> {
    needed.retain(|needed| needed.reference.is_persons());
    if needed.is_empty() {
        return Ok(Vec::new());
    }
    let lacking = sealed.lacks(needed, &session.sealing_keys().await?);
    Ok(lacking
        .into_iter()
        .map(|needed| format!("{} for the {}", needed.key, needed.reader.as_str()))
        .collect())
}

/// Refuses what the person in front of us has not written down himself: the journal says which values what is live needs, and
/// whoever has written that could have any file of this machine, or any command run.
///
/// # Errors
/// The references that this deploy file doesn't name.
pub(crate) fn require_named(needed: &[NeededSecret<'_>], named: &[NeededSecret<'_>]) -> Result<(), Error> {
    let is_named = |one: &NeededSecret<'_>| {
        named.iter().any(|named| (named.reference, named.reader) == (one.reference, one.reader))
    };
    let foreign = needed.iter().filter(|one| one.reference.is_persons() && !is_named(one));
    let foreign: Vec<String> = foreign.map(|one| one.reference.to_string()).collect();
    if foreign.is_empty() { Ok(()) } else { Err(Error::NotNamed(foreign)) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::Program;

    use super::*;

    fn needed<'a>(references: &'a [Reference]) -> Vec<NeededSecret<'a>> {
        let one =
            |reference| NeededSecret { key: "env.secret.X".to_owned(), reference, reader: Program::Shipper };
        references.iter().map(one).collect()
    }

    fn references(texts: &[&str]) -> Vec<Reference> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[tokio::test]
    async fn all_that_is_missing_is_told_at_once() {
        // Set by cargo for every test.
        let there =
            references(&["env://CARGO_PKG_NAME", "cmd://printf %s%s hun ter2", "vault://kv/shop#key"]);
        let read = Persons::read(&needed(&there)).await.unwrap();
        assert_eq!(read.0.keys().collect::<Vec<_>>(), [&there[0], &there[1]]);
        assert!(!format!("{read:?}").contains("hunter2"));
        let missing =
            references(&["env://NO_SUCH_VARIABLE", "file:///no/such", "cmd://false", "cmd://false"]);
        let Err(Error::Unresolved(unresolved)) = Persons::read(&needed(&missing)).await else { panic!() };
        let told: Vec<String> = unresolved.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3);
        assert_eq!(told[0], "env.secret.X: env://NO_SUCH_VARIABLE: the variable is not set");
        assert_eq!(told[2], "env.secret.X: cmd://false: false failed, exit status: 1");
        assert_eq!(Persons::unresolved(&needed(&missing)).await.len(), 2, "a command was run");
    }

    #[test]
    fn what_the_deploy_file_does_not_name_is_not_read_for_what_is_live() {
        let named = references(&["env://A", "vault://kv/shop#key"]);
        require_named(&needed(&named), &needed(&named)).unwrap();
        let live =
            references(&["env://A", "cmd://rm -rf /", "file:///root/.ssh/id_ed25519", "vault://kv/b#key"]);
        let Err(Error::NotNamed(foreign)) = require_named(&needed(&live), &needed(&named)) else { panic!() };
        assert_eq!(foreign, ["cmd://rm -rf /", "file:///root/.ssh/id_ed25519"]);
        // Nor for somebody else than the deploy file says.
        let mut for_another = needed(&named);
        for_another.iter_mut().for_each(|needed| needed.reader = Program::Builder);
        assert!(require_named(&needed(&named), &for_another).is_err());
    }

    #[test]
    fn all_that_is_kept_fits_into_a_message() {
        for retain in [0, 5, 9, 100, u32::MAX] {
            let most = most(retain);
            assert!(
                most <= MOST && most.saturating_mul(retain as usize + 3) <= MOST_IN_ALL,
                "{retain}: {most}"
            );
        }
        assert_eq!(most(5), MOST);
    }
}
