//! What a deploy file says of accessories.

use cutover_core::{
    Accessory, Container, Digest, PlacedFile, PublishedPort, RegistryLogin, Resources, Span, Volume,
};

use super::{only, parse, problems, references, texts};

/// The accessory of the sample.
pub fn sample() -> Accessory {
    Accessory {
        name: "postgres".parse().unwrap(),
        hosts: vec!["203.0.113.7".parse().unwrap()],
        image: "ghcr.io/acme/postgres:17".into(),
        registry: Some(RegistryLogin {
            server: "ghcr.io".into(),
            username: "acme".into(),
            password: "env://GHCR_TOKEN".parse().unwrap(),
        }),
        publish: vec![PublishedPort { at: ([127, 0, 0, 1], 5432).into(), port: 5432, udp: false }],
        command: vec!["postgres".into(), "-c".into(), "shared_buffers=256MB".into()],
        env: texts(&[("POSTGRES_USER", "shop")]),
        secrets: references(&[("POSTGRES_PASSWORD", "vault://kv/shop/db#password")]),
        files: vec![PlacedFile {
            source: "config/postgres.sql".into(),
            target: "/docker-entrypoint-initdb.d/shop.sql".into(),
        }],
        resources: Resources { memory: Some(1 << 30), ..Resources::default() },
        container: Container {
            volumes: vec![Volume {
                source: "postgres".into(),
                target: "/var/lib/postgresql/data".into(),
                read_only: false,
            }],
            ..Container::default()
        },
        stop: Span::seconds(60),
    }
}

#[test]
fn it_runs_where_the_file_says_and_a_destination_may_change_it() {
    let text = "service: hello\naccessories: {redis: {image: redis, env: {A: '1'}, resources: {memory: 1g}}}\n\
                destinations: {production: {hosts: [a, b], accessories: {redis: {hosts: [b]}}}, single: {hosts: [f]}, \
                staging: {hosts: [c, d, e], accessories: {redis: {hosts: [e, d], image: 'redis:8', env: {B: '2'}}}}}\n";
    let file = parse(text).unwrap();
    let of = |name| file.destination(Some(name)).unwrap().accessories.remove(0);
    let hosts = |accessory: &Accessory| accessory.hosts.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(hosts(&of("single")), ["f"]);
    let (usual, other) = (of("production"), of("staging"));
    assert_eq!((hosts(&usual), hosts(&other)), (vec!["b".to_owned()], vec!["d".to_owned(), "e".to_owned()]));
    assert_eq!((usual.image.as_str(), other.image.as_str()), ("redis", "redis:8"));
    assert_eq!(other.env, texts(&[("A", "1"), ("B", "2")]));
    assert_eq!(other.resources.memory, Some(1 << 30));
}

#[test]
fn a_published_port_says_at_which_address() {
    let ports = |text: &str| {
        let text = format!(
            "service: hello\naccessories: {{dns: {{image: dns, publish: ['{text}']}}}}\ndestinations: {{production: {{hosts: [a]}}}}"
        );
        only(&text).accessories.remove(0).publish.remove(0)
    };
    for text in ["127.0.0.1:5432:5432", "10.0.0.5:53:1053/udp", "[::1]:53:53", "0.0.0.0:80:8080"] {
        assert_eq!(ports(text).to_string(), text);
    }
    assert!(ports("0.0.0.0:1:1").is_everybodys() && ports("[::]:1:1").is_everybodys());
    assert!(ports("203.0.113.7:1:1").is_everybodys());
    assert!(!ports("10.0.0.5:1:1").is_everybodys() && !ports("127.0.0.1:1:1").is_everybodys());
}

#[test]
fn another_container_is_made_of_what_is_said_of_it_and_of_the_content_of_its_files() {
    let accessory = sample();
    let file = Digest::of(b"create table");
    let was = accessory.specification(std::slice::from_ref(&file));
    let same = Accessory { stop: Span::seconds(1), hosts: Vec::new(), ..accessory.clone() };
    assert_eq!(same.specification(std::slice::from_ref(&file)), was);
    let other = Accessory { env: texts(&[("POSTGRES_USER", "other")]), ..accessory.clone() };
    assert_ne!(other.specification(&[file]), was);
    assert_ne!(accessory.specification(&[Digest::of(b"drop table")]), was);
}

#[test]
fn every_reference_is_known_by_its_key() {
    let accessory = sample();
    let keys: Vec<String> = accessory.references().into_iter().map(|(key, _)| key).collect();
    assert_eq!(
        keys,
        ["accessories.postgres.env.secret.POSTGRES_PASSWORD", "accessories.postgres.registry.password"]
    );
}

#[test]
fn what_is_no_accessory_is_refused_with_what_would_be_one() {
    let table = [
        ("{e: {}}", "no image is given for destination 'production'"),
        ("{e: {builder: {context: .}}}", "an accessory isn't built"),
        ("{e: {image: e, hosts: [203.0.113.9]}}", "203.0.113.9 is not a host of destination 'production'"),
        ("{e: {image: e, publish: ['5432']}}", "doesn't say at which address"),
        ("{e: {image: e, publish: ['5432:5432']}}", "doesn't say at which address"),
        ("{e: {image: e, publish: ['localhost:5432:5432']}}", "is not a published port"),
        ("{e: {image: e, publish: ['127.0.0.1:5432:0']}}", "is not a published port"),
        ("{e: {image: e, publish: ['127.0.0.1:5432:5432/sctp']}}", "is not a published port"),
        ("{e: {image: e, files: [my.cnf]}}", "is not a file and its place"),
        ("{e: {image: e, files: ['../my.cnf:/etc/my.cnf']}}", "'../my.cnf'"),
        ("{e: {image: e, files: ['my.cnf:etc/my.cnf']}}", "is not a path in the container"),
        ("{e: {image: e, container: {assets: /a}}}", "nobody asks an accessory for them"),
        ("{e: {image: e, port: 80}}", "unknown key"),
        ("{e: {image: e, files: ['a:/a'], container: {read_only: true}}}", "nothing can be put into"),
        ("{web: {image: e}}", "can't be a name of an accessory"),
        ("{jobs: {image: e}}\nroles: {jobs: {command: work}}", "a role has that name"),
        ("{e: {image: e}}\nsidecars: {e: {image: e, port: 80}}", "a sidecar has that name"),
        (
            "{e: {image: e, registry: {username: a, password: 'env://A', repository: a/b}}}",
            "the host pulls the image from where it is",
        ),
    ];
    let text = "service: hello\naccessories: {e: {image: e}}\ndestinations: {production: {hosts: [a, b]}}";
    let error = parse(text).unwrap_err().to_string();
    assert!(error.contains("on which of the 2 hosts"), "{error}");
    for (accessories, expected) in table {
        let found = problems(&format!("accessories: {accessories}\n"));
        assert!(found.iter().any(|problem| problem.contains(expected)), "{accessories}: {found:?}");
    }
}
