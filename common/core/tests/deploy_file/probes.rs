//! What a deploy file says of probes.

use super::*;

fn get(path: &str) -> HttpCheck {
    HttpCheck::get(path)
}

/// The readiness probe of the sample.
pub fn sample_readiness() -> ProbeSpec {
    let check = HttpCheck {
        method: Some(Method::Get),
        headers: texts(&[("accept", "application/json")]),
        contains: Some("ready".into()),
        json: vec!["$.model.loaded == true".parse().unwrap()],
        ..get("/up")
    };
    ProbeSpec { failures: Some(30), ..ProbeSpec::new(Check::Http(check.into())) }
}

/// The others of the sample.
pub fn sample() -> Probes {
    let startup = ProbeSpec::new(Check::Command(vec!["bin/booted".into()]));
    let liveness = ProbeSpec {
        period: Span::seconds(10),
        failures: Some(3),
        ..ProbeSpec::new(Check::Tcp { port: Some(80) })
    };
    let request = HttpCheck {
        headers: texts(&[("content-type", "application/json")]),
        body: Some(r#"{"input": "hello"}"#.into()),
        json: vec!["length($.embedding) == 384".parse().unwrap(), "$.score > 0.7".parse().unwrap()],
        ..get("/embed")
    };
    Probes {
        startup: Some(startup.into()),
        liveness: Some(liveness.into()),
        inference: Some(inference(request).into()),
    }
}

fn inference(request: HttpCheck) -> InferenceSpec {
    InferenceSpec {
        request,
        timeout: Span::seconds(10),
        warm_up: 1,
        calls: 10,
        p95: Some(Span::millis(300)),
        period: Span::seconds(1),
        failures: 3,
    }
}

#[test]
fn a_probe_asks_over_http_unless_something_else_is_said() {
    let target = with("readiness_probe: {}\nliveness_probe: {path: /alive}");
    assert_eq!(target.settings.readiness, ProbeSpec::http("/up"));
    let liveness = ProbeSpec { period: Span::seconds(10), failures: Some(3), ..ProbeSpec::http("/alive") };
    assert_eq!(target.settings.probes, Probes { liveness: Some(liveness.into()), ..Probes::default() });
    let protocol = |settings| {
        let source = Source::Image("hello".to_owned());
        Plan::protocol_for(&Release { version: "hello".to_owned(), source, settings, migrations: Vec::new() })
    };
    assert_eq!((protocol(with("").settings), protocol(target.settings)), (2, 7));
}

#[test]
fn what_is_sent_and_what_a_good_answer_is_are_read() {
    let target = with(
        "readiness_probe:
  path: /v1/ready?deep=1
  method: PUT
  headers: {Accept: application/json, Host: example.com}
  body: 'a=1'
  status: 200-204, 304
  contains: \"it's up\"
  json: ['$.model.loaded == true', length($.heads) > 2]
  initial_delay: 2s
  period: 500ms
  timeout: 1s
  successes: 2
  failures: 9",
    );
    let check = HttpCheck {
        path: "/v1/ready?deep=1".into(),
        method: Some(Method::Put),
        headers: texts(&[
            ("accept", "application/json"),
            ("content-type", "application/json"),
            ("host", "example.com"),
        ]),
        body: Some("a=1".into()),
        status: "200-204,304".parse().unwrap(),
        contains: Some("it's up".into()),
        json: vec!["$.model.loaded == true".parse().unwrap(), "length($.heads) > 2".parse().unwrap()],
    };
    let expected = ProbeSpec {
        check: Check::Http(check.into()),
        initial_delay: Span::seconds(2),
        period: Span::millis(500),
        timeout: Span::seconds(1),
        successes: 2,
        failures: Some(9),
    };
    assert_eq!(target.settings.readiness, expected);
    let target = with("readiness_probe: {json: $.ok, headers: {content-type: text/plain}, body: x}");
    let Check::Http(check) = target.settings.readiness.check else { panic!() };
    assert_eq!((check.path.as_str(), check.json.len()), ("/up", 1));
    assert_eq!(check.headers["content-type"], "text/plain");
}

#[test]
fn the_other_kinds_are_read() {
    for (text, check) in [
        ("tcp: {}", Check::Tcp { port: None }),
        ("tcp: {port: 5432}", Check::Tcp { port: Some(5432) }),
        ("grpc: {}", Check::Grpc(GrpcCheck::default())),
        (
            "grpc: {service: embed.v1.Embedder, port: 50051}",
            Check::Grpc(GrpcCheck { service: "embed.v1.Embedder".into(), port: Some(50_051) }),
        ),
        ("command: bin/ready --deep", Check::Command(vec!["bin/ready".into(), "--deep".into()])),
        ("command: [sh, -c, \"exit 0\"]", Check::Command(vec!["sh".into(), "-c".into(), "exit 0".into()])),
        ("healthcheck: image", Check::Image {}),
    ] {
        let target = with(&format!("readiness_probe: {{{text}}}\nstartup_probe: {{{text}}}"));
        assert_eq!(target.settings.readiness, ProbeSpec::new(check.clone()), "{text}");
        assert_eq!(target.settings.probes.startup, Some(ProbeSpec::new(check).into()), "{text}");
    }
}

#[test]
fn a_model_is_asked_what_its_probe_says() {
    let target = with(
        "inference_probe: {path: /embed, body: '{\"input\": \"hello\"}', json: length($.embedding) == 384, p95: 300ms}",
    );
    let request = HttpCheck {
        headers: texts(&[("content-type", "application/json")]),
        body: Some(r#"{"input": "hello"}"#.into()),
        json: vec!["length($.embedding) == 384".parse().unwrap()],
        ..get("/embed")
    };
    assert_eq!(target.settings.probes.inference, Some(inference(request).into()));
    let target = with(
        "inference_probe: {path: /, contains: x, timeout: 2s, warm_up: 0, calls: 1, period: 5s, failures: 1}",
    );
    let expected = InferenceSpec {
        request: HttpCheck { contains: Some("x".into()), ..get("/") },
        timeout: Span::seconds(2),
        warm_up: 0,
        calls: 1,
        p95: None,
        period: Span::seconds(5),
        failures: 1,
    };
    assert_eq!(target.settings.probes.inference, Some(expected.into()));
}
