use std::time::Duration;

use cutover_control::{Refusal, SetStatus};

use crate::control::Ledger;

/// How long the other proxy may take until a configuration is in force. Traefik collects changes for 2 s; a caller of the
/// control socket waits for 10, and the last look may take 2.
pub(super) const IN_FORCE_LIMIT: Duration = Duration::from_secs(7);

/// From one look whether it is in force to the next.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Another proxy, as it is driven.
pub(crate) trait BackEnd: Send + 'static {
    /// Its name, for people.
    const NAME: &'static str;

    /// Whether it can do what a ledger says.
    ///
    /// # Errors
    ///
    /// [`Refusal::Invalid`] with what it can't.
    fn check(&self, ledger: &Ledger) -> Result<(), Refusal>;

    /// Has it do what a ledger says. When this returns, no new request begins by any configuration before this one, but
    /// where [`lingers`](Self::lingers) says so. What is in force already is left alone.
    ///
    /// # Errors
    ///
    /// [`Refusal::Invalid`] with the other proxy's words, [`Refusal::Unconfirmed`], or [`Refusal::Storage`]. The configuration
    /// before is in its place again.
    fn apply(&mut self, ledger: &Ledger) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Whether something of it still serves by an older configuration: connections on which a request may yet begin.
    fn lingers(&self) -> impl Future<Output = bool> + Send;

    /// Reads what it has counted.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unconfirmed`].
    fn count(&mut self) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Adds what was counted for a set to its status.
    fn fill(&self, set: &str, status: &mut SetStatus);
}
