//! Batches that somebody begins and never commits: the server allows few at once, and drops one after a while.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_nats::HeaderMap;
use cutover_core::{BusUser, Outcome, Program, Stage, Subject};
use support::crew::{Crew, Script};
use support::users::{Guarded, Thief};
use support::{deploy, ended, eventually, key};

/// The server's code for too many of them (nats-server, errors.json).
const TOO_MANY: &str = "10210";
/// Decisions that are tried.
const TRIES: u32 = 5;

/// How many batches were begun, and how many were refused.
#[derive(Default)]
struct Begun {
    taken: AtomicUsize,
    refused: AtomicUsize,
}

impl Begun {
    fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    /// Waits until the server takes no more.
    async fn is_full(&self) {
        let before = self.refused.load(Ordering::SeqCst);
        eventually(async || (self.refused.load(Ordering::SeqCst) > before).then_some(())).await;
    }
}

/// Begins batches of hints without end.
async fn begin_batches(thief: Thief, begun: Arc<Begun>) {
    let subject = Subject::Run { stage: Stage::Build, key: key() }.to_string();
    for n in 0.. {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Batch-Id", format!("b{n}"));
        headers.insert("Nats-Batch-Sequence", "1");
        let answer = thief.client.request_with_headers(subject.clone(), headers, "{}".into()).await.unwrap();
        let is_refused = String::from_utf8_lossy(&answer.payload).contains(TOO_MANY);
        let count = if is_refused { &begun.refused } else { &begun.taken };
        count.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_are_never_committed_keep_no_decision_out() {
    let server = Guarded::start().await;
    let operator = server.journal(BusUser::Operator).await;
    let mut crew = Crew::new();
    for program in Program::ALL {
        crew = crew.with(&server.journal(BusUser::Program(program)).await, &Script::default(), program);
    }
    let begun = Arc::new(Begun::default());
    let thief = server.thief(BusUser::Program(Program::Prober)).await;
    let beginning = tokio::spawn(begin_batches(thief, Arc::clone(&begun)));
    // The server drops those that are old: a decision counts here that was taken while there was no room.
    let mut without_room = false;
    for n in 1..=TRIES {
        begun.is_full().await;
        let before = begun.taken();
        deploy(&operator, n, &["a", "b"]).await.unwrap();
        without_room |= begun.taken() == before;
        assert_eq!(ended(&operator).await.outcome(), Some(Outcome::Live));
        if without_room {
            break;
        }
    }
    assert!(without_room, "no decision was taken without a batch");
    beginning.abort();
    crew.stop().await;
}
