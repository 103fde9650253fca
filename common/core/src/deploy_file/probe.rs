//! The keys `startup_probe`, `readiness_probe`, `liveness_probe` and `inference_probe`: what replicas are asked, and what good
//! answers are.

use std::collections::BTreeMap;

use super::check::command;
use super::error::{Problem, Problems};
use super::node::{Node, Value};
use super::section::{Section, scalar};
use super::text::{filled, literal, url_path};
use super::units::{limit, port_number, span, whole};
use crate::{
    Check, GrpcCheck, HttpCheck, InferenceSpec, Method, Predicate, ProbeSpec, Probes, Span, StatusSet,
};

/// The keys of a question over HTTP.
const HTTP: [&str; 7] = ["path", "method", "headers", "body", "status", "contains", "json"];
/// The keys of the other questions: each is one of its own.
const OTHERS: [&str; 4] = ["tcp", "grpc", "command", "healthcheck"];

/// Headers that follow from the rest of a request.
const OWN_HEADERS: [&str; 5] = ["connection", "content-length", "te", "transfer-encoding", "upgrade"];

/// Reads the probe for readiness.
pub(super) fn readiness(file: &mut Section<'_>, problems: &mut Problems) -> ProbeSpec {
    let usual = ProbeSpec::http("/up");
    probe(file, "readiness_probe", &usual, problems).unwrap_or(usual)
}

/// Reads those beside it.
pub(super) fn others(file: &mut Section<'_>, problems: &mut Problems) -> Probes {
    let usual = ProbeSpec::http("/up");
    let startup = probe(file, "startup_probe", &usual, problems).map(Box::new);
    let lives = ProbeSpec { period: Span::seconds(10), failures: Some(3), ..usual };
    let liveness = probe(file, "liveness_probe", &lives, problems).map(Box::new);
    let inference = file.section("inference_probe", problems);
    let inference = inference.map(|section| Box::new(inference_probe(section, problems)));
    Probes { startup, liveness, inference }
}

fn probe(
    file: &mut Section<'_>,
    key: &'static str,
    usual: &ProbeSpec,
    problems: &mut Problems,
) -> Option<ProbeSpec> {
    let mut section = file.section(key, problems)?;
    let check = check(&mut section, problems).unwrap_or_else(|| usual.check.clone());
    let spec = ProbeSpec {
        check,
        initial_delay: section.value("initial_delay", span, problems).unwrap_or(usual.initial_delay),
        period: section.value("period", limit, problems).unwrap_or(usual.period),
        timeout: section.value("timeout", limit, problems).unwrap_or(usual.timeout),
        successes: section.value("successes", whole(1..=100), problems).unwrap_or(usual.successes),
        failures: section.value("failures", whole(1..=1000), problems).or(usual.failures),
    };
    section.done(problems);
    Some(spec)
}

/// The one question of a probe; none: nothing is said of it.
fn check(section: &mut Section<'_>, problems: &mut Problems) -> Option<Check> {
    let http = http_check(section, problems);
    let tcp = section.section("tcp", problems).map(|part| tcp(part, problems));
    let grpc = section.section("grpc", problems).map(|part| grpc(part, problems));
    let command = command(section, problems);
    let image = section.value("healthcheck", image, problems);
    let given: Vec<_> = OTHERS.into_iter().filter(|key| section.node(key).is_some()).collect();
    let first_http = HTTP.into_iter().find(|key| section.node(key).is_some());
    if let [first, rest @ ..] = first_http.into_iter().chain(given).collect::<Vec<_>>().as_slice() {
        for other in rest {
            let place = section.node(other).map(|node| node.place);
            let message = format!("`{first}` is given too, and a probe asks one question");
            problems.add(Problem::new(&section.path_of(other), place, message));
        }
    }
    first_http
        .map(|_| Check::Http(http.into()))
        .or(tcp)
        .or(grpc)
        .or((!command.is_empty()).then_some(Check::Command(command)))
        .or(image)
}

fn http_check(section: &mut Section<'_>, problems: &mut Problems) -> HttpCheck {
    let path = section.value("path", url_path, problems);
    let method = section.value("method", str::parse::<Method>, problems);
    let mut headers =
        section.section("headers", problems).map(|part| headers(&part, problems)).unwrap_or_default();
    let body = section.value("body", literal, problems);
    if body.is_some() {
        headers.entry("content-type".to_owned()).or_insert_with(|| "application/json".to_owned());
    }
    HttpCheck {
        method,
        headers,
        body,
        status: section.value("status", str::parse::<StatusSet>, problems).unwrap_or_default(),
        contains: section.value("contains", filled, problems),
        json: predicates(section, problems),
        ..HttpCheck::get(path.as_deref().unwrap_or("/up"))
    }
}

/// A request, and what a good answer to it is: a path alone, or all that may be said of one.
pub(super) fn http_request(path: &str, node: &Node, problems: &mut Problems) -> Option<HttpCheck> {
    if matches!(node.value, Value::Text(_)) {
        return Some(HttpCheck::get(&scalar(path, node, url_path, problems)?));
    }
    let mut section = Section::of(path.to_owned(), node, problems)?;
    if section.lacks("path") {
        problems.add(Problem::new(&section.path_of("path"), section.place, "missing"));
    }
    let request = http_check(&mut section, problems);
    section.done(problems);
    Some(request)
}

/// One predicate, or a list.
fn predicates(section: &mut Section<'_>, problems: &mut Problems) -> Vec<Predicate> {
    let Some(node) = section.node("json") else { return Vec::new() };
    if !matches!(node.value, Value::List(_)) {
        return section.value("json", str::parse, problems).into_iter().collect();
    }
    section.scalars("json", str::parse, problems).unwrap_or_default()
}

fn headers(section: &Section<'_>, problems: &mut Problems) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for (entry, text) in section.texts(problems) {
        let (name, path) = (entry.key.to_ascii_lowercase(), section.path_of(&entry.key));
        if !is_header_name(&name) {
            problems.add(Problem::new(&path, entry.place, "not the name of a header"));
        } else if OWN_HEADERS.contains(&name.as_str()) {
            problems.add(Problem::new(
                &path,
                entry.place,
                "this header follows from the rest of the request",
            ));
        } else if text.bytes().any(|b| !(b == b'\t' || (b' '..=b'~').contains(&b))) {
            problems.add(Problem::new(
                &path,
                entry.node.place,
                "the value of a header is of ASCII, in one line",
            ));
        } else if let Some(value) = scalar(&path, &entry.node, literal, problems) {
            headers.insert(name, value);
        }
    }
    headers
}

/// The name of a header is a token (RFC 9110, 5.1 and 5.6.2).
fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn tcp(mut section: Section<'_>, problems: &mut Problems) -> Check {
    let port = section.value("port", port_number, problems);
    section.done(problems);
    Check::Tcp { port }
}

fn grpc(mut section: Section<'_>, problems: &mut Problems) -> Check {
    let service = section.value("service", filled, problems).unwrap_or_default();
    let port = section.value("port", port_number, problems);
    section.done(problems);
    Check::Grpc(GrpcCheck { service, port })
}

fn image(text: &str) -> Result<Check, String> {
    match text {
        "image" => Ok(Check::Image {}),
        other => Err(format!("'{other}' is no HEALTHCHECK: `image` is the image's own")),
    }
}

fn inference_probe(mut section: Section<'_>, problems: &mut Problems) -> InferenceSpec {
    if section.lacks("path") {
        problems.add(Problem::new(&section.path_of("path"), section.place, "missing"));
    }
    let request = http_check(&mut section, problems);
    let timeout = section.value("timeout", limit, problems);
    let warm_up = section.value("warm_up", whole(0..=1000), problems);
    let calls = section.value("calls", whole(1..=10_000), problems);
    let p95 = section.value("p95", limit, problems);
    let period = section.value("period", limit, problems);
    let failures = section.value("failures", whole(1..=1000), problems);
    if ["contains", "json", "p95"].into_iter().all(|key| section.lacks(key)) {
        let nothing =
            Problem::new(&section.path, section.place, "nothing is said of what the model must answer");
        problems.add(nothing.hint("say what is true of it, as in `json: length($.embedding) == 384`, or how soon it comes: `p95: 300ms`"));
    }
    section.done(problems);
    InferenceSpec {
        request,
        timeout: timeout.unwrap_or(Span::seconds(10)),
        warm_up: warm_up.unwrap_or(1),
        calls: calls.unwrap_or(10),
        p95,
        period: period.unwrap_or(Span::seconds(1)),
        failures: failures.unwrap_or(3),
    }
}
