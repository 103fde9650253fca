//! What a deploy file says of the container of a replica.

use std::collections::BTreeMap;

use cutover_core::{Container, Gpus, Logging, Plan, Release, Resources, Source, Ulimit, Volume, Warning};

use super::{texts, with};

/// The container of the sample.
pub fn sample() -> Container {
    let volume = |source: &str, target: &str, read_only| Volume {
        source: source.to_owned(),
        target: target.to_owned(),
        read_only,
    };
    Container {
        user: Some("1000:1000".into()),
        read_only: false,
        tmpfs: texts(&[("/run", ""), ("/cache", "size=64m")]),
        cap_add: vec!["NET_BIND_SERVICE".into()],
        gains_privileges: false,
        volumes: vec![volume("data", "/app/data", false), volume("/srv/models", "/models", true)],
        assets: Some("/app/public/assets".into()),
        labels: texts(&[("com.example.team", "web")]),
        logging: Logging { driver: Some("journald".into()), options: texts(&[("tag", "hello")]) },
        networks: vec!["backend".into()],
        extra_hosts: texts(&[("db", "10.0.0.5"), ("host.docker.internal", "host-gateway")]),
        dns: vec!["10.0.0.2".parse().unwrap()],
        stop_signal: Some("SIGQUIT".into()),
        without_init: false,
        sysctls: texts(&[("net.core.somaxconn", "1024")]),
        working_dir: Some("/app".into()),
        hostname: Some("hello".into()),
        non_root: true,
    }
}

/// The resources of the sample, but for what differs between its destinations.
pub fn sample_resources(memory: u64, milli_cpus: u64) -> Resources {
    let limits =
        [("nofile", Ulimit { soft: 20_000, hard: 40_000 }), ("memlock", Ulimit { soft: -1, hard: -1 })];
    Resources {
        memory: Some(memory),
        milli_cpus: Some(milli_cpus),
        pids: Some(256),
        cpu_shares: Some(512),
        gpus: Some(Gpus::Count(1)),
        shm_size: Some(256 << 20),
        ulimits: limits.map(|(name, limit)| (name.to_owned(), limit)).into(),
    }
}

#[test]
fn gpus_are_all_some_or_named() {
    let gpus = |text: &str| with(&format!("resources: {{gpus: {text}}}")).settings.resources.gpus.unwrap();
    assert_eq!(gpus("all"), Gpus::All);
    assert_eq!(gpus("2"), Gpus::Count(2));
    assert_eq!(gpus("[0, GPU-7]"), Gpus::Devices(vec!["0".into(), "GPU-7".into()]));
}

#[test]
fn what_had_better_not_be_asked_for_is_warned_of_and_done() {
    let warnings = |lines: &str| with(lines).settings.warnings();
    let of_volume = |source: &str| warnings(&format!("container: {{volumes: ['{source}:/there']}}"));
    let socket = |source: &str| vec![Warning::DockerSocket(source.to_owned())];
    for source in ["/var/run/docker.sock", "/run/docker.sock", "/var/run", "/run/", "/"] {
        assert_eq!(of_volume(source), socket(source), "{source}");
    }
    for source in ["data", "/var/runs", "/srv/docker.sock"] {
        assert_eq!(of_volume(source), [], "{source}");
    }
    assert_eq!(of_volume("/srv/../etc"), [Warning::Climbs("/srv/../etc".into())]);
    assert_eq!(
        warnings("container: {user: '0:0', no_new_privileges: false, cap_add: [all, CAP_CHOWN]}"),
        [Warning::Root("0:0".into()), Warning::GainsPrivileges, Warning::Capability("ALL".into())]
    );
    assert_eq!(warnings("container: {user: app, no_new_privileges: true}"), []);
}

/// What older workers would leave out they must not be given; what they know keeps the ids that it has.
#[test]
fn new_options_need_the_fourth_protocol_and_old_ones_read_as_before() {
    let release = |lines: &str| Release {
        version: "v1".into(),
        source: Source::Image("hello".into()),
        settings: with(lines).settings,
        migrations: Vec::new(),
    };
    for lines in ["", "container: {user: app, read_only: true, no_new_privileges: true, init: true}"] {
        assert_eq!(Plan::protocol_for(&release(lines)), 2, "{lines}");
    }
    let usual = serde_json::to_value(release("").settings).unwrap();
    assert_eq!(usual["container"], serde_json::json!({"user": null, "read_only": false}));
    assert_eq!(usual["resources"], serde_json::json!({"memory": null, "milli_cpus": null, "pids": null}));
    for option in [
        "resources: {cpu_shares: 512}",
        "resources: {gpus: all}",
        "resources: {shm_size: 1g}",
        "resources: {ulimits: {nofile: 1024}}",
        "container: {tmpfs: [/run]}",
        "container: {cap_add: [CHOWN]}",
        "container: {no_new_privileges: false}",
        "container: {volumes: [data:/data]}",
        "container: {assets: /app/public/assets}",
        "container: {labels: {a: b}}",
        "container: {logging: {driver: journald}}",
        "container: {networks: [backend]}",
        "container: {extra_hosts: {db: 10.0.0.5}}",
        "container: {dns: [10.0.0.2]}",
        "container: {stop_signal: QUIT}",
        "container: {init: false}",
        "container: {sysctls: {net.core.somaxconn: 1}}",
        "container: {working_dir: /app}",
        "container: {hostname: hello}",
    ] {
        let release = release(option);
        assert_eq!(Plan::protocol_for(&release), 4, "{option}");
        let stored = serde_json::to_string(&release).unwrap();
        assert_eq!(serde_json::from_str::<Release>(&stored).unwrap(), release, "{option}");
    }
}

#[test]
fn a_destination_changes_single_limits() {
    let target = super::only(
        "service: hello\nresources: {cpu_shares: 512, ulimits: {nofile: 1, core: 0}}\ndestinations:\n  production:\n    \
         hosts: [203.0.113.7]\n    resources: {ulimits: {nofile: 2}}",
    );
    let both = |limit| Ulimit { soft: limit, hard: limit };
    let expected = BTreeMap::from([("core".to_owned(), both(0)), ("nofile".to_owned(), both(2))]);
    assert_eq!(target.settings.resources.ulimits, expected);
    assert_eq!(target.settings.resources.cpu_shares, Some(512));
}

#[test]
fn who_must_not_be_root_is_not_given_to_shippers_that_would_not_mind() {
    let release = |lines: &str| Release {
        version: "v1".into(),
        source: Source::Image("hello".into()),
        settings: with(lines).settings,
        migrations: Vec::new(),
    };
    let policy = release("policy: {require_non_root: true, require_limits: [pids]}\nresources: {pids: 64}");
    assert_eq!(Plan::protocol_for(&policy), 7);
    let stored = serde_json::to_string(&policy).unwrap();
    assert_eq!(serde_json::from_str::<Release>(&stored).unwrap(), policy);
    // What the file alone is held to makes no other release.
    let limits = release("policy: {require_non_root: false, require_limits: [pids]}\nresources: {pids: 64}");
    assert_eq!(limits, release("resources: {pids: 64}"));

    let own = Container { user: Some("1000".into()), ..Container::default() };
    for user in [
        "", "root", "0", "000", "0:0", "root:app", ":1000", "+0", "-0", "0x0", " 0", "toor", "app:1000",
        "+1000",
    ] {
        assert!(Container::default().may_be_root(user) && !own.may_be_root(user), "{user}");
    }
    let root = Container { user: Some("root".into()), ..Container::default() };
    for user in ["1000", "65532:0", "010"] {
        assert!(!Container::default().may_be_root(user) && root.may_be_root(user), "{user}");
    }
}
