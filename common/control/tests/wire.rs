//! The lines as they stand on the wire: other programs and other versions depend on them.
#![allow(clippy::unwrap_used)]

use cutover_control::{
    Account, ApplicationProtocol, Call, Canary, Certificate, CertificateStatus, Challenge, Choice, Ejection,
    Epoch, HealthCheck, Maintenance, Pause, Port, Refusal, Request, Response, Route, SecretText, ServiceKey,
    ServiceStatus, Switch, Target, TargetStatus, Timeouts, TlsPolicy, Upstream, decode_reply, encode_reply,
};

fn text(line: &[u8]) -> &str {
    std::str::from_utf8(line).unwrap()
}

fn switch() -> Switch {
    let key = ServiceKey::new("production", "app");
    let epoch = Epoch { journal: "j1".into(), sequence: 7 };
    let target = Target { replica: "app-web-1".into(), address: "172.18.0.2:3000".parse().unwrap() };
    Switch {
        route: Route { hosts: vec!["example.org".into()], ..Route::default() },
        health: Some(HealthCheck::new("/up", 1000, 500)),
        ..Switch::new(key, epoch, "d2", "r2", vec![target])
    }
}

#[test]
fn a_switch_reads_as_it_was_written() {
    let call = Call::new(Request::Switch(Box::new(switch())));
    let line = call.to_line().unwrap();
    assert_eq!(
        text(&line),
        concat!(
            r#"{"protocol":2,"request":{"switch":{"key":"production/app","epoch":{"journal":"j1","sequence":7},"#,
            r#""deployment":"d2","release":"r2","route":{"hosts":["example.org"]},"#,
            r#""targets":[{"replica":"app-web-1","address":"172.18.0.2:3000"}],"#,
            r#""health":{"path":"/up","interval_ms":1000,"timeout_ms":500},"timeouts":{"response_ms":30000},"#,
            r#""drain_ms":30000}}}"#,
            "\n"
        )
    );
    assert_eq!(Call::from_line(&line).unwrap(), call);
}

#[test]
fn what_only_protocol_3_has_is_asked_in_protocol_3() {
    let full = Switch {
        route: Route {
            hosts: vec!["*.example.org".into()],
            path_prefixes: vec!["/api".into()],
            strip_path_prefix: true,
        },
        timeouts: Timeouts { response_ms: 30_000, connect_ms: 500, idle_ms: 60_000, total_ms: 0 },
        max_request_body: Some(1024),
        ..switch()
    };
    let call = Call::new(Request::Switch(Box::new(full.clone())));
    let line = call.to_line().unwrap();
    for part in [
        r#"{"protocol":3,"#,
        r#""route":{"hosts":["*.example.org"],"path_prefixes":["/api"],"strip_path_prefix":true}"#,
        r#""timeouts":{"response_ms":30000,"connect_ms":500,"idle_ms":60000},"max_request_body":1024"#,
    ] {
        assert!(text(&line).contains(part), "{part} in {}", text(&line));
    }
    assert_eq!(Call::from_line(&line).unwrap(), call);
    let each = [
        Switch { route: full.route.clone(), ..switch() },
        Switch { timeouts: Timeouts { idle_ms: 0, ..full.timeouts }, ..switch() },
        Switch { timeouts: Timeouts { idle_ms: 1, ..Timeouts::of_response(1) }, ..switch() },
        Switch { max_request_body: Some(0), ..switch() },
    ];
    for switch in each {
        assert_eq!(Call::new(Request::Switch(Box::new(switch))).protocol, 3);
    }
    assert_eq!(Call::new(Request::Status).protocol, 2);
}

#[test]
fn canaries_and_halts_are_asked_in_protocol_4() {
    let key = ServiceKey::new("production", "app");
    let plain =
        Canary { switch: switch(), weight: 50, hold_ms: 5_000, sticky: false, choose: None, mirror: 0 };
    let choose = Some(Choice::Cookie { name: "try".into(), value: "yes".into() });
    let full = Canary { sticky: true, choose, mirror: 10, ..plain.clone() };
    let pause = Pause { key: key.clone(), journal: None, hold_ms: 30_000, max_waiting: 100 };
    let away = Maintenance {
        key: key.clone(),
        journal: Some("j1".into()),
        page: Some("<p>soon".into()),
        until: Some(5),
        choose: Some(Choice::Header { name: "X-Try".into(), value: "yes".into() }),
    };
    for (request, text_of_it) in [
        (Request::Canary(Box::new(plain)), r#""drain_ms":30000},"weight":50,"hold_ms":5000}}"#),
        (
            Request::Canary(Box::new(full)),
            r#","sticky":true,"choose":{"cookie":{"name":"try","value":"yes"}},"mirror":10}}"#,
        ),
        (Request::Pause(pause), r#"{"pause":{"key":"production/app","hold_ms":30000,"max_waiting":100}}"#),
        (Request::Resume { key: key.clone(), journal: None }, r#"{"resume":{"key":"production/app"}}"#),
        (
            Request::Maintenance(Box::new(away)),
            r#"{"maintenance":{"key":"production/app","journal":"j1","page":"<p>soon","until":5,"choose":{"header":"#,
        ),
        (
            Request::EndMaintenance { key, journal: Some("j1".into()) },
            r#"{"end_maintenance":{"key":"production/app","journal":"j1"}}"#,
        ),
    ] {
        let call = Call::new(request);
        let line = call.to_line().unwrap();
        assert!(text(&line).starts_with(r#"{"protocol":4,"#), "{}", text(&line));
        assert!(text(&line).contains(text_of_it), "{text_of_it} in {}", text(&line));
        assert_eq!(Call::from_line(&line).unwrap(), call);
    }
}

fn certificate() -> Certificate {
    Certificate { chain: "CHAIN".into(), key: SecretText::new("KEY".into()), ordered_from: None }
}

#[test]
fn what_belongs_to_tls_is_asked_in_protocol_4() {
    let key = ServiceKey::new("production", "app");
    let account =
        Account { directory: "https://ca.example/dir".into(), credentials: SecretText::new("{}".into()) };
    let http = Challenge::Http01 { token: "t".into(), answer: "t.k".into() };
    let tls = Challenge::TlsAlpn01 { host: "example.org".into(), digest: "00ff".into() };
    let policy = TlsPolicy { redirect: true, hsts_seconds: 60 };
    for (request, text_of_it) in [
        (
            Request::Certify { key, certificate: certificate() },
            r#"{"certify":{"key":"production/app","certificate":{"chain":"CHAIN","key":"KEY"}}}"#,
        ),
        (Request::Certificates, r#""certificates""#),
        (
            Request::KeepAccount { account },
            r#"{"keep_account":{"account":{"directory":"https://ca.example/dir","credentials":"{}"}}}"#,
        ),
        (
            Request::Answer { challenge: http },
            r#"{"answer":{"challenge":{"http01":{"token":"t","answer":"t.k"}}}}"#,
        ),
        (
            Request::Answer { challenge: tls },
            r#"{"answer":{"challenge":{"tls_alpn01":{"host":"example.org","digest":"00ff"}}}}"#,
        ),
        (
            Request::Switch(Box::new(Switch { tls: Some(policy), ..switch() })),
            r#""tls":{"redirect":true,"hsts_seconds":60},"drain_ms""#,
        ),
    ] {
        let call = Call::new(request);
        let line = call.to_line().unwrap();
        assert!(text(&line).starts_with(r#"{"protocol":4,"#), "{}", text(&line));
        assert!(text(&line).contains(text_of_it), "{text_of_it} in {}", text(&line));
        assert_eq!(Call::from_line(&line).unwrap(), call);
    }
}

#[test]
fn a_key_is_written_to_the_wire_and_nowhere_else() {
    let certificates = vec![(ServiceKey::new("production", "app"), certificate())];
    let reply = Ok(Response::Certificates { certificates, account: None, accounts: Vec::new() });
    let line = encode_reply(&reply).unwrap();
    assert_eq!(decode_reply(&line).unwrap(), reply);
    assert!(text(&line).contains("\"KEY\"") && !format!("{reply:?}").contains("KEY"));
}

#[test]
fn an_older_proxy_tells_of_one_account_and_one_that_has_none_writes_as_it_did() {
    let older = r#"{"ok":{"certificates":{"certificates":[],"account":null}}}"#;
    let reply = decode_reply(older.as_bytes()).unwrap();
    let none = Response::Certificates { certificates: Vec::new(), account: None, accounts: Vec::new() };
    assert_eq!(reply, Ok(none));
    assert_eq!(text(&encode_reply(&reply).unwrap()).trim_end(), older);
}

#[test]
fn a_line_with_a_secret_that_cannot_be_read_is_told_by_its_place_alone() {
    for line in [
        r#"{"protocol":4,"request":{"certify":"SECRET"}}"#,
        r#"{"protocol":4,"request":{"certify":{"key":"a/b","certificate":{"chain":"","key":4711}}}}"#,
        r#"{"protocol":4,"request":{"certify":{"key":"SECRET","certificate":{}}}}"#,
        r#"{"protocol":4,"request":{"keep_account":{"account":"SECRET"}}}"#,
        r#"{"protocol":4,"request":{"keep_account":{"account":{"directory":1,"credentials":"SECRET"}}}}"#,
    ] {
        let error = Call::from_line(line.as_bytes()).unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(!told.contains("SECRET") && !told.contains("4711"), "{told}");
        assert!(told.contains("line: 1, column: "), "{told}");
    }
    let reply = r#"{"ok":{"certificates":{"certificates":"SECRET"}}}"#;
    let told = format!("{:?}", decode_reply(reply.as_bytes()).unwrap_err());
    assert!(!told.contains("SECRET") && told.contains("line: 1, column: "), "{told}");
    // Of any other, what is wrong is said.
    let error = Call::from_line(br#"{"protocol":4,"request":"reboot"}"#).unwrap_err();
    assert!(format!("{error:?}").contains("reboot"), "{error:?}");
}

#[test]
fn a_status_of_an_older_proxy_has_no_certificates() {
    let older = concat!(
        r#"{"key":"production/app","epoch":{"journal":"j1","sequence":7},"route":{"hosts":[]},"#,
        r#""active":null,"previous":null,"draining":[]}"#
    );
    let mut status: ServiceStatus = serde_json::from_str(older).unwrap();
    assert_eq!(serde_json::to_string(&status).unwrap(), older);
    let names = vec!["example.org".to_owned()];
    let ordered_from = Some("https://ca.example/dir".to_owned());
    let certificate =
        CertificateStatus { names, issuer: "CN=ca".into(), not_before: 1, not_after: 2, ordered_from };
    status.certificates = vec![certificate];
    let newer = serde_json::to_string(&status).unwrap();
    assert_eq!(serde_json::from_str::<ServiceStatus>(&newer).unwrap(), status);
}

#[test]
fn what_only_protocol_4_has_is_asked_in_protocol_4() {
    let check = HealthCheck { failures: 5, successes: 2, ..HealthCheck::new("/up", 1000, 500) };
    let total = Timeouts { total_ms: 60_000, ..Timeouts::of_response(30_000) };
    let upstream = Upstream {
        slow_start_ms: 20_000,
        max_connections: Some(5),
        max_idle: Some(0),
        ..Upstream::default()
    };
    let h2c = Upstream { application_protocol: ApplicationProtocol::H2c, ..Upstream::default() };
    let each = [
        (Switch { drain_streams_ms: Some(600_000), ..switch() }, r#""drain_streams_ms":600000"#),
        (Switch { health: Some(check), ..switch() }, r#""timeout_ms":500,"failures":5,"successes":2}"#),
        (Switch { timeouts: total, ..switch() }, r#"{"response_ms":30000,"total_ms":60000}"#),
        (
            Switch { upstream, ..switch() },
            r#""slow_start_ms":20000,"max_connections":5,"max_idle":0,"drain_ms""#,
        ),
        (Switch { upstream: h2c, ..switch() }, r#""application_protocol":"h2c","drain_ms""#),
    ];
    for (switch, part) in each {
        let call = Call::new(Request::Switch(Box::new(switch)));
        let line = call.to_line().unwrap();
        assert!(
            text(&line).starts_with(r#"{"protocol":4,"#) && text(&line).contains(part),
            "{}",
            text(&line)
        );
        assert_eq!(Call::from_line(&line).unwrap(), call);
    }
}

#[test]
fn several_ports_are_asked_in_protocol_5() {
    let grpc = Port {
        number: 50_051,
        route: Route { hosts: vec!["grpc.example.org".into()], ..Route::default() },
        application_protocol: ApplicationProtocol::H2c,
    };
    let path_prefixes = vec!["/cable".into()];
    let cable = Port {
        number: 8080,
        route: Route { path_prefixes, ..switch().route },
        application_protocol: ApplicationProtocol::Http1,
    };
    let switch = Switch { ports: vec![grpc, cable], ..switch() };
    let canary =
        Canary { switch: switch.clone(), weight: 50, hold_ms: 5_000, sticky: false, choose: None, mirror: 0 };
    for request in [Request::Switch(Box::new(switch)), Request::Canary(Box::new(canary))] {
        let call = Call::new(request);
        let line = call.to_line().unwrap();
        for part in [
            r#"{"protocol":5,"#,
            concat!(
                r#""ports":[{"number":50051,"route":{"hosts":["grpc.example.org"]},"application_protocol":"h2c"},"#,
                r#"{"number":8080,"route":{"hosts":["example.org"],"path_prefixes":["/cable"]}}]"#,
            ),
        ] {
            assert!(text(&line).contains(part), "{part} in {}", text(&line));
        }
        assert_eq!(Call::from_line(&line).unwrap(), call);
    }
}

#[test]
fn the_terms_of_an_ejection_are_asked_in_protocol_5() {
    let ejection = Ejection { failures: 0, base_ms: 1_000, max_ms: 10_000 };
    let switch = Switch { upstream: Upstream { ejection, ..Upstream::default() }, ..switch() };
    let call = Call::new(Request::Switch(Box::new(switch)));
    let line = call.to_line().unwrap();
    for part in [r#"{"protocol":5,"#, r#""ejection":{"failures":0,"base_ms":1000,"max_ms":10000},"drain_ms""#]
    {
        assert!(text(&line).contains(part), "{part} in {}", text(&line));
    }
    assert_eq!(Call::from_line(&line).unwrap(), call);
}

#[test]
fn a_limit_of_the_first_check_is_asked_in_protocol_5() {
    let check = HealthCheck { first_timeout_ms: Some(5_000), ..HealthCheck::new("/up", 1000, 500) };
    let call = Call::new(Request::Switch(Box::new(Switch { health: Some(check), ..switch() })));
    let line = call.to_line().unwrap();
    for part in [r#"{"protocol":5,"#, r#""timeout_ms":500,"first_timeout_ms":5000}"#] {
        assert!(text(&line).contains(part), "{part} in {}", text(&line));
    }
    assert_eq!(Call::from_line(&line).unwrap(), call);
}

#[test]
fn a_check_by_a_connection_is_asked_in_protocol_6() {
    let health = Some(HealthCheck::of_connection(1000, 500));
    let call = Call::new(Request::Switch(Box::new(Switch { health, ..switch() })));
    let line = call.to_line().unwrap();
    for part in [r#"{"protocol":6,"#, r#""path":"","connect_only":true,"interval_ms":1000"#] {
        assert!(text(&line).contains(part), "{part} in {}", text(&line));
    }
    assert_eq!(Call::from_line(&line).unwrap(), call);
}

#[test]
fn what_an_older_proxy_says_of_a_target_is_read() {
    let said = r#"{"replica":"app-web-1","address":"172.18.0.2:3000","healthy":true,"in_flight":2}"#;
    let target: TargetStatus = serde_json::from_str(said).unwrap();
    assert_eq!((target.requests(), target.streams, target.upgraded), (2, 0, 0));
}

#[test]
fn replies_are_ok_or_refused() {
    let done = Ok(Response::Switched { previous: None });
    let line = encode_reply(&done).unwrap();
    assert_eq!(text(&line), "{\"ok\":{\"switched\":{\"previous\":null}}}\n");
    assert_eq!(decode_reply(&line).unwrap(), done);

    let refused = Err(Refusal::StaleEpoch { highest: Epoch { journal: "j1".into(), sequence: 9 } });
    let line = encode_reply(&refused).unwrap();
    assert_eq!(
        text(&line),
        "{\"refused\":{\"reason\":\"stale_epoch\",\"highest\":{\"journal\":\"j1\",\"sequence\":9}}}\n"
    );
    assert_eq!(decode_reply(&line).unwrap(), refused);
}

#[test]
fn what_is_no_call_is_an_error() {
    for line in ["", "status", "{}", r#"{"protocol":2,"request":"reboot"}"#] {
        assert!(Call::from_line(line.as_bytes()).is_err(), "{line}");
    }
}
