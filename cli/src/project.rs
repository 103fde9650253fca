//! The application in front of us: its deploy file, and what stands beside it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cutover_core::{DeployFile, ServiceKey, Target};

use crate::args::Global;
use crate::error::Error;

/// A deploy file and the destination that is meant.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    /// The file.
    pub(crate) file: PathBuf,
    /// What is deployed, and where.
    pub(crate) target: Target,
}

impl Project {
    /// Reads the deploy file and takes the destination that the options name, or the only one.
    ///
    /// # Errors
    /// No file, or one that is wrong; no such destination.
    pub(crate) fn open(options: &Global) -> anyhow::Result<Self> {
        let target = deploy_file(&options.file)?.destination(options.destination.as_deref())?;
        Ok(Self { file: options.file.clone(), target })
    }

    /// The folder that paths in the file are relative to.
    pub(crate) fn folder(&self) -> &Path {
        self.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }
}

/// The services that a command is about: those of the deploy file, at one destination where one is named. None without
/// a file: all that the journal knows, then.
///
/// # Errors
/// A file that is wrong; no such destination.
pub(crate) fn keys(options: &Global) -> anyhow::Result<Option<Vec<ServiceKey>>> {
    let file = match deploy_file(&options.file) {
        Err(error) if matches!(error.downcast_ref(), Some(Error::NoDeployFile(_))) => return Ok(None),
        read => read?,
    };
    Ok(Some(match options.destination.as_deref() {
        Some(name) => vec![file.destination(Some(name))?.key],
        None => file.targets().iter().map(|target| target.key.clone()).collect(),
    }))
}

/// What the deploy file says of the destination that is named, and without a name of each.
///
/// # Errors
/// No file, or one that is wrong; no such destination.
pub(crate) fn targets(options: &Global) -> anyhow::Result<Vec<Target>> {
    let file = deploy_file(&options.file)?;
    Ok(match options.destination.as_deref() {
        Some(name) => vec![file.destination(Some(name))?],
        None => file.targets().to_vec(),
    })
}

fn deploy_file(path: &Path) -> anyhow::Result<DeployFile> {
    let text = fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::NoDeployFile(path.to_owned()),
        _ => Error::io("read", path)(error),
    })?;
    Ok(DeployFile::parse(&text, &path.display().to_string())?)
}
