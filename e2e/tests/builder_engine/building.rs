//! Building, by BuildKit.

use std::collections::BTreeMap;

use cutover_builder::{Build, BuildEvent, Error, ImageId};
use cutover_core::{BuildContext, Recipe, Reference, SshKeys};
use cutover_secrets::Values;
use cutover_store::Digest;
use futures_util::TryStreamExt;
use tokio::sync::mpsc;

use crate::bench::{BUILD_CACHE, Bench, lines, with_bench};

#[tokio::test]
async fn a_build_from_scratch_has_its_labels_and_arguments() {
    with_bench(async |bench| {
        let dockerfile =
            b"FROM scratch AS app\nARG VERSION=none\nLABEL version=$VERSION\nCOPY hello /hello\n\
            FROM scratch\nCOPY absent /\n";
        let mut context = bench.context(&[("build/app.dockerfile", dockerfile), ("hello", b"hello")]).await;
        context.recipe.dockerfile = "build/app.dockerfile".to_owned();
        context.recipe.target = Some("app".to_owned());
        context.recipe.args.insert("VERSION".to_owned(), "seven".to_owned());
        let (built, events) = bench.build(&context, "v1").await;
        let image = built.unwrap_or_else(|e| panic!("{e}: {events:#?}"));
        let found = bench.docker.inspect_image(&bench.image("v1")).await.unwrap();
        assert_eq!(found.id.unwrap(), image.to_string());
        let labels = found.config.unwrap().labels.unwrap();
        assert_eq!(labels["version"], "seven");
        assert_eq!(labels["cutover.service"], "app");
        assert_eq!(bench.engine.existing(&bench.image("v1")).await.unwrap(), image);
    })
    .await;
}

#[tokio::test]
async fn a_step_that_fails_shows_all_that_it_printed() {
    with_bench(async |bench| {
        let base = bench.base().await;
        let dockerfile = format!(
            "FROM {base}\nRUN i=0; while [ $i -lt 100 ]; do i=$((i+1)); echo line $i of {}; done; exit 7\n",
            bench.name
        );
        let context = bench.context(&[("Dockerfile", dockerfile.as_bytes())]).await;
        let (failed, events) = bench.build(&context, "bad").await;
        let error = failed.unwrap_err();
        assert!(!error.retryable());
        let Error::Build { step: Some(step), reason, output } = error else { panic!("{error:?}") };
        assert!(step.starts_with("[2/2] RUN"), "{step}");
        assert!(reason.contains('7'), "{reason}");
        let expected: Vec<String> = (1..=100).map(|i| format!("line {i} of {}", bench.name)).collect();
        assert_eq!(lines(&events), expected);
        assert_eq!(output, expected);
    })
    .await;
}

#[tokio::test]
async fn a_build_that_changes_nothing_is_cached() {
    let _alone = BUILD_CACHE.lock().await;
    with_bench(async |bench| {
        let base = bench.base().await;
        let dockerfile = format!("FROM {base}\nCOPY file /file\nRUN echo {} > /made\n", bench.name);
        let context = bench.context(&[("Dockerfile", dockerfile.as_bytes()), ("file", b"content")]).await;
        let cached_run = |events: &[BuildEvent]| {
            events.iter().any(|event| {
                matches!(event, BuildEvent::StepFinished { name, cached: true, .. } if name.contains("RUN"))
            })
        };
        let (first, events) = bench.build(&context, "v1").await;
        assert!(!cached_run(&events), "{events:#?}");
        let (second, events) = bench.build(&context, "v2").await;
        assert!(cached_run(&events), "{events:#?}");
        assert_eq!(first.unwrap(), second.unwrap());
        let mut again = context;
        again.recipe.no_cache = true;
        let (third, events) = bench.build(&again, "v3").await;
        assert!(third.is_ok() && !cached_run(&events), "{events:#?}");
    })
    .await;
}

/// What the image tells of itself, and all that is in its layers.
async fn image_as_text(bench: &Bench, image: &ImageId) -> String {
    let content = bench.docker.export_image(&image.to_string()).try_collect::<Vec<_>>().await.unwrap();
    content.iter().map(|piece| String::from_utf8_lossy(piece)).collect()
}

#[tokio::test]
async fn a_secret_is_given_to_the_step_that_mounts_it_and_stays_nowhere() {
    with_bench(async |bench| {
        let base = bench.base().await;
        let value = format!("hunter2-{}", bench.name);
        let file = bench.folder.path().join("token");
        std::fs::write(&file, &value).unwrap();
        let dockerfile = format!(
            "FROM {base}\nRUN --mount=type=secret,id=token read value < /run/secrets/token; echo told $value; \
             echo ${{#value}} > /length; : {}\nRUN --mount=type=secret,id=other test ! -e /run/secrets/other\n",
            bench.name
        );
        let mut context = bench.context(&[("Dockerfile", dockerfile.as_bytes())]).await;
        context.recipe.secrets.insert("token".to_owned(), Reference::File(file.clone()));
        let (built, events) = bench.build(&context, "v1").await;
        let image = built.unwrap_or_else(|e| panic!("{e}: {events:#?}"));
        assert_eq!(lines(&events), ["told •••"]);
        let text = image_as_text(bench, &image).await;
        assert!(text.contains(&format!("{}\n", value.len())));
        assert!(!text.contains(&value));

        context.recipe.secrets.insert("token".to_owned(), Reference::File("/no/such/file".into()));
        let (refused, events) = bench.build(&context, "v2").await;
        assert!(matches!(&refused, Err(Error::Secret { key, .. }) if key == "builder.secrets.token"));
        assert_eq!(events, [], "nothing was begun");

        context.recipe.secrets.clear();
        let dockerfile = format!("FROM {base}\nRUN --mount=type=secret,id=token,required cat /run/secrets/token\n");
        context.archive = bench.context(&[("Dockerfile", dockerfile.as_bytes())]).await.archive;
        let (refused, _) = bench.build(&context, "v3").await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("secret token not found"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn a_step_signs_with_a_key_that_it_never_has() {
    with_bench(async |bench| {
        let base = bench.base_with(&["/usr/bin/ssh-add"]).await;
        let key = bench.folder.path().join("key");
        let made = std::process::Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
            .arg(&key)
            .status();
        assert!(made.unwrap().success());
        let public = std::fs::read(key.with_extension("pub")).unwrap();
        let dockerfile = format!(
            "FROM {base}\nCOPY key.pub /\nRUN --mount=type=ssh,id=deploy ssh-add -L && ssh-add -T /key.pub\n"
        );
        let mut context = bench.context(&[("Dockerfile", dockerfile.as_bytes()), ("key.pub", &public)]).await;
        context.recipe.ssh.insert("deploy".to_owned(), SshKeys::Key(Reference::File(key)));
        let (built, events) = bench.build(&context, "v1").await;
        built.unwrap_or_else(|e| panic!("{e}: {events:#?}"));
        let shown = lines(&events).join("\n");
        assert_eq!(shown.trim(), String::from_utf8(public).unwrap().trim());

        context.recipe.ssh.clear();
        let dockerfile = format!("FROM {base}\nRUN --mount=type=ssh,id=deploy,required true\n");
        context.archive = bench.context(&[("Dockerfile", dockerfile.as_bytes())]).await.archive;
        let (refused, events) = bench.build(&context, "v2").await;
        let refused = refused.unwrap_err();
        assert!(refused.to_string().contains("deploy"), "{refused}: {events:#?}");
    })
    .await;
}

#[tokio::test]
async fn a_cache_mount_lasts_from_one_build_to_the_next() {
    let _alone = BUILD_CACHE.lock().await;
    with_bench(async |bench| {
        let base = bench.base().await;
        let build = async |command: &str, tag: &str| {
            let dockerfile =
                format!("FROM {base}\nRUN --mount=type=cache,id={},target=/cache {command}\n", bench.name);
            let context = bench.context(&[("Dockerfile", dockerfile.as_bytes())]).await;
            let (built, events) = bench.build(&context, tag).await;
            built.unwrap_or_else(|e| panic!("{e}: {events:#?}"));
            lines(&events).into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(build("test ! -e /cache/kept && echo first > /cache/kept", "v1").await, [""; 0]);
        assert_eq!(build("cat /cache/kept", "v2").await, ["first"]);
    })
    .await;
}

#[tokio::test]
async fn an_image_with_its_cache_in_it_saves_the_next_build_its_steps() {
    let _alone = BUILD_CACHE.lock().await;
    with_bench(async |bench| {
        let base = bench.base().await;
        let dockerfile = format!("FROM {base}\nRUN echo {} > /made\nCOPY file /file\n", bench.name);
        let build = async |content: &str, tag: &str, recipe: Recipe| {
            let files = [("Dockerfile", dockerfile.as_bytes()), ("file", content.as_bytes())];
            let context = BuildContext { recipe: Box::new(recipe), ..bench.context(&files).await };
            let (built, events) = bench.build(&context, tag).await;
            built.unwrap_or_else(|e| panic!("{e}: {events:#?}"));
            events.iter().any(|event| {
                matches!(event, BuildEvent::StepFinished { name, cached: true, .. } if name.contains("RUN"))
            })
        };
        let inline = Recipe { inline_cache: true, ..Recipe::default() };
        assert!(!build("one", "v1", inline).await);
        bench.docker.prune_build(None::<bollard::query_parameters::PruneBuildOptions>).await.unwrap();
        let from = Recipe { cache_from: vec![bench.image("v1")], ..Recipe::default() };
        assert!(build("two", "v2", from).await);
    })
    .await;
}

#[tokio::test]
async fn an_image_is_for_the_platform_that_was_asked_for_and_has_the_recipes_labels() {
    with_bench(async |bench| {
        let dockerfile = b"FROM scratch\nCOPY hello /hello\nLABEL team=none\n";
        let mut context = bench.context(&[("Dockerfile", dockerfile), ("hello", b"hello")]).await;
        context.recipe.platform = Some("linux/arm64".to_owned());
        context.recipe.labels.insert("team".to_owned(), "shop".to_owned());
        bench.build(&context, "v1").await.0.unwrap();
        let found = bench.docker.inspect_image(&bench.image("v1")).await.unwrap();
        assert_eq!(found.architecture.as_deref(), Some("arm64"));
        let labels = found.config.unwrap().labels.unwrap();
        assert_eq!((labels["team"].as_str(), labels["cutover.service"].as_str()), ("shop", "app"));
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_built_is_an_error_that_says_why() {
    with_bench(async |bench| {
        let syntax = bench.context(&[("Dockerfile", b"FROM scratch\nCOPPY a b\n")]).await;
        let (refused, _) = bench.build(&syntax, "bad").await;
        let refused = refused.unwrap_err();
        assert!(refused.to_string().contains("COPPY"), "{refused}");

        let absent = bench.context(&[("readme", b"no Dockerfile here")]).await;
        let (refused, _) = bench.build(&absent, "bad").await;
        let refused = refused.unwrap_err();
        assert!(refused.to_string().contains("Dockerfile"), "{refused}");

        let lost = BuildContext { archive: Digest::of(b"never stored"), ..absent };
        let (refused, _) = bench.build(&lost, "bad").await;
        assert!(matches!(refused, Err(Error::Store(_))));
    })
    .await;
}

#[tokio::test]
async fn a_build_that_is_dropped_stops() {
    with_bench(async |bench| {
        let base = bench.base().await;
        let dockerfile = format!("FROM {base}\nRUN echo {}; while :; do :; done\n", bench.name);
        let context = bench.context(&[("Dockerfile", dockerfile.as_bytes())]).await;
        let (sender, mut receiver) = mpsc::channel(16);
        let (name, labels) = (bench.image("endless"), BTreeMap::new());
        let values = Values::known([]);
        let build = Build { source: &context, name: &name, labels: &labels, values: &values };
        tokio::select! {
            ended = bench.engine.build(&build, &sender) => panic!("{ended:?}"),
            () = async { while !matches!(receiver.recv().await, Some(BuildEvent::Line { .. })) {} } => {}
        }
        let limit = std::time::Duration::from_secs(30);
        tokio::time::timeout(limit, bench.until_no_process_has(&bench.name))
            .await
            .expect("the step still runs");
    })
    .await;
}
