//! What a deploy file says of the proxy: hosts, paths, limits, health and ports.

use super::*;

#[test]
fn the_proxy_is_told_by_which_hosts_and_paths_and_within_which_limits() {
    let target = with(
        "proxy:
  host: '*.example.com'
  path_prefix: /api/
  strip_path_prefix: false
  connect_timeout: 500ms
  response_timeout: 1m
  idle_timeout: 2m
  max_request_body: 10m
  total_timeout: 5m
  slow_start: 20s
  max_connections: 5
  max_idle: 0
  protocol: h2c
  healthcheck: {period: 2s, timeout: 500ms, successes: 2, failures: 5}
  ejection: {failures: 0, base_time: 1s, max_time: 10s}",
    );
    let expected = Routing {
        hosts: vec!["*.example.com".into()],
        path_prefixes: vec!["/api".into()],
        strip_path_prefix: false,
        connect_timeout: Span::millis(500),
        response_timeout: Span::seconds(60),
        idle_timeout: Span::seconds(120),
        max_request_body: Some(10 << 20),
        total_timeout: Span::seconds(300),
        slow_start: Span::seconds(20),
        max_connections: Some(5),
        max_idle: Some(0),
        protocol: ApplicationProtocol::H2c,
        ports: Vec::new(),
        health_check: HealthCheck {
            period: Some(Span::seconds(2)),
            timeout: Some(Span::millis(500)),
            successes: 2,
            failures: 5,
        },
        ejection: Ejection { failures: 0, base_time: Span::seconds(1), max_time: Span::seconds(10) },
        tls: None,
    };
    assert_eq!(target.settings.proxy, expected);
    assert_eq!(with("").settings.proxy, Routing::default());
}

#[test]
fn a_destination_lays_its_health_check_and_its_ejection_over_those_of_the_file() {
    let target = only(
        "service: hello
proxy: {healthcheck: {period: 2s, failures: 5}, ejection: {failures: 9, max_time: 10s}}
destinations: {production: {hosts: [a], proxy: {healthcheck: {failures: 1}, ejection: {base_time: 1s}}}}",
    );
    let Routing { health_check, ejection, .. } = target.settings.proxy;
    let expected = HealthCheck { period: Some(Span::seconds(2)), timeout: None, successes: 1, failures: 1 };
    assert_eq!(health_check, expected);
    let expected = Ejection { failures: 9, base_time: Span::seconds(1), max_time: Span::seconds(10) };
    assert_eq!(ejection, expected);
}

#[test]
fn only_what_an_older_switcher_would_leave_out_needs_a_newer_protocol() {
    let protocol = |lines: &str| {
        let settings = with(lines).settings;
        let source = Source::Image("hello".into());
        Plan::protocol_for(&Release { version: "v1".into(), source, settings, migrations: Vec::new() })
    };
    let usual = "proxy: {protocol: h2c, healthcheck: {failures: 3}, ejection: {base_time: 5s}, ports: []}";
    for lines in ["", usual] {
        assert_eq!(protocol(lines), 2, "{lines}");
    }
    for lines in [
        "proxy: {ports: [{port: 8080, path_prefix: /cable}]}",
        "proxy: {healthcheck: {period: 1s}}",
        "proxy: {healthcheck: {failures: 2}}",
        "proxy: {ejection: {failures: 0}}",
    ] {
        assert_eq!(protocol(lines), 3, "{lines}");
    }
}

#[test]
fn a_service_has_several_ports_and_a_destination_its_own_hosts_or_ports() {
    let file = parse(
        "service: hello
port: 3000
proxy:
  host: a.example
  path_prefix: /a
  ports:
    - {port: 8080, path_prefixes: [/a/cable, /cable/], strip_path_prefix: true}
    - {port: 50051, host: grpc.example, protocol: h2c}
    - {port: 9000}
destinations:
  same: {hosts: [a]}
  hosts: {hosts: [a], proxy: {host: b.example}}
  ports: {hosts: [a], proxy: {ports: [{port: 1, path_prefix: /}]}}
  none: {hosts: [a], proxy: {ports: []}}",
    )
    .unwrap();
    let ports = |name| file.destination(Some(name)).unwrap().settings.proxy.ports;
    let of = |host: &str| {
        let path_prefixes = vec!["/a/cable".to_owned(), "/cable".to_owned()];
        let cable = Port { path_prefixes, strip_path_prefix: true, ..port(8080, host) };
        let grpc = Port { protocol: ApplicationProtocol::H2c, ..port(50_051, "grpc.example") };
        [cable, grpc, port(9000, host)]
    };
    assert_eq!(ports("same"), of("a.example"));
    assert_eq!(ports("hosts"), of("b.example"));
    assert_eq!(ports("ports"), [Port { path_prefixes: vec!["/".into()], ..port(1, "a.example") }]);
    assert_eq!(ports("none"), []);
    let hosts = file.destination(Some("same")).unwrap().settings.proxy.all_hosts();
    assert_eq!(hosts, ["a.example", "grpc.example"]);
    let default = with("proxy: {ports: [{port: 8080, path_prefix: /cable}]}").settings.proxy;
    assert_eq!(default.ports[0].hosts, default.hosts);
}
