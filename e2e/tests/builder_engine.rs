//! Images are built, brought into the artifact store and pulled from there again, on a real Docker Engine.
//!
//! The engine must run in this network namespace, and be one that a build may use: `CUTOVER_E2E_DOCKER` names its socket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;

use bollard::Docker;
use bollard::query_parameters::{CreateImageOptions, ListImagesOptions, RemoveImageOptions};
use cutover_builder::{Build, BuildEvent, Engine, Error, ImageId, Limits};
use cutover_core::{BuildContext, PrivateImage, Recipe, Reference, RegistryLogin, SshKeys};
use cutover_registry::{Image, Pace, Platform, PullRegistry};
use cutover_store::{Digest, Store};
use futures_util::{FutureExt, TryStreamExt};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

/// The socket of a Docker Engine that tests may build on.
fn docker_socket() -> PathBuf {
    let socket = std::env::var("CUTOVER_E2E_DOCKER").unwrap_or_else(|_| {
        panic!("CUTOVER_E2E_DOCKER is not set: it must name the unix socket of a Docker Engine that tests may build on")
    });
    PathBuf::from(socket.trim_start_matches("unix://"))
}

/// Held by the test that empties the engine's build cache and by the one that relies on it.
static BUILD_CACHE: Mutex<()> = Mutex::const_new(());

/// A store and an engine for one test. All images of the test have its name in theirs.
struct Bench {
    folder: TempDir,
    store: Store,
    docker: Docker,
    engine: Engine,
    name: String,
}

/// Runs a test and removes its images, however it ends.
async fn with_bench(test: impl AsyncFnOnce(&Bench)) {
    let socket = docker_socket();
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let engine = Engine::connect(&socket, store.clone(), Limits::default()).await.unwrap();
    let docker =
        Docker::connect_with_unix(socket.to_str().unwrap(), 60, bollard::API_DEFAULT_VERSION).unwrap();
    let docker = docker.negotiate_version().await.unwrap();
    let name = folder.path().file_name().unwrap().to_string_lossy().to_lowercase().replace('.', "test-");
    let bench = Bench { folder, store, docker, engine, name };
    let outcome = AssertUnwindSafe(test(&bench)).catch_unwind().await;
    for name in bench.names().await {
        let options = RemoveImageOptions { force: true, ..Default::default() };
        bench.docker.remove_image(&name, Some(options), None).await.ok();
    }
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl Bench {
    /// The names of this test's images, and the digests under which it pulled some.
    async fn names(&self) -> Vec<String> {
        let images = self.docker.list_images(None::<ListImagesOptions>).await.unwrap();
        let names =
            images.into_iter().flat_map(|image| image.repo_tags.into_iter().chain(image.repo_digests));
        names.filter(|name| name.contains(&self.name)).collect()
    }

    fn image(&self, tag: &str) -> String {
        format!("{}:{tag}", self.name)
    }

    /// An image with a shell in it, and nothing else.
    async fn base(&self) -> String {
        self.base_with(&[]).await
    }

    /// An image with a shell and these programs of this machine in it.
    async fn base_with(&self, programs: &[&str]) -> String {
        let mut tar = tar::Builder::new(Vec::new());
        tar.follow_symlinks(true);
        for program in programs {
            tar.append_path_with_name(program, program.trim_start_matches('/')).unwrap();
            let libraries = std::process::Command::new("ldd").arg(program).output().unwrap();
            let libraries = String::from_utf8(libraries.stdout).unwrap();
            for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
                tar.append_path_with_name(library, library.trim_start_matches('/')).unwrap();
            }
        }
        tar.append_path_with_name("/bin/busybox", "bin/busybox").expect("busybox-static must be installed");
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_size(0);
        tar.append_link(&mut link, "bin/sh", "busybox").unwrap();
        let content = bollard::body_full(tar.into_inner().unwrap().into());
        let options = CreateImageOptions {
            from_src: Some("-".to_owned()),
            repo: Some(self.name.clone()),
            tag: Some("base".to_owned()),
            ..Default::default()
        };
        let import = self.docker.create_image(Some(options), Some(content), None);
        import.try_collect::<Vec<_>>().await.unwrap();
        self.image("base")
    }

    /// Puts a context of these files into the store.
    async fn context(&self, files: &[(&str, &[u8])]) -> BuildContext {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, path, *content).unwrap();
        }
        let archive = self.store.put_bytes(&tar.into_inner().unwrap()).await.unwrap();
        BuildContext { archive, recipe: Box::default() }
    }

    async fn build(&self, context: &BuildContext, tag: &str) -> (Result<ImageId, Error>, Vec<BuildEvent>) {
        let (sender, mut receiver) = mpsc::channel(16);
        let labels = BTreeMap::from([("cutover.service".to_owned(), "app".to_owned())]);
        let (name, source) = (self.image(tag), context);
        let build = Build { source, name: &name, labels: &labels };
        let built = async {
            let built = self.engine.build(&build, &sender).await;
            drop(sender);
            built
        };
        let told = async {
            let mut events = Vec::new();
            while let Some(event) = receiver.recv().await {
                events.push(event);
            }
            events
        };
        tokio::join!(built, told)
    }

    async fn until_no_process_has(&self, word: &str) {
        let running = || {
            std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
                let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&command).contains(&format!("echo {word}; while"))
            })
        };
        while running() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// Makes the engine forget images and the layers that BuildKit keeps of them.
    async fn forget(&self, tags: &[&str]) {
        for tag in tags {
            let options = RemoveImageOptions { force: true, ..Default::default() };
            self.docker.remove_image(&self.image(tag), Some(options), None).await.unwrap();
        }
        self.docker.prune_build(None::<bollard::query_parameters::PruneBuildOptions>).await.unwrap();
    }

    /// Pulls an image from the store; answers its id, and how many bytes travelled.
    async fn pull(&self, manifest: &Digest) -> (ImageId, u64) {
        let image = Image::read(&self.store, manifest, &Platform::linux("amd64")).await.unwrap();
        let registry = PullRegistry::new(self.store.clone(), &self.name, image, Pace::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let reference = format!("{}/{}@{manifest}", listener.local_addr().unwrap(), self.name);
        let serve = async {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let registry = registry.clone();
                tokio::spawn(async move { registry.serve_connection(stream).await });
            }
        };
        let pulled = tokio::select! {
            pulled = self.engine.existing(&reference) => pulled.unwrap(),
            never = serve => never,
        };
        (pulled, registry.traffic().sent)
    }
}

fn lines(events: &[BuildEvent]) -> Vec<&str> {
    let mut lines = Vec::new();
    for event in events {
        if let BuildEvent::Line { text, .. } = event {
            lines.push(text.as_str());
        }
    }
    lines
}

/// Bytes that don't compress, and are the same at each call with the same seed.
fn noise(seed: &str, length: usize) -> Vec<u8> {
    let mut state = seed.bytes().fold(7_u64, |state, byte| state.wrapping_mul(31).wrapping_add(byte.into()));
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

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
        let build = Build { source: &context, name: &name, labels: &labels };
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

        let nowhere =
            Engine::connect(bench.folder.path().join("no.sock"), bench.store.clone(), Limits::default());
        assert!(matches!(nowhere.await, Err(Error::NoEngine { .. })));
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
