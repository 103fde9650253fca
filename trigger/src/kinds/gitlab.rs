//! GitLab: pushes of branches and tags.
//!
//! <https://docs.gitlab.com/user/project/integrations/webhooks/>,
//! <https://docs.gitlab.com/user/project/integrations/webhook_events/>

use cutover_core::Timestamp;

use super::push::Push;
use crate::delivery::Delivery;
use crate::event::Told;
use crate::refusal::Refusal;
use crate::signature::Key;

const TOKEN: &str = "x-gitlab-token";
const EVENT: &str = "x-gitlab-event";
/// Commits that a push lists at most; `total_commits_count` says how many there are.
const COMMITS: usize = usize::MAX;

/// By the signing token, where the secret is one, and otherwise by the secret token, which is sent as it is.
pub(crate) fn authenticate(delivery: &Delivery<'_>, key: &Key, now: Timestamp) -> Result<(), Refusal> {
    if key.is_token() { key.verify_standard(delivery, now) } else { key.verify_plain(delivery, TOKEN) }
}

pub(crate) fn read(delivery: &Delivery<'_>) -> Result<Told, Refusal> {
    match delivery.header(EVENT) {
        Some("Push Hook" | "Tag Push Hook") => delivery.json::<Push>()?.told(COMMITS),
        Some(other) => Ok(Told::Nothing(format!("nothing is deployed for the event {other}"))),
        None => Err(Refusal::Body(format!("there is no {EVENT}"))),
    }
}
