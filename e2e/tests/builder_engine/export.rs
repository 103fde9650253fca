//! Images that exist, into the artifact store and out of it again.

use bollard::query_parameters::RemoveImageOptions;
use cutover_builder::{Engine, Error, Limits};
use cutover_host::{Hosts, SshOptions};
use tokio::net::TcpListener;

use crate::bench::{BUILD_CACHE, noise, with_bench};

#[tokio::test]
async fn an_image_that_nobody_has_is_named() {
    with_bench(async |bench| {
        // A registry at this address answers, and knows no image but its own.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let registry = cutover_registry::PushRegistry::new(bench.store.clone(), "some/image");
        let reference = format!("{}/other/image:v1", listener.local_addr().unwrap());
        let asked = async {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let registry = registry.clone();
                tokio::spawn(async move { registry.serve_connection(stream).await });
            }
        };
        let refused = tokio::select! {
            refused = bench.engine.existing(&reference) => refused.unwrap_err(),
            never = asked => never,
        };
        assert!(matches!(&refused, Error::NoSuchImage { .. }), "{refused:?}");
        assert!(refused.to_string().contains(&reference));

        let host = Hosts::new(SshOptions::new("/nonexistent"), bench.folder.path().join("no.sock")).local();
        let nowhere = Engine::connect(host, bench.store.clone(), Limits::default()).await;
        assert!(matches!(nowhere, Err(Error::Host(cutover_host::Error::NoDocker { .. }))));
    })
    .await;
}

#[tokio::test]
async fn an_image_goes_into_the_store_and_comes_back_and_only_what_is_missing_travels() {
    let _alone = BUILD_CACHE.lock().await;
    with_bench(async |bench| {
        let base = bench.base().await;
        let large = noise(&bench.name, 3_000_000);
        let dockerfile = format!("FROM {base}\nCOPY large /large\nCOPY small /small\n");
        let version = async |tag: &str| {
            let small = noise(&[tag, &bench.name].concat(), 400_000);
            let files = [("Dockerfile", dockerfile.as_bytes()), ("large", &large), ("small", &small)];
            bench.build(&bench.context(&files).await, tag).await.0.unwrap()
        };
        let first = version("v1").await;
        let exported = bench.engine.export(&first, &bench.name).await.unwrap();
        assert!(exported.size > 3_400_000, "{exported:?}");
        assert!(exported.received > 3_400_000, "{exported:?}");
        let for_push = |name: &String| name.starts_with("127.0.0.1");
        assert!(!bench.names().await.iter().any(for_push), "the name for the push is still there");

        let again = bench.engine.export(&first, &bench.name).await.unwrap();
        assert_eq!((&again.manifest, again.size), (&exported.manifest, exported.size));
        assert!(again.received < 20_000, "{again:?}");

        let second = version("v2").await;
        let changed = bench.engine.export(&second, &bench.name).await.unwrap();
        assert!((400_000..450_000).contains(&changed.received), "{changed:?}");

        // A host that has nothing of the service pulls its layers, and then only the one that the second image changed.
        bench.forget(&["v1", "v2", "base"]).await;
        let (pulled, all) = bench.pull(&exported.manifest).await;
        assert_eq!(pulled, first);
        assert!(all > 3_400_000, "{all}");
        let (pulled, part) = bench.pull(&changed.manifest).await;
        assert_eq!(pulled, second);
        assert!((400_000..450_000).contains(&part), "{part}");
    })
    .await;
}

#[tokio::test]
async fn an_image_without_a_name_outlives_its_export() {
    with_bench(async |bench| {
        let unique = bench.name.as_bytes();
        let context =
            bench.context(&[("Dockerfile", b"FROM scratch\nCOPY file /\n"), ("file", unique)]).await;
        let image = bench.build(&context, "v1").await.0.unwrap();
        let other =
            bench.context(&[("Dockerfile", b"FROM scratch\nCOPY file /\n"), ("file", b"other")]).await;
        bench.build(&other, "v1").await.0.unwrap();
        bench.engine.export(&image, &bench.name).await.unwrap();
        assert_eq!(bench.engine.existing(&image.to_string()).await.unwrap(), image);
        let kept = format!("cutover/kept:{}", image.digest().short());
        bench.docker.remove_image(&kept, None::<RemoveImageOptions>, None).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn names_that_a_killed_program_has_left_are_taken_away_and_those_in_use_are_not() {
    with_bench(async |bench| {
        let image = bench.engine.existing(&bench.base().await).await.unwrap();
        let tagged = async |began: std::time::SystemTime| {
            let id = ulid::Ulid::from_datetime(began).to_string().to_lowercase();
            let repository = format!("127.0.0.1:1/cutover/{}-{id}", bench.name);
            let options = bollard::query_parameters::TagImageOptions {
                repo: Some(repository.clone()),
                tag: Some("image".to_owned()),
            };
            bench.docker.tag_image(&image.to_string(), Some(options)).await.unwrap();
            format!("{repository}:image")
        };
        let now = std::time::SystemTime::now();
        let left = tagged(now - 2 * Limits::default().export).await;
        let used = tagged(now).await;
        bench.engine.export(&image, &bench.name).await.unwrap();
        let names = bench.names().await;
        assert!(!names.contains(&left) && names.contains(&used), "{names:?}");
    })
    .await;
}
