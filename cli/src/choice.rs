//! Which deployment or release is meant by what was typed.

use cutover_bus::ServiceLog;
use cutover_core::{Deployment, DeploymentId, KeptRelease};

use crate::error::Error;

/// The deployment that is meant: one whose id is, or ends in, `text`; without a text, the last one.
///
/// # Errors
/// None of that id, or several; a service that was never deployed.
pub(crate) fn deployment(log: &ServiceLog, text: Option<&str>) -> Result<DeploymentId, Error> {
    let current = current(log)?;
    let Some(text) = text else { return Ok(current.id().clone()) };
    let ended = log.service().history.iter().map(|ended| &ended.deployment);
    let mut found: Vec<&DeploymentId> = std::iter::once(current.id())
        .chain(ended)
        .filter(|id| !text.is_empty() && id.as_str().ends_with(text))
        .collect();
    found.sort();
    found.dedup();
    match found.as_slice() {
        [only] => Ok((*only).clone()),
        several => {
            Err(Error::Deployment { text: text.to_owned(), key: log.key().clone(), found: several.len() })
        }
    }
}

/// The running or last deployment.
///
/// # Errors
/// A service that was never deployed.
pub(crate) fn current(log: &ServiceLog) -> Result<&Deployment, Error> {
    log.service().current.as_ref().ok_or_else(|| Error::NeverDeployed(log.key().clone()))
}

/// The kept release that is meant: by the beginning of its id, or its version; without a text, the one that was live before.
///
/// # Errors
/// None of that name, or several; nothing that is kept but the live one; a service that was never deployed.
pub(crate) fn release<'a>(log: &'a ServiceLog, text: Option<&str>) -> Result<&'a KeptRelease, Error> {
    current(log)?;
    let service = log.service();
    let Some(text) = text else {
        let live = service.live().map(|live| &live.id);
        return service
            .kept
            .iter()
            .find(|kept| Some(&kept.id) != live)
            .ok_or_else(|| Error::NothingKept(log.key().clone()));
    };
    let named = |kept: &&KeptRelease| {
        !text.is_empty() && (kept.id.as_str().starts_with(text) || kept.release.version == text)
    };
    let found: Vec<&KeptRelease> = service.kept.iter().filter(named).collect();
    match found.as_slice() {
        [only] => Ok(only),
        several => {
            Err(Error::Release { text: text.to_owned(), key: log.key().clone(), found: several.len() })
        }
    }
}
