//! Reads the whole stream as the server holds it, past the crate that is tested, and checks it against the rules of the
//! journal and against what writers and readers were told.

use std::collections::{BTreeMap, HashMap, HashSet};

use async_nats::jetstream::{self, stream::Stream};
use cutover_core::{Applied, Decision, Entry, Event, Fact, Service, ServiceKey, Subject, Timestamp, Work};

use super::cluster::LOG;
use super::notes::Sheet;

/// A message, as it is stored.
struct Raw {
    subject: String,
    sequence: u64,
    at: Timestamp,
    headers: async_nats::HeaderMap,
    content: bytes::Bytes,
}

/// What was found in a log that keeps the rules.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) messages: usize,
    /// Messages that are not there any more.
    pub(crate) purged: usize,
    pub(crate) decisions: usize,
    pub(crate) claims: usize,
    /// Claims that took a task over.
    pub(crate) taken_over: usize,
    pub(crate) facts: usize,
    pub(crate) batches: usize,
    /// Deployments that ended.
    pub(crate) ended: usize,
    /// Decisions that were stored after a fact that forbids them. Nobody was told that they were taken.
    pub(crate) forbidden: usize,
}

/// Reads all of it and checks it.
pub(crate) async fn check(client: &async_nats::Client, sheet: &Sheet) -> Findings {
    let raw = read(client).await;
    let last = raw.last().map_or(0, |last| last.sequence);
    let purged = usize::try_from(last).unwrap() - raw.len();
    let mut findings = Findings { messages: raw.len(), purged, ..Findings::default() };
    ids_are_unique(&raw);
    findings.batches = batches_are_whole(&raw);
    findings.taken_over = writers_form_chains(&raw);
    work_can_be_read(&raw);
    let forbidden = fold(&raw, sheet, &mut findings);
    nothing_that_was_acknowledged_is_lost(&raw, sheet, &forbidden);
    findings
}

/// What the log holds of a service, for a test that has failed.
pub(crate) async fn story(client: &async_nats::Client, key: &ServiceKey) -> String {
    let raw = read(client).await;
    let lines = raw.iter().filter(|message| message.key() == *key).map(|message| {
        let content = String::from_utf8_lossy(&message.content).chars().take(200).collect::<String>();
        format!("{} {} {content}\n", message.sequence, message.subject)
    });
    lines.collect()
}

async fn read(client: &async_nats::Client) -> Vec<Raw> {
    let stream = jetstream::new(client.clone()).get_stream(LOG).await.unwrap();
    let state = &stream.cached_info().state;
    assert_eq!(state.first_sequence, 1, "no entry is purged");
    let mut raw = Vec::new();
    for sequence in 1..=state.last_sequence {
        raw.extend(message(&stream, sequence).await);
    }
    assert_eq!(raw.len() as u64, state.messages);
    raw
}

async fn message(stream: &Stream, sequence: u64) -> Option<Raw> {
    let message = stream.get_raw_message(sequence).await.ok()?;
    let millis = message.time.unix_timestamp_nanos() / 1_000_000;
    Some(Raw {
        subject: message.subject.to_string(),
        sequence: message.sequence,
        at: Timestamp(millis.try_into().unwrap()),
        headers: message.headers,
        content: message.payload,
    })
}

impl Raw {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(async_nats::HeaderValue::as_str)
    }

    fn key(&self) -> ServiceKey {
        self.subject.parse::<Subject>().unwrap().key().clone()
    }

    fn entry(&self) -> Option<Entry> {
        let is_entry = self.subject.starts_with("cutover.log.");
        is_entry.then(|| Entry::decode(&self.subject, self.sequence, self.at, &self.content).unwrap())
    }
}

/// No message is stored twice, however often it was sent.
fn ids_are_unique(raw: &[Raw]) {
    let mut ids = HashSet::new();
    for message in raw {
        let id = message.header("Nats-Msg-Id").expect("every message has an id");
        assert!(ids.insert(id), "{id} is stored twice, last at {}", message.sequence);
    }
}

/// The messages of a batch stand one after the other, from the first to its commit.
fn batches_are_whole(raw: &[Raw]) -> usize {
    let mut batches: BTreeMap<&str, Vec<&Raw>> = BTreeMap::new();
    for message in raw {
        if let Some(batch) = message.header("Nats-Batch-Id") {
            batches.entry(batch).or_default().push(message);
        }
    }
    for (id, messages) in &batches {
        let first = messages[0].sequence;
        for (offset, message) in messages.iter().enumerate() {
            let place = (message.sequence - first, message.header("Nats-Batch-Sequence"));
            assert_eq!(place, (offset as u64, Some((offset + 1).to_string().as_str())), "batch {id}");
        }
        let commits = messages.iter().map(|message| message.header("Nats-Batch-Commit").is_some());
        let commits: Vec<_> = commits.collect();
        assert!(commits.iter().rev().skip(1).all(|commit| !commit) && *commits.last().unwrap(), "batch {id}");
    }
    batches.len()
}

/// One writer wins: each decision of a service, and each claim of a task, was written expecting the one before it. Says how
/// many claims have taken a task over.
fn writers_form_chains(raw: &[Raw]) -> usize {
    let mut last: HashMap<&str, u64> = HashMap::new();
    let mut taken_over = 0;
    for message in raw {
        if !message.subject.ends_with(".decisions") && !message.subject.ends_with(".claimed") {
            continue;
        }
        let expected: u64 = message.header("Nats-Expected-Last-Subject-Sequence").unwrap().parse().unwrap();
        let before = last.insert(&message.subject, message.sequence).unwrap_or(0);
        assert_eq!(before, expected, "{} at {}", message.subject, message.sequence);
        taken_over += usize::from(before > 0 && message.subject.ends_with(".claimed"));
    }
    taken_over
}

fn work_can_be_read(raw: &[Raw]) {
    for message in raw.iter().filter(|message| message.subject.starts_with("cutover.run.")) {
        let work: Work = serde_json::from_slice(&message.content).unwrap();
        let subject = Subject::Run { stage: work.task.stage, key: message.key() };
        assert_eq!(subject.to_string(), message.subject);
    }
}

/// Folds each service from the first entry on. No fact is illegal, no deployment begins before the last one has ended, and
/// all that a reader has seen was so at that sequence. Returns the sequences of decisions that came too late.
fn fold(raw: &[Raw], sheet: &Sheet, findings: &mut Findings) -> HashSet<u64> {
    let mut services: HashMap<ServiceKey, Service> = HashMap::new();
    let mut seen: HashMap<(ServiceKey, u64), Vec<&Service>> = HashMap::new();
    for (key, service) in &sheet.seen {
        seen.entry((key.clone(), service.sequence)).or_default().push(service);
    }
    let mut found = 0;
    let mut accepted = HashSet::new();
    let mut forbidden = HashSet::new();
    for message in raw {
        let key = message.key();
        if message.subject.starts_with("cutover.state.") {
            let snapshot: Service = serde_json::from_slice(&message.content).unwrap();
            assert!(snapshot.sequence < message.sequence && snapshot.running().is_none());
            continue;
        }
        let Some(entry) = message.entry() else { continue };
        let service = services.entry(key.clone()).or_default();
        let was_running = service.running().map(|running| running.id().clone());
        match (service.apply(&entry), &entry.event) {
            (Ok(applied), Event::Decision(Decision::Accepted(plan))) => {
                assert_eq!((applied, was_running), (Applied::Changed, None), "{key}: two run at once");
                assert!(accepted.insert(plan.deployment.clone()), "{} is accepted twice", plan.deployment);
                assert_eq!(service.running().map(|running| running.id()), Some(&plan.deployment));
            }
            (Err(_), Event::Decision(_)) => drop(forbidden.insert(entry.sequence)),
            (Ok(_), _) => {}
            (Err(illegal), _) => panic!("{key} at {}: {illegal}", entry.sequence),
        }
        findings.decisions += usize::from(matches!(entry.event, Event::Decision(_)));
        findings.facts += usize::from(matches!(entry.event, Event::Fact { .. }));
        findings.claims += usize::from(matches!(&entry.event, Event::Fact { fact: Fact::Claimed(_), .. }));
        for read in seen.remove(&(key.clone(), entry.sequence)).into_iter().flatten() {
            found += 1;
            let read = Service { snapshot_taken: service.snapshot_taken, ..read.clone() };
            assert!(read == *service, "{key}: what was read at {} was not so", entry.sequence);
        }
    }
    let unread = sheet.seen.iter().filter(|(_, service)| service.sequence == 0).count();
    assert_eq!(found + unread, sheet.seen.len(), "entries that were read are gone: {:?}", seen.keys());
    findings.ended = services.values().map(|service| service.history.len()).sum();
    findings.forbidden = forbidden.len();
    forbidden
}

/// Every decision that was acknowledged stands in the log, and in force; every claim that was worked under stands where it
/// was said to stand, and nobody else worked under it.
fn nothing_that_was_acknowledged_is_lost(raw: &[Raw], sheet: &Sheet, forbidden: &HashSet<u64>) {
    let mut stored = Vec::new();
    let mut claims = HashMap::new();
    for message in raw {
        match message.entry().map(|entry| (entry.sequence, entry.event)) {
            Some((sequence, Event::Decision(decision))) if !forbidden.contains(&sequence) => {
                stored.push((message.key(), decision));
            }
            Some((sequence, Event::Fact { deployment, task, fact: Fact::Claimed(_) })) => {
                claims.insert(sequence, (deployment, task));
            }
            _ => {}
        }
    }
    for told in &sheet.decided {
        let found = stored.iter().position(|stored| stored == told);
        stored.swap_remove(found.unwrap_or_else(|| panic!("{told:?} was acknowledged, and is not there")));
    }
    for (deployment, task, claim) in &sheet.claimed {
        let found =
            claims.remove(claim).expect("a claim that was worked under, by one worker, is in the log");
        assert_eq!((&found.0, &found.1), (deployment, task));
    }
}
