//! A registry that asks for a password.

use bollard::query_parameters::RemoveImageOptions;
use cutover_core::{PrivateImage, Reference, RegistryLogin};
use futures_util::TryStreamExt;

use crate::bench::{BUILD_CACHE, with_bench};

/// As `htpasswd -nbB` writes it: anna, with the password hunter2.
const HTPASSWD: &str = "anna:$2b$05$HhrNltpPAU45twFBee3vjeNhHF.5veFqnMempI5hLL8AmYCWOZOJK\n";

/// A real registry that only `anna` may enter, with the password `hunter2`.
struct PrivateRegistry {
    process: std::process::Child,
    server: String,
}

impl PrivateRegistry {
    async fn start(folder: &std::path::Path) -> Self {
        // Free a moment ago: the program takes no socket.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let path = |name: &str| folder.join(name).display().to_string();
        std::fs::write(path("htpasswd"), HTPASSWD).unwrap();
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n\
             auth: {{htpasswd: {{realm: test, path: {}}}}}\n",
            path("registry"),
            path("htpasswd")
        );
        std::fs::write(path("registry.yml"), config).unwrap();
        let process = std::process::Command::new("docker-registry")
            .args(["serve", &path("registry.yml")])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("docker-registry must be installed");
        let server = format!("127.0.0.1:{port}");
        while tokio::net::TcpStream::connect(&server).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        Self { process, server }
    }
}

impl Drop for PrivateRegistry {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[tokio::test]
async fn a_private_registry_is_entered_with_its_password_for_an_image_and_for_a_base() {
    let _alone = BUILD_CACHE.lock().await;
    with_bench(async |bench| {
        let registry = PrivateRegistry::start(bench.folder.path()).await;
        let base = bench.base().await;
        let repository = format!("{}/{}", registry.server, bench.name);
        let tag = bollard::query_parameters::TagImageOptions {
            repo: Some(repository.clone()),
            tag: Some("v1".to_owned()),
        };
        bench.docker.tag_image(&base, Some(tag)).await.unwrap();
        let credentials = bollard::auth::DockerCredentials {
            username: Some("anna".to_owned()),
            password: Some("hunter2".to_owned()),
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
        std::fs::write(&password, "hunter2").unwrap();
        let login = RegistryLogin {
            server: registry.server.clone(),
            username: "anna".to_owned(),
            password: Reference::File(password.clone()),
        };
        let private = PrivateImage { image: image.clone(), registry: login.clone() };

        forget().await;
        let refused = bench.engine.existing(&image).await;
        assert!(refused.is_err(), "{refused:?}");
        bench.engine.existing_private(&private).await.unwrap();

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
