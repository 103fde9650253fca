//! Flaws that can be put into the model on purpose: a simulation that finds none of them proves nothing.

use clap::ValueEnum;

/// A mistake in the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Flaw {
    /// Proxies let stale claims pass.
    NoFence,
    /// A worker begins without looking whether its claim is in force.
    NoReadBack,
    /// A worker acknowledges its message although another one has taken it over, or although it has only dropped it:
    /// when that one dies, nobody ever hears of the task again.
    AckForOthers,
    /// A worker acknowledges before what follows from its result is published.
    AckEarly,
    /// A worker acknowledges a message that has come before its task was due: published again, it is a duplicate.
    EarlyIsForgotten,
    /// The ids of work messages don't name the round: after a replay within the window, work is taken for a duplicate.
    WorkIdWithoutRound,
    /// The ids of work messages name the round by its number: work that was published together with a decision which turned
    /// out to be illegal is taken for that of the next one.
    WorkIdByRoundNumber,
    /// The claims of a worker for the same message can't be told apart, so that two of its slots may take one for their own.
    ClaimsWithoutId,
    /// A person is told that a decision was taken because it was stored, though a fact came before it that forbids it.
    StoredIsTaken,
    /// A boot, or a discard, removes replicas before a stale switch to them is fenced off.
    RemovalUnfenced,
    /// A restore leaves the share of a canary.
    CanaryStays,
    /// A switch doesn't take back first what could not be taken back before.
    DebtsUnpaid,
    /// A discard doesn't wait for the requests that are in flight.
    DiscardAtOnce,
    /// A retire stops what it listed without asking the proxy.
    RetireBlindly,
    /// A retire stops what is to stay warm.
    WarmIsRetired,
    /// A boot takes what is warm for left behind.
    WarmIsStray,
    /// A boot knows what is live and what the proxy names by the deployment alone that has the traffic: after a rollback to
    /// warm replicas, another one's id stands on the containers.
    StraysByDeployment,
    /// A worker stops what was warm without looking whether its claim is in force: a rollback to it may have been accepted.
    CoolBlindly,
    /// A contract is done for all migrations of a release, also for those whose old structure something kept needs.
    ContractAtOnce,
    /// The ledger in the database lets a stale contract pass.
    LedgerUnfenced,
    /// What is owed is done while a deployment runs.
    OwedWorkAnyTime,
    /// A message that comes again counts as due, also that of something which is to be done at its time and not before.
    RedeliveredIsDue,
    /// A worker acknowledges the message of what is owed before its attempt is recorded: when it dies in between, nobody ever
    /// hears of it again.
    AckOwedEarly,
    /// A boot keeps what it finds of an earlier round: whoever was to discard that may only have been asleep.
    KeptFromEarlierRound,
    /// A process takes the lease of the sweep from another without having seen it stand for its time.
    LeaseTakenAtOnce,
    /// Nobody sweeps, and what was to wake somebody is lost.
    NobodySweeps,
    /// The ids of snapshots don't name the decision: after a replay within the window, that of its end is a duplicate.
    SnapshotOncePerDeployment,
}
