//! What a deploy file says of sidecars.

use std::collections::BTreeMap;

use cutover_core::{
    BuiltImage, Check, Container, Digest, HttpCheck, ImageSource, InferenceSpec, Intent, Model, Per, Plan,
    PrivateImage, ProbeSpec, Probes, RegistryLogin, Release, Resources, Sealed, Settings, Sidecar,
    SidecarImages, Source, Span,
};

use super::{only, parse, problems, references, texts};

/// The sidecar of the sample.
pub fn sample() -> Sidecar<ImageSource> {
    let registry = RegistryLogin {
        server: "ghcr.io".into(),
        username: "acme".into(),
        password: "env://GHCR_TOKEN".parse().unwrap(),
    };
    let health = |spec: ProbeSpec| ProbeSpec { check: Check::Http(HttpCheck::get("/health").into()), ..spec };
    let lives = ProbeSpec { period: Span::seconds(10), failures: Some(3), ..ProbeSpec::http("/up") };
    let request = HttpCheck {
        headers: texts(&[("content-type", "application/json")]),
        body: Some(r#"{"input": "hello"}"#.to_owned()),
        json: vec!["length($.embedding) == 384".parse().unwrap()],
        ..HttpCheck::get("/embed")
    };
    Sidecar {
        name: "embedder".parse().unwrap(),
        source: ImageSource::Private(PrivateImage { image: "ghcr.io/acme/embedder:1.4".into(), registry }),
        port: 8080,
        replicas: 1,
        per: Per::Service,
        command: vec!["serve".into(), "--threads".into(), "2".into()],
        env: texts(&[("LOG_LEVEL", "info")]),
        secrets: BTreeMap::new(),
        models: vec!["minilm".parse().unwrap()],
        resources: Resources {
            memory: Some(2 << 30),
            milli_cpus: Some(2000),
            pids: Some(256),
            ..Resources::default()
        },
        container: Container {
            user: Some("1000:1000".into()),
            read_only: true,
            non_root: true,
            ..Container::default()
        },
        egress: false,
        readiness: health(ProbeSpec::http("/up")),
        probes: Probes {
            startup: Some(Box::new(ProbeSpec::new(Check::Tcp { port: None }))),
            liveness: Some(Box::new(health(lives))),
            inference: Some(Box::new(InferenceSpec { request, ..inference() })),
        },
        stop: Span::seconds(10),
    }
}

/// An inference probe that says nothing but what it must.
fn inference() -> InferenceSpec {
    let text =
        "service: hello\ninference_probe: {path: /a, p95: 1s}\ndestinations: {production: {hosts: [a]}}";
    let spec = only(text).settings.probes.inference.unwrap();
    InferenceSpec { p95: None, ..*spec }
}

const SHORT: &str = "service: hello\nport: 3000\n\
                     models: {minilm: {source: 's3://models/minilm'}, words: {source: 'file:words'}}\n\
                     sidecars: {embedder: {image: embedder, port: 8080, models: [minilm]}}\n\
                     destinations: {production: {hosts: [a], sidecars: {embedder: {replicas: 2}}}, staging: {hosts: [b]}}\n";

/// A plan of a deployment of that id.
fn plan(release: Release, deployment: &str) -> Plan {
    let target = parse(SHORT).unwrap().destination(Some("production")).unwrap();
    Plan {
        protocol: 7,
        deployment: deployment.parse().unwrap(),
        key: target.key,
        by: "ada@desk".into(),
        untimely: false,
        intent: Intent::Deploy,
        release,
        image: None,
        sidecar_images: SidecarImages::new(),
        warm: None,
        replaces: None,
        hosts: target.hosts,
        sealed: Sealed::new(),
        stages: Vec::new(),
    }
}

fn named(release: &Settings) -> Vec<&str> {
    release.own_models().map(|model| model.name.as_str()).collect()
}

/// A release of the short file with these models.
fn release(models: &[(&str, &[u8])]) -> Release {
    let target = parse(SHORT).unwrap().destination(Some("production")).unwrap();
    let model = |(name, version): &(&str, &[u8])| Model {
        name: name.parse().unwrap(),
        version: Digest::of(version),
        mount: format!("/models/{name}"),
        seen: None,
    };
    let sidecars = target.sidecars.into_iter().map(|sidecar| sidecar.with(|_| Source::Image("e".into())));
    let settings = Settings {
        models: models.iter().map(model).collect(),
        sidecars: sidecars.collect(),
        ..target.settings
    };
    Release { version: "v1".into(), source: Source::Image("hello".into()), settings, migrations: Vec::new() }
}

#[test]
fn a_destination_says_what_differs_and_the_rest_is_usual() {
    let file = parse(SHORT).unwrap();
    let of = |name| file.destination(Some(name)).unwrap().sidecars.remove(0);
    let (production, staging) = (of("production"), of("staging"));
    assert_eq!((production.replicas, staging.replicas), (2, 1));
    assert_eq!(production.source, ImageSource::Existing("embedder".into()));
    assert_eq!(production.readiness, ProbeSpec::new(Check::Tcp { port: None }));
    assert_eq!((production.per, production.egress), (Per::Service, false));
    assert!(production.container == Container::default() && production.probes.are_absent());
}

#[test]
fn what_a_sidecar_has_of_models_the_replicas_have_not() {
    let release = release(&[("minilm", b"1"), ("words", b"1")]);
    assert_eq!(named(&release.settings), ["words"]);
    let own = release.settings.sidecars[0].settings(&release.settings);
    assert_eq!((named(&own), own.port, own.replicas), (vec!["minilm"], 8080, 2));
    assert!(own.env.is_empty() && own.secrets.is_empty() && own.command.is_empty());
    assert_eq!(Plan::protocol_for(&release), 7);
    let stored = serde_json::to_string(&release).unwrap();
    assert_eq!(serde_json::from_str::<Release>(&stored).unwrap(), release);
}

#[test]
fn containers_are_shared_as_long_as_nothing_of_them_differs() {
    let [a, b] = ["01jd0000000000000000000001", "01jd0000000000000000000002"];
    let (image, other) = (Digest::of(b"image"), Digest::of(b"other"));
    let generation = |plan: &Plan, image: &Digest| {
        let settings = &plan.release.settings;
        settings.sidecars[0].generation(settings, plan.booted_by(), image)
    };
    let usual = plan(release(&[("minilm", b"1")]), a);
    let first = generation(&usual, &image);
    assert_eq!(first.to_string().len(), 8);
    let changed = |change: fn(&mut Sidecar)| {
        let mut release = release(&[("minilm", b"1")]);
        change(&mut release.settings.sidecars[0]);
        generation(&plan(release, b), &image)
    };
    assert_eq!(changed(|_| ()), first, "another deployment");
    assert_eq!(changed(|sidecar| sidecar.source = Source::Image("f".into())), first, "the image is the same");
    assert_eq!(changed(|sidecar| sidecar.stop = Span::seconds(20)), first);
    assert_eq!(changed(|sidecar| sidecar.replicas = 3), first, "one more is like the others");
    assert_ne!(generation(&usual, &other), first, "another image");
    assert_ne!(changed(|sidecar| sidecar.env = texts(&[("A", "b")])), first);
    assert_ne!(changed(|sidecar| sidecar.egress = true), first);
    assert_ne!(changed(|sidecar| sidecar.resources.memory = Some(1)), first);
    assert_ne!(generation(&plan(release(&[("minilm", b"2")]), b), &image), first, "another model");
    assert_eq!(
        generation(&plan(release(&[("minilm", b"1"), ("words", b"2")]), b), &image),
        first,
        "not its own"
    );

    let own = |deployment: &str| {
        let mut release = release(&[]);
        release.settings.sidecars[0].per = Per::Release;
        generation(&plan(release, deployment), &image)
    };
    assert_ne!(own(a), own(b), "each version has its own");
    assert_eq!(own(a), own(a));
}

#[test]
fn a_build_is_left_out_only_where_all_images_are_known() {
    let release = release(&[]);
    let image = Digest::of(b"image");
    let built = BuiltImage { image: image.clone(), provenance: None };
    let known = SidecarImages::from([("embedder".parse().unwrap(), built)]);
    let builds = |image: Option<&Digest>, sidecars: &SidecarImages| {
        Plan::stages_for(&release, image, sidecars).contains(&cutover_core::Stage::Build)
    };
    assert!(builds(None, &known) && builds(Some(&image), &SidecarImages::new()));
    assert!(!builds(Some(&image), &known));
}

#[test]
fn with_secrets_each_version_has_its_own() {
    let text = |per: &str| {
        format!(
            "service: hello\nsidecars: {{e: {{image: e, port: 1{per}, env: {{secret: {{A: 'env://A'}}}}}}}}\n\
             destinations: {{production: {{hosts: [a]}}}}"
        )
    };
    let target = only(&text(""));
    assert_eq!(target.sidecars[0].per, Per::Release);
    assert_eq!(target.sidecars[0].secrets, references(&[("A", "env://A")]));
    let needed: Vec<String> = target.needed_secrets().into_iter().map(|needed| needed.key).collect();
    assert_eq!(needed, ["sidecars.e.env.secret.A"]);
    let error = parse(&text(", per: service")).unwrap_err().to_string();
    assert!(error.contains("versions can't share a sidecar with secrets"), "{error}");
}

#[test]
fn what_is_no_sidecar_is_refused_with_what_would_be_one() {
    let table = [
        ("{e: {port: 80}}", "no image is given for destination 'production'"),
        ("{e: {image: e}}", "no port is given"),
        ("{e: {image: e, builder: {context: e}, port: 80}}", "sidecars.e.builder: there is an image too"),
        ("{e: {image: e, port: 80, models: [m]}}", "there is no model m at destination 'production'"),
        ("{e: {image: e, port: 80, per: host}}", "'host' is neither service nor release"),
        ("{e: {image: e, port: 80, container: {networks: [db]}}}", "on the network of its service alone"),
        ("{e: {image: e, port: 80, container: {assets: /a}}}", "nobody asks a sidecar for them"),
        ("{e: {image: e, port: 80, ports: [80]}}", "unknown key"),
        ("{web: {image: e, port: 80}}", "can't be a sidecar"),
        ("{E: {image: e, port: 80}}", "can't be a sidecar"),
        ("{jobs: {image: e, port: 80}}\nroles: {jobs: {command: work}}", "a role has that name"),
        (
            "{e: {image: e, port: 80, container: {user: root}}}\npolicy: {require_non_root: true}",
            "sidecars.e.container.user is root",
        ),
        (
            "{e: {image: e, port: 80}}\nresources: {memory: 1g}\npolicy: {require_limits: [memory]}",
            "sidecar e has no limit of memory",
        ),
        (
            "{e: {image: e, port: 80, registry: {username: a, password: 'env://A', repository: a/b}}}",
            "the images of a service go one way to the hosts",
        ),
    ];
    for (sidecars, expected) in table {
        let found = problems(&format!("sidecars: {sidecars}\n"));
        assert!(found.iter().any(|problem| problem.contains(expected)), "{sidecars}: {found:?}");
    }
}
