//! The file that says who may ask for what.
#![allow(clippy::unwrap_used)]

use cutover_core::QueuePolicy;
use cutover_telemetry::Metrics;
use cutover_trigger::{Hooks, Kind, Limits, Triggers};

const SAMPLE: &str = include_str!("../../docs/triggers.sample.yaml");

fn refused(text: &str) -> String {
    Triggers::parse(text, "triggers.yaml").unwrap_err().to_string()
}

#[test]
fn the_sample_is_a_file_of_all_kinds_and_says_the_defaults() {
    let Triggers { sources, limits } = Triggers::parse(SAMPLE, "triggers.sample.yaml").unwrap();
    assert_eq!(limits, Limits::default());
    let kinds: Vec<_> = sources.iter().map(|(name, source)| (name.as_str(), source.kind)).collect();
    let expected = [
        ("blog", Kind::Gitlab),
        ("ci", Kind::Signed),
        ("images", Kind::Registry),
        ("intranet", Kind::Bitbucket),
        ("models", Kind::S3),
        ("shop", Kind::Github),
        ("wiki", Kind::Gitea),
    ];
    assert_eq!(kinds, expected);
    let [blog, shop] = ["blog", "shop"].map(|name| &sources[&name.parse().unwrap()]);
    assert_eq!((blog.policy, blog.rate), (QueuePolicy::Supersede, 60));
    assert_eq!((shop.rate, shop.filter.branches.len(), shop.filter.paths.len()), (30, 2, 2));
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_what_to_do() {
    let source = |more: &str| {
        format!(
            "sources:\n  shop:\n    kind: github\n    secret: env://S\n    service: shop\n    destination: production\n{more}"
        )
    };
    let main = "    branches: [main]\n";
    assert!(Triggers::parse(&source(main), "x").is_ok());
    for (text, place, what) in [
        (String::new(), "triggers.yaml: ", "sources"),
        ("sources: {}".to_owned(), "triggers.yaml: sources", "there is none"),
        (source(""), "triggers.yaml:2:3: sources.shop", "`branches` or `tags` or `images`"),
        (
            source("    branch: [main]\n"),
            "triggers.yaml:7:5: sources.shop.branch",
            "did you mean 'branches'?",
        ),
        (source("    branches: main\n"), "triggers.yaml:7:15: sources.shop.branches", "write [main]"),
        (source("    branches: []\n"), "sources.shop.branches", "there is nothing in it"),
        (source("    branches: ['a{b']\n"), "triggers.yaml:7:16: sources.shop.branches[0]", "a{b"),
        (
            source("    objects: [a]\n    tags: [v1]\n"),
            "triggers.yaml:7:5: sources.shop.objects",
            "unknown key",
        ),
        (source(&format!("{main}    rate: 0\n")), "triggers.yaml:8:11: sources.shop.rate", "from 1 to 6000"),
        (
            source(&format!("{main}    policy: now\n")),
            "sources.shop.policy",
            "one of queue, supersede, reject",
        ),
        (source(main).replace("github", "gitub"), "triggers.yaml:3:11: sources.shop.kind", "one of github"),
        (source(main).replace("  shop:\n", "  sh.op:\n"), "sources.sh.op", "can't be a source"),
        (source(main).replace("env://S", "cmd://pass show"), "sources.shop.secret", "no command is run here"),
        (source(main).replace("    secret: env://S\n", ""), "sources.shop.secret", "missing"),
        (format!("{}limits: {{body: 26m}}\n", source(main)), "limits.body", "from 1k to 25m"),
        (
            format!("{}limits: {{conections: 1}}\n", source(main)),
            "limits.conections",
            "did you mean 'connections'?",
        ),
    ] {
        let told = refused(&text);
        assert!(told.contains(place) && told.contains(what), "{text}\n{told}");
    }
}

#[test]
fn a_secret_that_was_pasted_is_not_shown() {
    let told = refused(&SAMPLE.replace("env://SHOP_WEBHOOK_SECRET", "hunter2-hunter2-hunter2"));
    assert!(told.contains("sources.shop.secret") && !told.contains("hunter2"), "{told}");
}

#[tokio::test]
async fn a_secret_that_can_be_guessed_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let text = format!(
        "sources: {{shop: {{kind: gitlab, secret: 'file://{}', service: shop, destination: production, tags: [v1]}}}}",
        file.display()
    );
    for (secret, why) in [
        ("hunter2", "shorter than 16 bytes"),
        ("whsec_!!!!!!!!!!!!!!!!!!!!", "no key in base 64"),
        ("whsec_aHVudGVyMg==", "at least 16 bytes"),
        ("", "it is empty"),
    ] {
        std::fs::write(&file, secret).unwrap();
        let sources = Triggers::parse(&text, "x").unwrap().sources;
        let Err(error) = Hooks::open(sources, &Metrics::new().unwrap()).await else {
            panic!("{secret} is used")
        };
        let told = format!("{:#}", anyhow::Error::from(error));
        assert!(told.contains("source shop") && told.contains(why), "{told}");
        assert!(secret.is_empty() || !told.contains(secret), "{told}");
    }
}
