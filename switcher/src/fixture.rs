//! A plan to test with.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use cutover_core::{
    ApplicationProtocol, CertificateSource, Container, Ejection, HealthCheck, HostSpec, Intent, PROTOCOL,
    Plan, Port, ProbeSpec, Probes, Release, Resources, Routing, Sealed, ServiceKey, Settings, Soak, Source,
    Span, Stage, Timeouts, Tls,
};

/// A plan that says everything.
pub(crate) fn plan() -> Plan {
    let settings = Settings {
        port: 8080,
        replicas: 2,
        command: Vec::new(),
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        resources: Resources::default(),
        container: Container::default(),
        readiness: ProbeSpec {
            initial_delay: Span::seconds(2),
            timeout: Span(Duration::from_micros(500)),
            ..ProbeSpec::http("/up?deep=1")
        },
        probes: Probes::default(),
        proxy: Routing {
            hosts: vec!["shop.example.com".into()],
            path_prefixes: vec!["/shop".into()],
            strip_path_prefix: true,
            connect_timeout: Span::millis(500),
            response_timeout: Span::seconds(60),
            idle_timeout: Span(Duration::from_micros(500)),
            max_request_body: Some(1024),
            total_timeout: Span::seconds(300),
            slow_start: Span::seconds(20),
            max_connections: Some(5),
            max_idle: None,
            protocol: ApplicationProtocol::H2c,
            ports: vec![
                Port {
                    number: 8081,
                    hosts: vec!["shop.example.com".into()],
                    path_prefixes: vec!["/cable".into()],
                    strip_path_prefix: true,
                    protocol: ApplicationProtocol::Http1,
                },
                Port {
                    number: 50_051,
                    hosts: vec!["grpc.example.com".into()],
                    path_prefixes: Vec::new(),
                    strip_path_prefix: false,
                    protocol: ApplicationProtocol::H2c,
                },
            ],
            health_check: HealthCheck {
                period: Some(Span::seconds(2)),
                timeout: Some(Span::seconds(3)),
                successes: 2,
                failures: 5,
            },
            ejection: Ejection { failures: 9, base_time: Span::seconds(1), max_time: Span::seconds(10) },
            tls: Some(Tls {
                certificate: CertificateSource::Own {
                    certificate: "file:///chain.pem".parse().unwrap(),
                    key: "env://TLS_KEY".parse().unwrap(),
                },
                redirect: true,
                hsts: Span::seconds(60),
            }),
        },
        canary: cutover_core::Canary::default(),
        soak: Soak { time: Span::seconds(10), max_errors_per_mille: 10, min_requests: 20 },
        timeouts: Timeouts {
            drain: Span::seconds(0),
            drain_streams: Some(Span::seconds(600)),
            ..Default::default()
        },
        repository: None,
        database: None,
        rehearsal: None,
        via: cutover_core::Via::default(),
        engine: cutover_core::Engine::default(),
        rails: None,
        contract: cutover_core::ContractTerms::default(),
        locks: cutover_core::LockTerms::default(),
        backfill: cutover_core::BackfillTerms::default(),
        roles: Vec::new(),
        models: Vec::new(),
        sidecars: Vec::new(),
        warm: Span::default(),
        retain: 3,
    };
    let release = Release {
        version: "v2".into(),
        source: Source::Image("shop:2".into()),
        settings,
        migrations: Vec::new(),
    };
    Plan {
        protocol: PROTOCOL,
        deployment: "01jd0000000000000000000000".parse().unwrap(),
        key: ServiceKey { destination: "production".parse().unwrap(), service: "shop".parse().unwrap() },
        by: "ann@laptop".into(),
        untimely: false,
        sealed: Sealed::new(),
        intent: Intent::Deploy,
        release,
        image: None,
        sidecar_images: cutover_core::SidecarImages::new(),
        warm: None,
        replaces: None,
        hosts: vec![HostSpec {
            name: "198.18.0.2".parse().unwrap(),
            port: 22,
            user: "root".into(),
            host_key: None,
        }],
        stages: Stage::ALL.to_vec(),
    }
}
