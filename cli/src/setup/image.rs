use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use bollard::query_parameters::ImportImageOptions;
use bytes::Bytes;
use cutover_core::Digest;
use cutover_host::Host;
use futures_util::TryStreamExt;
use serde::Serialize;

use super::Error;
use super::elf::{self, Architecture};

/// The one file of the image.
const PROGRAM: &str = "cutover-proxy";
const REPOSITORY: &str = "cutover/proxy";

/// The proxy's image, FROM scratch: a static binary and nothing else. The same binary gives the same image.
#[derive(Clone, Debug)]
pub(super) struct ProxyImage {
    /// Its name, which holds its digest.
    pub(super) name: String,
    /// What it runs on.
    pub(super) architecture: Architecture,
    /// The image as `docker load` takes it.
    archive: Bytes,
}

/// The configuration of an image (OCI image specification 1.1, "Image Configuration"), as far as it is needed.
#[derive(Serialize)]
struct ImageConfig<'a> {
    architecture: &'a str,
    os: &'a str,
    created: &'a str,
    config: RunConfig<'a>,
    rootfs: RootFs<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RunConfig<'a> {
    entrypoint: [&'a str; 1],
    labels: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct RootFs<'a> {
    r#type: &'a str,
    diff_ids: [&'a Digest; 1],
}

/// `manifest.json` of an archive for `docker load` (Docker image specification 1.2, "Combined Image JSON").
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ArchiveEntry<'a> {
    config: &'a str,
    repo_tags: [&'a str; 1],
    layers: [&'a str; 1],
}

impl ProxyImage {
    /// Assembles the image from the proxy's binary.
    ///
    /// # Errors
    /// A binary that can't be read or can't run from scratch.
    pub(super) fn assemble(binary: &Path) -> Result<Self, Error> {
        let program =
            std::fs::read(binary).map_err(|source| Error::Binary { path: binary.to_owned(), source })?;
        let architecture = elf::check_static(binary, &program)?;
        Self::of(&program, architecture).map_err(Error::Image)
    }

    fn of(program: &[u8], architecture: Architecture) -> io::Result<Self> {
        let layer = tar_of(&[(PROGRAM, program, 0o755)])?;
        let diff_id = Digest::of(&layer);
        let config = serde_json::to_vec(&ImageConfig {
            architecture: architecture.image,
            os: "linux",
            created: "1970-01-01T00:00:00Z",
            config: RunConfig {
                entrypoint: [concat!("/", "cutover-proxy")],
                labels: BTreeMap::from([("cutover.version", env!("CARGO_PKG_VERSION"))]),
            },
            rootfs: RootFs { r#type: "layers", diff_ids: [&diff_id] },
        })?;
        let digest = Digest::of(&config);
        let name = format!("{REPOSITORY}:{}", digest.short());
        let (config_file, layer_file) =
            (format!("{}.json", digest.hex()), format!("{}/layer.tar", diff_id.hex()));
        let manifest = serde_json::to_vec(&[ArchiveEntry {
            config: &config_file,
            repo_tags: [&name],
            layers: [&layer_file],
        }])?;
        let archive = tar_of(&[
            (&config_file, &config, 0o644),
            (&layer_file, &layer, 0o644),
            ("manifest.json", &manifest, 0o644),
        ])?;
        Ok(Self { name, architecture, archive: archive.into() })
    }

    /// Gives the image to a host that hasn't got it. Answers whether it had to.
    pub(super) async fn load(&self, host: &Host) -> Result<bool, Error> {
        let docker = host.docker().await?;
        match docker.inspect_image(&self.name).await {
            Ok(_) => return Ok(false),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => {}
            Err(error) => return Err(host.docker_failed("looking for the proxy's image")(error).into()),
        }
        let loading = || host.docker_failed("loading the proxy's image");
        let body = bollard::body_full(self.archive.clone());
        docker
            .import_image(ImportImageOptions::default(), body, None)
            .try_for_each(async |_| Ok(()))
            .await
            .map_err(loading())?;
        docker.inspect_image(&self.name).await.map_err(loading())?;
        Ok(true)
    }
}

/// A tar archive of files that belong to root and have no date.
fn tar_of(files: &[(&str, &[u8], u32)]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content, mode) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        archive.append_data(&mut header, name, *content)?;
    }
    archive.into_inner()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use serde::Deserialize;

    use super::super::elf::tests::static_program;
    use super::*;

    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Manifest {
        config: String,
        repo_tags: Vec<String>,
        layers: Vec<String>,
    }

    fn assemble(program: &[u8]) -> ProxyImage {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), program).unwrap();
        ProxyImage::assemble(file.path()).unwrap()
    }

    fn files(archive: &[u8]) -> BTreeMap<String, (Vec<u8>, u32, u64)> {
        let mut archive = tar::Archive::new(archive);
        let read = |mut entry: tar::Entry<'_, &[u8]>| {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            let path = entry.path().unwrap().display().to_string();
            (path, (content, entry.header().mode().unwrap(), entry.header().mtime().unwrap()))
        };
        archive.entries().unwrap().map(|entry| read(entry.unwrap())).collect()
    }

    #[test]
    fn the_same_binary_gives_the_same_image() {
        let (first, second) = (assemble(&static_program()), assemble(&static_program()));
        assert_eq!(first.archive, second.archive);
        let other = assemble(&[static_program(), vec![1]].concat());
        assert_ne!(first.name, other.name);
    }

    #[test]
    fn the_archive_holds_one_image_of_one_file() {
        let program = static_program();
        let image = assemble(&program);
        let outer = files(&image.archive);
        let [manifest]: [Manifest; 1] = serde_json::from_slice(&outer["manifest.json"].0).unwrap();
        assert_eq!(manifest.repo_tags, [image.name.as_str()]);
        let digest = Digest::of(&outer[&manifest.config].0);
        assert_eq!(manifest.config, format!("{}.json", digest.hex()));
        assert_eq!(image.name, format!("cutover/proxy:{}", digest.short()));

        let layer = &outer[&manifest.layers[0]].0;
        let config = String::from_utf8(outer[&manifest.config].0.clone()).unwrap();
        assert!(config.contains(Digest::of(layer).as_str()), "{config}");
        assert!(config.contains(r#""Entrypoint":["/cutover-proxy"]"#), "{config}");
        let inner = files(layer);
        assert_eq!(inner.keys().collect::<Vec<_>>(), ["cutover-proxy"]);
        assert_eq!(inner["cutover-proxy"], (program, 0o755, 0));
    }
}
