//! Where things are.

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where `scripts/build.sh` lays the programs out.
pub fn dist() -> PathBuf {
    root().join("target/dist")
}
