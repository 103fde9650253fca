//! An application as people have it: a Debian base, two layers of libraries that hardly ever change, and one of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use tempfile::TempDir;

use crate::command::run;

/// Each of the two layers of libraries, in bytes.
const LIBRARIES: u64 = 88 << 20;
/// The application's own layer, in bytes; it can't be compressed.
const OWN: usize = 1 << 20;
/// What is too large to be a library of an application, in bytes.
const TOO_LARGE: u64 = 16 << 20;

const DOCKERFILE: &str = "\
FROM debian:bookworm-slim
COPY libraries-1 /app/libraries-1
COPY libraries-2 /app/libraries-2
COPY own /app/own
USER 65532:65532
";

/// The folder that it is built from. Its images are gone when this is dropped.
pub(crate) struct Application {
    folder: TempDir,
    images: Vec<String>,
}

impl Application {
    /// Libraries of this machine: real content, as compressible as an application's.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        fs::write(folder.path().join("Dockerfile"), DOCKERFILE)?;
        let mut files = Vec::new();
        walk(Path::new("/usr/lib"), &mut files)?;
        files.sort();
        let mut files = files.into_iter();
        for layer in ["libraries-1", "libraries-2"] {
            let (layer, mut size) = (folder.path().join(layer), 0);
            fs::create_dir(&layer)?;
            for (number, (file, bytes)) in files.by_ref().enumerate() {
                fs::copy(&file, layer.join(number.to_string()))
                    .with_context(|| format!("copying {}", file.display()))?;
                size += bytes;
                if size >= LIBRARIES {
                    break;
                }
            }
        }
        Ok(Self { folder, images: Vec::new() })
    }

    /// Builds its next version, of which only its own layer differs, and answers with the image's name.
    pub(crate) fn next(&mut self) -> anyhow::Result<String> {
        let name = format!("cutover-bench-ship-{}:{}", std::process::id(), self.images.len());
        let own: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(OWN).collect();
        fs::write(self.folder.path().join("own"), own)?;
        let mut build = Command::new("docker");
        // The engine's own builder: a client may lack what it needs for BuildKit.
        build.args(["build", "--quiet", "--tag", &name]).arg(self.folder.path()).env("DOCKER_BUILDKIT", "0");
        run(&mut build)?;
        self.images.push(name.clone());
        Ok(name)
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        if self.images.is_empty() {
            return;
        }
        if let Err(error) = run(Command::new("docker").args(["image", "rm", "--force"]).args(&self.images)) {
            eprintln!("images were left behind: {error:#}");
        }
    }
}

/// Regular files below `folder`, with their sizes.
fn walk(folder: &Path, files: &mut Vec<(PathBuf, u64)>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            walk(&entry.path(), files)?;
        } else if kind.is_file() {
            let size = entry.metadata()?.len();
            if (1..TOO_LARGE).contains(&size) {
                files.push((entry.path(), size));
            }
        }
    }
    Ok(())
}
