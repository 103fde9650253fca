//! Gitea and Forgejo: pushes of branches and tags.
//!
//! <https://docs.gitea.com/usage/webhooks>, <https://forgejo.org/docs/latest/user/webhooks/>

use super::push::Push;
use crate::delivery::Delivery;
use crate::event::Told;
use crate::refusal::Refusal;
use crate::signature::Key;

const SIGNATURE: &str = "x-gitea-signature";
const EVENT: &str = "x-gitea-event";
/// Commits that a push lists at most; `total_commits` says how many there are.
const COMMITS: usize = usize::MAX;

pub(crate) fn authenticate(delivery: &Delivery<'_>, key: &Key) -> Result<(), Refusal> {
    key.verify_hex(delivery, SIGNATURE, "")
}

pub(crate) fn read(delivery: &Delivery<'_>) -> Result<Told, Refusal> {
    match delivery.header(EVENT) {
        Some("push") => delivery.json::<Push>()?.told(COMMITS),
        Some(other) => Ok(Told::Nothing(format!("nothing is deployed for the event {other}"))),
        None => Err(Refusal::Body(format!("there is no {EVENT}"))),
    }
}
