//! How a build goes: BuildKit's updates, which repeat and overlap, folded into events that don't.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog};

use crate::buildkit::base::Base;
use crate::buildkit::event::BuildEvent;
use crate::buildkit::grants::Grants;

/// How much of its output is kept of each step, in case it fails, in bytes: the last of it.
const KEPT: usize = 64 * 1024;

/// What BuildKit says of a step that another one's failure has stopped.
const CANCELED: &str = "context canceled";

/// The steps of one build so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    grants: Arc<Grants>,
    steps: HashMap<String, Step>,
    failed: Option<String>,
}

/// BuildKit calls it a vertex, and knows it by a digest.
#[derive(Debug, Default)]
struct Step {
    name: String,
    started: bool,
    finished: bool,
    error: String,
    /// The beginning of a line whose end hasn't come yet.
    rest: Vec<u8>,
    output: Output,
}

/// What a step has printed last.
#[derive(Debug, Default)]
struct Output {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Output {
    fn add(&mut self, line: String) {
        self.bytes += line.len() + 1;
        self.lines.push_back(line);
        while self.bytes > KEPT
            && let Some(first) = self.lines.pop_front()
        {
            self.bytes -= first.len() + 1;
        }
    }
}

impl Progress {
    /// The progress of a build that prints nothing of what it was given.
    pub(super) fn new(grants: Arc<Grants>) -> Self {
        Self { grants, ..Self::default() }
    }

    /// Takes an update and answers what is new in it.
    pub(super) fn take(&mut self, update: StatusResponse) -> Vec<BuildEvent> {
        let mut events = Vec::new();
        for vertex in &update.vertexes {
            let step = self.steps.entry(vertex.digest.clone()).or_default();
            step.name.clone_from(&vertex.name);
            if vertex.started.is_some() && !step.started {
                step.started = true;
                events.push(BuildEvent::StepStarted { name: step.name.clone() });
            }
        }
        for log in update.logs {
            let step = self.steps.entry(log.vertex.clone()).or_default();
            step.print(&log, &self.grants, &mut events);
        }
        for warning in update.warnings {
            let text = format!("warning: {}", String::from_utf8_lossy(&warning.short));
            self.steps.entry(warning.vertex).or_default().line(text, &self.grants, &mut events);
        }
        for vertex in update.vertexes {
            self.complete(vertex, &mut events);
        }
        events
    }

    /// Answers what is left to tell when no more updates come: lines without an end.
    pub(super) fn finish(&mut self) -> Vec<BuildEvent> {
        let mut events = Vec::new();
        self.steps.values_mut().for_each(|step| step.end_line(&self.grants, &mut events));
        events
    }

    /// The images that the build has started from.
    pub(super) fn bases(&self) -> Vec<Base> {
        let bases: BTreeSet<_> = self.steps.values().filter_map(|step| Base::of_step(&step.name)).collect();
        bases.into_iter().collect()
    }

    /// The step that failed, BuildKit's reason, and what it printed, up to a limit the last of it.
    pub(super) fn into_failed(mut self) -> Option<(String, String, Vec<String>)> {
        let step = self.steps.remove(&self.failed?)?;
        Some((step.name, self.grants.hide(step.error), step.output.lines.into()))
    }

    fn complete(&mut self, vertex: Vertex, events: &mut Vec<BuildEvent>) {
        let Some(completed) = vertex.completed else { return };
        let Some(step) = self.steps.get_mut(&vertex.digest).filter(|step| !step.finished) else { return };
        step.finished = true;
        step.end_line(&self.grants, events);
        let seconds = vertex.started.map_or(0.0, |started| seconds(started, completed));
        events.push(BuildEvent::StepFinished { name: step.name.clone(), cached: vertex.cached, seconds });
        if !vertex.error.is_empty() && !vertex.error.contains(CANCELED) {
            step.error = vertex.error;
            self.failed.get_or_insert(vertex.digest);
        }
    }
}

impl Step {
    fn print(&mut self, log: &VertexLog, grants: &Grants, events: &mut Vec<BuildEvent>) {
        let mut pieces = log.msg.split(|&byte| byte == b'\n').peekable();
        while let Some(piece) = pieces.next() {
            self.rest.extend_from_slice(piece);
            if pieces.peek().is_some() {
                self.emit(grants, events);
            }
        }
    }

    fn end_line(&mut self, grants: &Grants, events: &mut Vec<BuildEvent>) {
        if !self.rest.is_empty() {
            self.emit(grants, events);
        }
    }

    /// Emits what has gathered as a line. Of a line that was rewritten in place, as progress bars do, the last state
    /// counts.
    fn emit(&mut self, grants: &Grants, events: &mut Vec<BuildEvent>) {
        let line = std::mem::take(&mut self.rest);
        let line = line.strip_suffix(b"\r").unwrap_or(&line);
        let shown = line.rsplit(|&byte| byte == b'\r').next().unwrap_or(line);
        self.line(String::from_utf8_lossy(shown).into_owned(), grants, events);
    }

    fn line(&mut self, text: String, grants: &Grants, events: &mut Vec<BuildEvent>) {
        let text = grants.hide(text);
        self.output.add(text.clone());
        events.push(BuildEvent::Line { step: self.name.clone(), text });
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    (to.seconds - from.seconds) as f64 + f64::from(to.nanos - from.nanos) / 1e9
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn vertex(digest: &str, started: Option<i64>, completed: Option<i64>, error: &str) -> Vertex {
        let at = |seconds: i64| Timestamp { seconds, nanos: 0 };
        Vertex {
            digest: digest.to_owned(),
            name: format!("step {digest}"),
            started: started.map(at),
            completed: completed.map(at),
            error: error.to_owned(),
            ..Vertex::default()
        }
    }

    fn log(vertex: &str, text: &str) -> VertexLog {
        VertexLog { vertex: vertex.to_owned(), msg: text.as_bytes().to_vec(), ..VertexLog::default() }
    }

    fn update(vertexes: Vec<Vertex>, logs: Vec<VertexLog>) -> StatusResponse {
        StatusResponse { vertexes, logs, ..StatusResponse::default() }
    }

    fn line(text: &str) -> BuildEvent {
        BuildEvent::Line { step: "step a".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_step_that_is_repeated_is_told_once() {
        let mut progress = Progress::default();
        assert_eq!(progress.take(update(vec![vertex("a", None, None, "")], vec![])), []);
        let started = progress.take(update(vec![vertex("a", Some(5), None, "")], vec![]));
        assert_eq!(started, [BuildEvent::StepStarted { name: "step a".to_owned() }]);
        let done = vertex("a", Some(5), Some(7), "");
        let finished = progress.take(update(vec![done.clone()], vec![]));
        let name = "step a".to_owned();
        assert_eq!(finished, [BuildEvent::StepFinished { name, cached: false, seconds: 2.0 }]);
        assert_eq!(progress.take(update(vec![done], vec![])), []);
        assert!(progress.into_failed().is_none());
    }

    #[test]
    fn lines_are_put_together_from_pieces() {
        let mut progress = Progress::default();
        progress.take(update(vec![vertex("a", Some(1), None, "")], vec![]));
        assert_eq!(progress.take(update(vec![], vec![log("a", "one\ntw")])), [line("one")]);
        assert_eq!(
            progress.take(update(vec![], vec![log("a", "o\r\n\n10%\r99%\nrest")])),
            [line("two"), line(""), line("99%")]
        );
        assert_eq!(progress.finish(), [line("rest")]);
        assert_eq!(progress.finish(), []);
    }

    #[test]
    fn the_step_that_failed_is_told_from_those_it_stopped() {
        let mut progress = Progress::default();
        let printed: String = (1..=KEPT / 10).map(|n| format!("line {n:06}\n")).collect();
        progress.take(update(
            vec![vertex("a", Some(1), None, ""), vertex("b", Some(1), None, "")],
            vec![log("a", &printed)],
        ));
        progress.take(update(vec![vertex("b", Some(1), Some(2), "failed: context canceled")], vec![]));
        progress
            .take(update(vec![vertex("a", Some(1), Some(2), "exit code: 1")], vec![log("a", "last words")]));
        let (step, reason, output) = progress.into_failed().unwrap();
        assert_eq!((step.as_str(), reason.as_str()), ("step a", "exit code: 1"));
        let bytes: usize = output.iter().map(|line| line.len() + 1).sum();
        assert!(bytes <= KEPT && bytes > KEPT - 24, "{bytes}");
        assert_eq!(output.last().unwrap(), "last words");
    }
}
