//! A registry that asks for a password.

use bollard::query_parameters::RemoveImageOptions;
use cutover_core::{PrivateImage, Reference, RegistryLogin, Source};
use cutover_e2e::PrivateRegistry;
use futures_util::TryStreamExt;

use crate::bench::{BUILD_CACHE, values, with_bench};

#[tokio::test]
async fn a_private_registry_is_entered_with_its_password_for_an_image_and_for_a_base() {
    let _alone = BUILD_CACHE.lock().await;
    with_bench(async |bench| {
        let registry = PrivateRegistry::start().await.unwrap();
        let base = bench.base().await;
        let repository = format!("{}/{}", registry.server(), bench.name);
        let tag = bollard::query_parameters::TagImageOptions {
            repo: Some(repository.clone()),
            tag: Some("v1".to_owned()),
        };
        bench.docker.tag_image(&base, Some(tag)).await.unwrap();
        let credentials = bollard::auth::DockerCredentials {
            username: Some(PrivateRegistry::USERNAME.to_owned()),
            password: Some(PrivateRegistry::PASSWORD.to_owned()),
            ..Default::default()
        };
        let push =
            bollard::query_parameters::PushImageOptions { tag: Some("v1".to_owned()), ..Default::default() };
        bench
            .docker
            .push_image(&repository, Some(push), Some(credentials))
            .try_collect::<Vec<_>>()
            .await
            .unwrap();
        let image = format!("{repository}:v1");
        let forget = async || {
            for name in bench.names().await {
                let options = RemoveImageOptions { force: true, ..Default::default() };
                bench.docker.remove_image(&name, Some(options), None).await.ok();
            }
            bench.docker.prune_build(None::<bollard::query_parameters::PruneBuildOptions>).await.unwrap();
        };
        let password = bench.folder.path().join("password");
        PrivateRegistry::write_password(&password).unwrap();
        let login = RegistryLogin {
            server: registry.server(),
            username: PrivateRegistry::USERNAME.to_owned(),
            password: Reference::File(password.clone()),
        };
        let private = PrivateImage { image: image.clone(), registry: login.clone() };

        forget().await;
        let refused = bench.engine.existing(&image).await;
        assert!(refused.is_err(), "{refused:?}");
        let values = values(&Source::Private(private.clone())).await;
        bench.engine.existing_private(&private, &values).await.unwrap();

        forget().await;
        let dockerfile = format!("FROM {image}\nRUN echo {}\n", bench.name);
        let mut context = bench.context(&[("Dockerfile", dockerfile.as_bytes())]).await;
        let (refused, _) = bench.build(&context, "built").await;
        assert!(refused.is_err(), "{refused:?}");
        context.recipe.registry = Some(login);
        let (built, events) = bench.build(&context, "built").await;
        built.unwrap_or_else(|e| panic!("{e}: {events:#?}"));
    })
    .await;
}
