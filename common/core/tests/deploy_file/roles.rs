//! What a deploy file says of roles.

use std::collections::BTreeSet;

use cutover_core::{DeployFile, HostName, Plan, Release, Resources, Role, Source, Span};

use super::{parse, references, texts, with};

/// The role of the sample.
pub fn sample(host: &str, overlap: bool) -> Role {
    Role {
        name: "jobs".parse().unwrap(),
        command: vec!["bin/jobs".into()],
        replicas: 1,
        hosts: vec![host.parse().unwrap()],
        env: texts(&[("QUEUES", "*")]),
        secrets: references(&[]),
        without: BTreeSet::from(["LICENCE".into()]),
        resources: Resources { memory: Some(1 << 30), ..Resources::default() },
        stop: Some(Span::seconds(300)),
        overlap,
        steady: Span::seconds(5),
    }
}

#[test]
fn a_role_is_the_service_with_what_it_says_over_it() {
    let settings = with(
        "command: web\nresources: {memory: 512m, cpus: 1}\ntimeouts: {stop: 5s}\n\
         env: {clear: {A: a, B: b, C: c}, secret: {D: env://D}}\n\
         roles: {jobs: {command: work hard, env: {clear: {A: own, D: own}, secret: {B: env://B}}, resources: {memory: 1g}}}",
    )
    .settings;
    let [role] = <[Role; 1]>::try_from(settings.roles.clone()).unwrap();
    assert!(role.overlap && role.steady == Span::seconds(5) && role.replicas == 1);
    let own = settings.as_role(&role);
    assert_eq!(own.command, ["work", "hard"]);
    assert_eq!(own.env, texts(&[("A", "own"), ("C", "c"), ("D", "own")]));
    assert_eq!(own.secrets, references(&[("B", "env://B")]));
    assert_eq!((own.resources.memory, own.resources.milli_cpus), (Some(1 << 30), Some(1000)));
    assert_eq!(own.timeouts.stop, Span::seconds(5));
    let all: Vec<String> = settings.needed_secrets().into_iter().map(|needed| needed.key).collect();
    assert_eq!(all, ["env.secret.D", "roles.jobs.env.secret.B"]);
}

#[test]
fn a_role_is_without_what_it_says_of_the_services_variables() {
    let text = "image: hello\nenv: {clear: {A: a, B: b}, secret: {C: env://C, D: env://D}}\n\
                roles: {jobs: {command: work, env: {E: e}, without: [A, C]}, mail: {command: mail}}";
    let settings = with(text).settings;
    let [jobs, mail] = <[Role; 2]>::try_from(settings.roles.clone()).unwrap();
    let own = settings.as_role(&jobs);
    assert_eq!(own.env, texts(&[("B", "b"), ("E", "e")]));
    assert_eq!(own.secrets, references(&[("D", "env://D")]));
    assert_eq!(settings.as_role(&mail).env, settings.env);
    // An older worker would give it them; and a role without it is stored as it always was.
    let settings = with("env: {A: a}\nroles: {jobs: {command: work, without: [A]}}").settings;
    let release = |settings| Release {
        version: "v1".into(),
        source: Source::Image("hello".into()),
        settings,
        migrations: Vec::new(),
    };
    let stored = serde_json::to_string(&release(settings.clone())).unwrap();
    assert_eq!(serde_json::from_str::<Release>(&stored).unwrap(), release(settings.clone()));
    assert_eq!(Plan::protocol_for(&release(settings.clone())), 7);
    let mut settings = settings;
    settings.roles[0].without.clear();
    assert_eq!(Plan::protocol_for(&release(settings.clone())), 4);
    assert!(!serde_json::to_string(&settings).unwrap().contains("without"));
}

#[test]
fn a_role_runs_on_all_hosts_or_some_and_older_shippers_are_not_given_it() {
    let text = "service: hello\nroles: {jobs: {command: work}}\ndestinations: {production: {hosts: [a, b], \
                roles: {jobs: {replicas: 3}, mail: {command: mail, hosts: [b]}}}}";
    let settings = parse(text).as_ref().map(DeployFile::targets).unwrap()[0].settings.clone();
    let on = |host: &str| {
        let host: HostName = host.parse().unwrap();
        settings.roles_on(&host).map(|role| (role.name.to_string(), role.replicas)).collect::<Vec<_>>()
    };
    assert_eq!(on("a"), [("jobs".to_owned(), 3)]);
    assert_eq!(on("b"), [("jobs".to_owned(), 3), ("mail".to_owned(), 1)]);
    let release = Release {
        version: "v1".into(),
        source: Source::Image("hello".into()),
        settings,
        migrations: Vec::new(),
    };
    assert_eq!(Plan::protocol_for(&release), 4);
    let stored = serde_json::to_string(&release).unwrap();
    assert_eq!(serde_json::from_str::<Release>(&stored).unwrap(), release);
}
