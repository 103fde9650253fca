//! Writers of decisions and claims while servers are killed under them, and a checker that reads the log afterwards.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod support;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_nats::ConnectOptions;
use cutover_bus::{Access, Assignment, Bus, DecideError, Journal, Performer};
use cutover_core::{
    BusUser, Decision, DeploymentId, Failure, Outcome, Output, Program, Progress, ServiceKey,
};
use support::checker::{self, Findings};
use support::cluster::Cluster;
use support::crew::{Crew, output};
use support::notes::Notes;
use support::users::seed_of;
use support::{Server, plan_of};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const SERVICES: usize = 6;
/// Writers of decisions: five for each service.
const DECIDERS: usize = 30;
/// Writers of claims: four workers of each program.
const WORKERS: usize = 20;

/// Does a task in a moment, now and then not, and writes down under which claim.
#[derive(Clone)]
struct Hasty(Notes);

impl Performer for Hasty {
    async fn perform(&self, assignment: &Assignment) -> Result<Output, Failure> {
        self.0.claimed(assignment.deployment().id(), &assignment.task, assignment.epoch.sequence);
        assignment.progress(Progress::Step("at work".into())).await;
        tokio::time::sleep(Duration::from_millis(fastrand::u64(0..100))).await;
        match fastrand::u32(0..100) {
            0..2 => Err(Failure::lasting("it is broken")),
            2..6 => Err(Failure::passing("try again")),
            _ => Ok(output(assignment.task.stage)),
        }
    }
}

/// Decides for one service what may be decided, until it is told to stop.
async fn decider(
    journal: Journal,
    key: ServiceKey,
    by: String,
    notes: Notes,
    ids: Arc<AtomicU32>,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(50..500))).await;
        let Ok(mut log) = journal.service(&key).await else { continue };
        notes.seen(&key, log.service());
        let current = log.service().current.as_ref();
        let replay =
            |id: &DeploymentId| Decision::Replayed { deployment: id.clone(), by: by.clone(), from: None };
        let decision = match current.map(|current| (current.id(), current.outcome())) {
            Some((id, None)) if fastrand::u32(0..10) == 0 => {
                Decision::Aborted { deployment: id.clone(), by: by.clone() }
            }
            Some((id, Some(Outcome::TakenBack | Outcome::Aborted))) if fastrand::bool() => replay(id),
            _ => Decision::Accepted(plan_of(key.clone(), ids.fetch_add(1, Ordering::Relaxed), &["a", "b"])),
        };
        match journal.decide(&mut log, decision.clone()).await {
            Ok(()) => notes.decided(&key, decision),
            Err(DecideError::Refused(_)) => notes.refused(),
            Err(DecideError::Bus(error)) => notes.unknown(&error),
        }
        notes.seen(&key, log.service());
    }
}

fn keys() -> Vec<ServiceKey> {
    let key = |index| ServiceKey {
        destination: "production".parse().unwrap(),
        service: format!("s{index}").parse().unwrap(),
    };
    (0..SERVICES).map(key).collect()
}

async fn connect(access: &Access) -> async_nats::Client {
    let options = match &access.key {
        Some(key) => ConnectOptions::with_nkey(seed_of(key)).custom_inbox_prefix(key.user().inbox()),
        None => ConnectOptions::new(),
    };
    options.connect(access.url.split(',').collect::<Vec<_>>()).await.unwrap()
}

/// Fifty writers while `trouble` goes on; then what was begun is brought to its end, and the log is checked.
async fn under_trouble(access: impl Fn(BusUser) -> Access, trouble: impl Future<Output = ()>) -> Findings {
    let notes = Notes::default();
    let open = async |user| Bus::enter(&access(user), "writer").await.unwrap().open().await.unwrap();
    let mut crew = Crew::new();
    for program in Program::ALL.into_iter().cycle().take(WORKERS) {
        crew = crew.with(&open(BusUser::Program(program)).await, &Hasty(notes.clone()), program);
    }
    let (stop, ids) = (CancellationToken::new(), Arc::new(AtomicU32::new(1)));
    let mut deciders = JoinSet::new();
    for (index, key) in keys().into_iter().cycle().take(DECIDERS).enumerate() {
        let by = format!("d{index}@here");
        deciders.spawn(decider(
            open(BusUser::Operator).await,
            key,
            by,
            notes.clone(),
            ids.clone(),
            stop.clone(),
        ));
    }
    trouble.await;
    stop.cancel();
    while let Some(decider) = deciders.join_next().await {
        decider.unwrap();
    }
    let (journal, operator) = (open(BusUser::Operator).await, access(BusUser::Operator));
    for key in keys() {
        let mut watch = journal.watch(&key).await.unwrap();
        let end = async {
            while watch.service().running().is_some() {
                watch.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(Duration::from_secs(60), end).await.is_err() {
            panic!("{key} has not ended:\n{}", checker::story(&connect(&operator).await, &key).await);
        }
        notes.seen(&key, watch.service());
    }
    crew.stop().await;
    let client = connect(&operator).await;
    let sheet = notes.sheet();
    let findings = checker::check(&client, &sheet).await;
    println!(
        "{DECIDERS} + {WORKERS} writers: {} decisions acknowledged, {} refused, unknown {:?}; {} claims worked under; {} states read; {findings:?}",
        sheet.decided.len(),
        sheet.refused,
        sheet.unknown,
        sheet.claimed.len(),
        sheet.seen.len()
    );
    assert!(findings.ended > SERVICES, "{findings:?}");
    // Whoever decides alone writes one snapshot for each end, and purges those before the last.
    let snapshots = if operator.key.is_some() { findings.ended } else { 0 };
    assert!(findings.purged <= snapshots, "{findings:?}");
    findings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_lose_nothing_while_leaders_change_and_nodes_are_killed() {
    let mut cluster = Cluster::start().await;
    let url = cluster.url();
    let access = |_| Access::open(&url);
    let client = connect(&access(BusUser::Operator)).await;
    let trouble = async {
        for kill_the_leader in [false, true, false, true] {
            cluster.settled(&client).await;
            cluster.step_down(&client).await;
            let leader = cluster.settled(&client).await;
            let victim = if kill_the_leader { leader } else { (leader + 1) % 3 };
            cluster.nodes[victim].kill();
            tokio::time::sleep(Duration::from_secs(1)).await;
            cluster.nodes[victim].start_again();
        }
        cluster.settled(&client).await;
    };
    Box::pin(under_trouble(access, trouble)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_lose_nothing_where_each_user_has_an_account() {
    let mut cluster = Cluster::guarded().await;
    let keys: BTreeMap<BusUser, Access> = BusUser::ALL.map(|user| (user, cluster.access(user))).into();
    let access = |user| keys[&user].clone();
    let client = connect(&access(BusUser::Operator)).await;
    let trouble = async {
        for kill_the_leader in [false, true, false] {
            let leader = cluster.settled(&client).await;
            let victim = if kill_the_leader { leader } else { (leader + 1) % 3 };
            cluster.nodes[victim].kill();
            tokio::time::sleep(Duration::from_secs(1)).await;
            cluster.nodes[victim].start_again();
        }
        cluster.settled(&client).await;
    };
    Box::pin(under_trouble(access, trouble)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_loses_nothing_when_it_is_killed_and_started_again() {
    let mut server = Server::start().await;
    server.journal().await;
    let url = server.url();
    let access = |_| Access::open(&url);
    let trouble = async {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(3)).await;
            server.node.kill();
            tokio::time::sleep(Duration::from_millis(500)).await;
            server.node.start_again();
            server.node.answers().await;
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
    };
    Box::pin(under_trouble(access, trouble)).await;
}
