//! The lines as they stand on the wire: other programs and other versions depend on them.
#![allow(clippy::unwrap_used)]

use cutover_control::{
    Call, Epoch, HealthCheck, Refusal, Request, Response, Route, ServiceKey, Switch, Target, Timeouts,
    decode_reply, encode_reply,
};

fn text(line: &[u8]) -> &str {
    std::str::from_utf8(line).unwrap()
}

fn switch() -> Switch {
    Switch {
        key: ServiceKey::new("production", "app"),
        epoch: Epoch { journal: "j1".into(), sequence: 7 },
        deployment: "d2".into(),
        release: "r2".into(),
        route: Route { hosts: vec!["example.org".into()], ..Route::default() },
        targets: vec![Target { replica: "app-web-1".into(), address: "172.18.0.2:3000".parse().unwrap() }],
        health: Some(HealthCheck { path: "/up".into(), interval_ms: 1000, timeout_ms: 500 }),
        timeouts: Timeouts::of_response(30_000),
        max_request_body: None,
        drain_ms: 30_000,
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
        timeouts: Timeouts { response_ms: 30_000, connect_ms: 500, idle_ms: 60_000 },
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
