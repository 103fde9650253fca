//! A store and a Docker Engine for one test.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::Arc;

use bollard::Docker;
use bollard::query_parameters::{CreateImageOptions, ListImagesOptions, RemoveImageOptions};
use cutover_builder::{Build, BuildEvent, Engine, Error, ImageId, Limits};
use cutover_core::{BuildContext, Source};
use cutover_host::{Host, Hosts, SshOptions};
use cutover_registry::{Image, Pace, Platform, PullRegistry};
use cutover_secrets::Values;
use cutover_store::{Digest, Store};
use futures_util::{FutureExt, TryStreamExt};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

/// The socket of a Docker Engine that tests may build on.
pub fn docker_socket() -> PathBuf {
    let socket = std::env::var("CUTOVER_E2E_DOCKER").unwrap_or_else(|_| {
        panic!("CUTOVER_E2E_DOCKER is not set: it must name the unix socket of a Docker Engine that tests may build on")
    });
    PathBuf::from(socket.trim_start_matches("unix://"))
}

/// Held by the test that empties the engine's build cache and by the one that relies on it.
pub static BUILD_CACHE: Mutex<()> = Mutex::const_new(());

/// A store and an engine for one test. All images of the test have its name in theirs.
pub struct Bench {
    pub folder: TempDir,
    pub store: Store,
    pub docker: Docker,
    pub engine: Engine,
    pub name: String,
}

/// Runs a test and removes its images, however it ends.
pub async fn with_bench(test: impl AsyncFnOnce(&Bench)) {
    with_bench_on(Hosts::new(SshOptions::new("/nonexistent"), docker_socket()).local(), test).await;
}

/// The same on the Docker Engine of another host.
pub async fn with_bench_on(host: Arc<Host>, test: impl AsyncFnOnce(&Bench)) {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    let docker = host.docker().await.unwrap();
    let engine = Engine::connect(host, store.clone(), Limits::default()).await.unwrap();
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
    pub async fn names(&self) -> Vec<String> {
        let images = self.docker.list_images(None::<ListImagesOptions>).await.unwrap();
        let names =
            images.into_iter().flat_map(|image| image.repo_tags.into_iter().chain(image.repo_digests));
        names.filter(|name| name.contains(&self.name)).collect()
    }

    pub fn image(&self, tag: &str) -> String {
        format!("{}:{tag}", self.name)
    }

    /// An image with a shell in it, and nothing else.
    pub async fn base(&self) -> String {
        self.base_with(&[]).await
    }

    /// An image with a shell and these programs of this machine in it.
    pub async fn base_with(&self, programs: &[&str]) -> String {
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
    pub async fn context(&self, files: &[(&str, &[u8])]) -> BuildContext {
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

    pub async fn build(
        &self,
        context: &BuildContext,
        tag: &str,
    ) -> (Result<ImageId, Error>, Vec<BuildEvent>) {
        let (sender, mut receiver) = mpsc::channel(16);
        let labels = BTreeMap::from([("cutover.service".to_owned(), "app".to_owned())]);
        let (name, source) = (self.image(tag), context);
        let values = values(&Source::Context(context.clone())).await;
        let build = Build { source, name: &name, labels: &labels, values: &values };
        let built = async {
            let built = self.engine.build(&build, &sender).await;
            drop(sender);
            built.map(|built| built.image)
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

    pub async fn until_no_process_has(&self, word: &str) {
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
    pub async fn forget(&self, tags: &[&str]) {
        for tag in tags {
            let options = RemoveImageOptions { force: true, ..Default::default() };
            self.docker.remove_image(&self.image(tag), Some(options), None).await.unwrap();
        }
        self.docker.prune_build(None::<bollard::query_parameters::PruneBuildOptions>).await.unwrap();
    }

    /// Pulls an image from the store; answers its id, and how many bytes travelled.
    pub async fn pull(&self, manifest: &Digest) -> (ImageId, u64) {
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

pub fn lines(events: &[BuildEvent]) -> Vec<&str> {
    let mut lines = Vec::new();
    for event in events {
        if let BuildEvent::Line { text, .. } = event {
            lines.push(text.as_str());
        }
    }
    lines
}

/// Bytes that don't compress, and are the same at each call with the same seed.
pub fn noise(seed: &str, length: usize) -> Vec<u8> {
    let mut state = seed.bytes().fold(7_u64, |state, byte| state.wrapping_mul(31).wrapping_add(byte.into()));
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

/// What a source needs and has here.
pub async fn values(source: &Source) -> Values {
    let mut known = Vec::new();
    for needed in source.needed_secrets() {
        if let Ok(value) = cutover_secrets::read(needed.reference).await {
            known.push((needed.reference.clone(), value));
        }
    }
    Values::known(known)
}
