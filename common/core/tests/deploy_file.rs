//! The deploy file from the outside: what is read out of good ones, and what bad ones are told.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "deploy_file/accessories.rs"]
mod accessories;
#[path = "deploy_file/builder.rs"]
mod builder;
#[path = "deploy_file/canary.rs"]
mod canary;
#[path = "deploy_file/container.rs"]
mod container;
#[path = "deploy_file/migrations.rs"]
mod migrations;
#[path = "deploy_file/models.rs"]
mod models;
#[path = "deploy_file/probes.rs"]
mod probes;
#[path = "deploy_file/proxy.rs"]
mod proxy;
#[path = "deploy_file/roles.rs"]
mod roles;
#[path = "deploy_file/schema.rs"]
mod schema;
#[path = "deploy_file/secrets.rs"]
mod secrets;
#[path = "deploy_file/sidecars.rs"]
mod sidecars;
#[path = "deploy_file/tls.rs"]
mod tls;

use std::collections::BTreeMap;

use cutover_core::{
    Acme, ApplicationProtocol, CertificateSource, Check, Container, DeployFile, DeployFileError, Ejection,
    GitRepository, GrpcCheck, HealthCheck, Hook, Hooks, HostKey, HostSpec, HttpCheck, ImageSource,
    InferenceSpec, LETS_ENCRYPT, Method, MigrationSource, Plan, Port, ProbeSpec, Probes, Proof, Recipe,
    Reference, RegistryLogin, RehearsalTerms, Release, Repository, Resources, Routing, Settings, Soak,
    Source, Span, SshKeys, Target, Timeouts, Tls,
};
use proptest::prelude::*;

/// Bad files, each with its name and the exact text that is shown for it.
const REFUSED: &str = include_str!("deploy_file/refused.txt");
const SAMPLE: &str = include_str!("../../../docs/cutover.sample.yaml");

fn parse(text: &str) -> Result<DeployFile, DeployFileError> {
    DeployFile::parse(text, "cutover.yaml")
}

fn only(text: &str) -> Target {
    let file = parse(text).unwrap_or_else(|error| panic!("{error}"));
    schema::check(text);
    file.destination(None).unwrap()
}

/// A file with these lines before what every file needs.
fn with(lines: &str) -> Target {
    only(&format!("service: hello\n{lines}\ndestinations: {{production: {{hosts: [203.0.113.7]}}}}"))
}

/// What a file with these lines is told, in its own words.
fn problems(lines: &str) -> Vec<String> {
    let text = format!("service: hello\n{lines}\ndestinations: {{production: {{hosts: [203.0.113.7]}}}}");
    match parse(&text) {
        Err(DeployFileError::Invalid { problems, .. }) => problems
            .into_iter()
            .map(|problem| {
                format!("{}: {} {}", problem.path, problem.message, problem.hint.unwrap_or_default())
            })
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn hosts(target: &Target) -> Vec<String> {
    let text = |host: &HostSpec| format!("{}@{}:{}", host.user, host.name, host.port);
    target.hosts.iter().map(text).collect()
}

fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn references(pairs: &[(&str, &str)]) -> BTreeMap<String, Reference> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), text.parse().unwrap())).collect()
}

/// TLS with one's own certificate, and nothing else said.
fn own(certificate: &str, key: &str) -> Tls {
    let (certificate, key) = (certificate.parse().unwrap(), key.parse().unwrap());
    Tls { certificate: CertificateSource::Own { certificate, key }, redirect: true, hsts: Span::default() }
}

/// TLS with a certificate that is ordered, and nothing else said.
fn ordered(email: Option<&str>) -> Tls {
    let (directory, email) = (LETS_ENCRYPT.to_owned(), email.map(str::to_owned));
    let certificate = CertificateSource::Acme(Acme { directory, email, proof: Proof::Http });
    Tls { certificate, redirect: true, hsts: Span::default() }
}

/// A port with all paths of a host.
fn port(number: u16, host: &str) -> Port {
    Port {
        number,
        hosts: vec![host.into()],
        path_prefixes: Vec::new(),
        strip_path_prefix: false,
        protocol: ApplicationProtocol::Http1,
    }
}

#[test]
fn every_bad_file_is_told_exactly_what_is_wrong() {
    let mut wrong = String::new();
    let mut cases = 0;
    for case in REFUSED.split("\n=====\n") {
        let (name, rest) = case.trim_start().split_once('\n').unwrap_or((case, ""));
        let (text, expected) = rest.split_once("-----\n").unwrap_or_else(|| panic!("{name}: no ----- line"));
        let told = match parse(text) {
            Ok(_) => "nothing: it was read".to_owned(),
            Err(error) => error.to_string(),
        };
        if told.trim_end() != expected.trim_end() {
            wrong.push_str(&format!("\n=====\n{name}\n{text}-----\n{told}"));
        }
        cases += 1;
    }
    assert!(wrong.is_empty(), "these were told something else:{wrong}");
    assert!(cases >= 25, "{cases} cases");
}

#[test]
fn a_file_of_five_lines_is_enough() {
    let text = "service: hello\nport: 3000\ndestinations:\n  production:\n    hosts: [203.0.113.7]\n";
    let target = only(text);
    assert_eq!(target.key.to_string(), "production/hello");
    assert_eq!(hosts(&target), ["root@203.0.113.7:22"]);
    assert_eq!(target.migrations, None);
    assert_eq!(target.image, ImageSource::Builder { context: ".".into(), git: None, recipe: Box::default() });
    let expected = Settings {
        port: 3000,
        replicas: 1,
        command: vec![],
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        resources: Resources::default(),
        container: Container::default(),
        readiness: ProbeSpec::http("/up"),
        probes: Probes::default(),
        proxy: Routing::default(),
        canary: cutover_core::Canary::default(),
        soak: Soak { time: Span::seconds(10), max_errors_per_mille: 50, min_requests: 20 },
        timeouts: Timeouts::default(),
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
        retain: 5,
    };
    assert_eq!(target.settings, expected);
}

#[test]
fn the_sample_says_what_its_comments_say() {
    let file = parse(SAMPLE).unwrap_or_else(|error| panic!("{error}"));
    let target = file.destination(Some("production")).unwrap();
    assert_eq!(hosts(&target), ["root@203.0.113.7:22", "deploy@web2.example.com:2222"]);
    let pinned: Vec<_> =
        target.hosts.iter().map(|host| host.host_key.as_ref().map(HostKey::as_str)).collect();
    assert_eq!(pinned, [None, Some("SHA256:uNiVztksCsDhcc0u9e8BrVXt6k7zXbnmJsGlxlFLt5g")]);
    assert_eq!((Plan::protocol_to(&target.hosts), Plan::protocol_to(&target.hosts[..1])), (7, 2));
    assert_eq!(target.migrations, Some(MigrationSource::Folder("db/migrate".into())));
    let windows: Vec<_> = target.windows.iter().map(ToString::to_string).collect();
    assert_eq!(windows, ["Mon-Thu 09:00-16:30 Europe/Berlin", "Fri 09:00-12:00 Europe/Berlin"]);
    let built = ImageSource::Builder {
        context: ".".into(),
        git: Some(GitRepository {
            url: Some("git@github.com:acme/hello.git".into()),
            reference: "main".into(),
            key: Some("file:///run/secrets/git_key".parse().unwrap()),
        }),
        recipe: Box::new(Recipe {
            dockerfile: "Dockerfile".into(),
            target: Some("prod".into()),
            args: texts(&[("RUBY", "3.3")]),
            labels: texts(&[("com.example.team", "shop")]),
            secrets: references(&[("npm_token", "env://NPM_TOKEN")]),
            ssh: BTreeMap::from([
                ("default".into(), SshKeys::Agent),
                ("deploy".into(), SshKeys::Key("file:///run/secrets/deploy_key".parse().unwrap())),
            ]),
            platform: Some("linux/amd64".into()),
            cache_from: vec!["ghcr.io/acme/hello:cache".into()],
            inline_cache: true,
            no_cache: false,
            registry: Some(RegistryLogin {
                server: "ghcr.io".into(),
                username: "acme".into(),
                password: "env://GHCR_TOKEN".parse().unwrap(),
            }),
            remote: Some("ssh://docker@build.example.com:2222".parse().unwrap()),
        }),
    };
    assert_eq!(target.image, built);
    assert_eq!(target.models, models::sample());
    assert_eq!(target.sidecars, [sidecars::sample()]);
    assert_eq!(target.accessories, [accessories::sample()]);
    let words = |text: &str| text.split(' ').map(str::to_owned).collect();
    let hooks = Hooks {
        before_build: words("bin/check"),
        before_deploy: words("bin/may-deploy shop"),
        after_deploy: words("bin/announce"),
        on_failure: words("bin/announce --failed"),
        // This is the default.
        ..Hooks::default()
    };
    assert_eq!(target.hooks, hooks);
    let plain = with("");
    let expected = Settings {
        replicas: 4,
        command: vec!["bin/server".into()],
        env: texts(&[("RAILS_ENV", "production"), ("WEB_CONCURRENCY", "4")]),
        secrets: references(&[
            ("RAILS_MASTER_KEY", "env://RAILS_MASTER_KEY"),
            ("LICENCE", "file:///run/secrets/licence"),
            ("MAIL_PASSWORD", "cmd://op read op://Shop/mail/key"),
            ("DATABASE_URL", "vault://kv/shop/db#url"),
            ("API_TOKEN", "aws-sm://prod/shop#token"),
        ]),
        resources: container::sample_resources(512 << 20, 1500),
        container: container::sample(),
        roles: vec![roles::sample("203.0.113.7", true)],
        proxy: Routing {
            hosts: vec!["example.com".into(), "*.example.com".into()],
            path_prefixes: vec!["/shop".into()],
            max_idle: Some(100),
            ports: vec![
                Port { path_prefixes: vec!["/cable".into()], ..port(8080, "example.com") },
                Port { protocol: ApplicationProtocol::H2c, ..port(50_051, "grpc.example.com") },
            ],
            health_check: HealthCheck {
                period: Some(plain.settings.readiness.period),
                timeout: Some(plain.settings.readiness.timeout),
                ..plain.settings.proxy.health_check.clone()
            },
            tls: Some(own("file:///run/secrets/tls.pem", "env://TLS_KEY")),
            ..plain.settings.proxy.clone()
        },
        canary: canary::sample(),
        readiness: probes::sample_readiness(),
        probes: probes::sample(),
        soak: Soak { time: Span::seconds(60), ..plain.settings.soak.clone() },
        timeouts: Timeouts { drain_streams: Some(Span::seconds(600)), ..plain.settings.timeouts.clone() },
        repository: Some(Repository {
            registry: RegistryLogin {
                server: "ghcr.io".into(),
                username: "acme".into(),
                password: "env://GHCR_TOKEN".parse().unwrap(),
            },
            repository: "acme/hello".into(),
        }),
        database: Some("env://DATABASE_URL".parse().unwrap()),
        rehearsal: Some(RehearsalTerms {
            database: "env://REHEARSAL_URL".parse().unwrap(),
            via: cutover_core::Via::Direct,
            hold: Span::seconds(1),
            timeout: Span::seconds(4 * 3600),
        }),
        // Everything else in the sample is the default.
        ..plain.settings
    };
    assert_eq!(target.settings, expected);

    let staging = file.destination(Some("staging")).unwrap();
    let settings = Settings {
        replicas: 1,
        env: texts(&[("RAILS_ENV", "production"), ("WEB_CONCURRENCY", "2")]),
        resources: container::sample_resources(256 << 20, 500),
        proxy: Routing {
            hosts: vec!["staging.example.com".into()],
            path_prefixes: vec!["/".into()],
            tls: Some(ordered(Some("ops@example.com"))),
            ..expected.proxy.clone()
        },
        roles: vec![roles::sample("203.0.113.8", false)],
        soak: with("").settings.soak,
        ..expected
    };
    assert_eq!(staging.settings, settings);
}

#[test]
fn a_repository_is_named_by_its_url_or_is_the_files_own() {
    let git = |value: &str| match with(&format!("builder: {{git: {{url: {value}}}}}")).image {
        ImageSource::Builder { git, .. } => git.unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(git("."), GitRepository { url: None, reference: "HEAD".into(), key: None });
    for url in [
        "https://github.com/acme/hello.git",
        "ssh://git@example.com:2222/hello.git",
        "git@github.com:acme/hello.git",
        "/srv/git/hello.git",
        "git://example.com/hello",
    ] {
        assert_eq!(git(url).url.as_deref(), Some(url));
    }
}

#[test]
fn a_password_is_for_the_images_of_its_registry_alone() {
    let image = |name: &str| {
        with(&format!("image: {name}\nregistry: {{server: ghcr.io, username: acme, password: env://TOKEN}}"))
            .image
    };
    assert!(matches!(image("ghcr.io/acme/hello"), ImageSource::Private(_)));
    assert_eq!(image("hello"), ImageSource::Existing("hello".into()));
}

#[test]
fn an_image_that_exists_is_taken_as_it_is() {
    for image in ["ghcr.io/acme/hello:1.2", "hello", "localhost:5000/a/b@sha256:00"] {
        assert_eq!(with(&format!("image: {image}")).image, ImageSource::Existing(image.to_owned()));
    }
}

#[test]
fn clear_values_are_texts_as_written() {
    let target =
        with("env: {A: 1.10, B: yes, C: 0x1F, D: '', E: 1_000, F: 2026-01-01, G: \"null\", H: \"a\\nb\"}");
    let expected = [
        ("A", "1.10"),
        ("B", "yes"),
        ("C", "0x1F"),
        ("D", ""),
        ("E", "1_000"),
        ("F", "2026-01-01"),
        ("G", "null"),
        ("H", "a\nb"),
    ];
    assert_eq!(target.settings.env, texts(&expected));
}

#[test]
fn a_variable_alone_becomes_a_reference() {
    let target =
        with("env:\n  clear:\n    A: ${X}\n    B: <%= ENV['Y'] %>\n    C: plain\n  secret: {D: env://Z}");
    assert_eq!(target.settings.env, texts(&[("C", "plain")]));
    assert_eq!(target.settings.secrets, references(&[("A", "env://X"), ("B", "env://Y"), ("D", "env://Z")]));
}

#[test]
fn a_destination_may_make_a_clear_value_secret_and_the_other_way_round() {
    let target = only(
        "service: hello
env: {clear: {A: b}, secret: {C: env://C}}
destinations:
  production: {hosts: [::1], env: {clear: {C: d}, secret: {A: env://A}}}",
    );
    assert_eq!(target.settings.env, texts(&[("C", "d")]));
    assert_eq!(target.settings.secrets, references(&[("A", "env://A")]));
}

#[test]
fn hosts_take_what_they_lack_from_the_destination_and_that_from_the_file() {
    let target = only(
        "service: hello
ssh: {user: deploy, port: 22}
destinations:
  production:
    ssh: {port: 2222}
    servers: [a, {address: b, user: admin}, {address: c, port: 22}]",
    );
    assert_eq!(hosts(&target), ["deploy@a:2222", "admin@b:2222", "deploy@c:22"]);
}

#[test]
fn a_command_as_one_text_is_split_at_its_spaces() {
    assert_eq!(with("command: bin/server  -p 3000").settings.command, ["bin/server", "-p", "3000"]);
    assert_eq!(with("command: [sh, -c, \"a b\"]").settings.command, ["sh", "-c", "a b"]);
}

#[test]
fn hooks_are_commands_that_a_destination_replaces_or_takes_away() {
    let file = parse(
        "service: hello
hooks: {before_build: bin/check  --all, before_deploy: [sh, -c, \"a b\"], on_failure: bin/tell, timeout: 30}
destinations:
  production: {hosts: [a]}
  staging: {hosts: [b], hooks: {before_deploy: [], after_deploy: bin/seen, timeout: 1h}}",
    )
    .unwrap();
    let hooks = |name| file.destination(Some(name)).unwrap().hooks;
    let production = hooks("production");
    let command = |hook| production.command(hook).map(|words| words.join("|"));
    assert_eq!(command(Hook::BeforeBuild).as_deref(), Some("bin/check|--all"));
    assert_eq!(command(Hook::BeforeDeploy).as_deref(), Some("sh|-c|a b"));
    assert_eq!(command(Hook::AfterDeploy), None);
    assert_eq!(production.timeout, Span::seconds(30));
    let staging = hooks("staging");
    assert_eq!(staging.command(Hook::BeforeDeploy), None);
    assert_eq!(staging.after_deploy, ["bin/seen"]);
    assert_eq!((staging.before_build, staging.timeout), (production.before_build, Span::seconds(3600)));
    assert_eq!(with("").hooks, Hooks::default());

    for (section, told) in [
        ("hooks: {before_build: \"sh -c 'a b'\"}", "hooks.before_build: quotes are not read here"),
        ("hooks: {before_deploy: \"\"}", "hooks.before_deploy: empty"),
        ("hooks: {after_deploy: {command: a}}", "hooks.after_deploy: expected a single value"),
        ("hooks: {on_failure: [a, \"\"]}", "hooks.on_failure[1]: empty"),
        ("hooks: {timeout: 0}", "hooks.timeout: no time at all"),
        ("hooks: {pre_build: bin/check}", "hooks.pre_build: unknown key"),
        ("hooks: {before_biuld: bin/check}", "did you mean 'before_build'?"),
        ("hooks: bin/check", "hooks: expected keys and values"),
    ] {
        let said = problems(section).join("\n");
        assert!(said.contains(told), "{section}: {said}");
    }
}

#[test]
fn a_number_alone_is_seconds() {
    let target = with("readiness_probe: {period: 2, timeout: 10}\nsoak: {time: 0}");
    assert_eq!(target.settings.readiness.period, Span::seconds(2));
    assert_eq!(target.settings.readiness.timeout, Span::seconds(10));
    assert!(target.settings.soak.time.is_zero());
}

#[test]
fn streams_drain_as_long_as_requests_unless_they_have_a_limit_of_their_own() {
    let timeouts = |text: &str| with(text).settings.timeouts;
    let usual = timeouts("timeouts: {drain: 5s}");
    assert_eq!((usual.drain_streams, usual.longest_drain()), (None, Span::seconds(5)));
    let longer = timeouts("timeouts: {drain: 5s, drain_streams: 10m}");
    assert_eq!((longer.drain, longer.longest_drain()), (Span::seconds(5), Span::seconds(600)));
    assert_eq!(timeouts("timeouts: {drain: 5s, drain_streams: 0}").longest_drain(), Span::seconds(5));
}

#[test]
fn a_destination_may_take_a_limit_of_the_file_away() {
    let target = only(
        "service: hello
proxy: {max_request_body: 10m, max_connections: 5, idle_timeout: 1m, path_prefixes: [/a, /b], strip_path_prefix: false}
destinations: {production: {hosts: [a], proxy: {max_request_body: 0, max_connections: 0, idle_timeout: 0, path_prefix: /}}}",
    );
    let expected =
        Routing { path_prefixes: vec!["/".into()], strip_path_prefix: false, ..Routing::default() };
    assert_eq!(target.settings.proxy, expected);
}

#[test]
fn anchors_aliases_and_merges_are_followed() {
    let target =
        with("x-base: &base {A: a, B: b}\nx-more: &more {B: c, D: d}\nenv: {<<: [*base, *more], A: own}");
    assert_eq!(target.settings.env, texts(&[("A", "own"), ("B", "b"), ("D", "d")]));
}

#[test]
fn other_line_ends_and_a_byte_order_mark_do_no_harm() {
    let target =
        only("\u{feff}service: hello\r\nport: 3000\r\ndestinations:\r\n  production:\r\n    hosts: [a]\r\n");
    assert_eq!((target.settings.port, hosts(&target)), (3000, vec!["root@a:22".to_owned()]));
}

#[test]
fn a_destination_is_named_unless_it_is_the_only_one() {
    let file = parse(
        "service: hello\ndestinations: {production: {hosts: [a]}, staging: {hosts: [b]}, edge: {hosts: [c]}}",
    )
    .unwrap();
    assert_eq!(hosts(&file.destination(Some("staging")).unwrap()), ["root@b:22"]);
    let told = |name| file.destination(name).unwrap_err().to_string();
    assert_eq!(
        told(None),
        "cutover.yaml: several destinations, and none was named\n  = name one of: production, staging, edge"
    );
    assert_eq!(
        told(Some("stagin")),
        "cutover.yaml: there is no destination 'stagin'\n  = the destinations are: staging, edge, production"
    );
}

#[test]
fn a_pasted_secret_is_in_no_form_of_the_error() {
    let text = "service: hello
env: {secret: {A: hunter2, B: [hunter2], C: 'hunter2
    hunter2'}}
migrations: {database: {url: hunter2}}
destinations: postgres://app:hunter2@db
";
    let error = parse(text).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[ \\t\\na-z0-9:{}\\[\\],&*!'\"|>%#$-]{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_damage_to_the_sample_makes_it_panic(
        at in 0..SAMPLE.len(),
        cut in 0..40_usize,
        with in "[ \\t\\na-z0-9:{}\\[\\],&*!'\"|>%é-]{0,3}",
    ) {
        let end = (at + cut).min(SAMPLE.len());
        let damaged = SAMPLE.get(..at).zip(SAMPLE.get(end..)).map(|(before, after)| format!("{before}{with}{after}"));
        match damaged.as_deref().map(|text| (text, parse(text))) {
            Some((_, Err(error))) => prop_assert!(error.to_string().starts_with("cutover.yaml")),
            Some((text, Ok(_))) => schema::check(text),
            None => {}
        }
    }
}
