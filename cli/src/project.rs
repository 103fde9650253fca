//! The application in front of us: its deploy file, and what stands beside it.

use std::path::{Path, PathBuf};

use cutover_context::Commit;
use cutover_core::{HostName, HostSpec, ServiceKey, Target};

use crate::args::Global;
use crate::console::Console;
use crate::deploy_file;
use crate::error::Error;

/// A deploy file and the destination that is meant.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    /// The file.
    pub(crate) file: PathBuf,
    /// What is deployed, and where.
    pub(crate) target: Target,
    folder: PathBuf,
    notes: Vec<String>,
    known: Option<Known>,
}

/// What a folder is, just as it is, where that is known without asking Git.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// The commit.
    pub(crate) commit: Commit,
    /// The repository that it is of.
    pub(crate) url: String,
}

impl Project {
    /// Reads the deploy file and takes the destination that the options name, or the only one.
    ///
    /// # Errors
    /// No file, or one that is wrong; no such destination.
    pub(crate) fn open(options: &Global) -> anyhow::Result<Self> {
        Self::of(deploy_file::read(&options.file)?, options)
    }

    /// The same of a file that somebody has written who isn't present: nothing of this process's environment gets into it, and that its
    /// folder is this commit is known without asking Git there.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn open_unattended(options: &Global, known: Known) -> anyhow::Result<Self> {
        let found = deploy_file::read_unattended(&options.file, known.commit.as_str())?;
        Ok(Self { known: Some(known), ..Self::of(found, options)? })
    }

    fn of(found: deploy_file::Found, options: &Global) -> anyhow::Result<Self> {
        let target = found.file.destination(options.destination.as_deref())?;
        Ok(Self { file: found.path, target, folder: found.folder, notes: found.notes, known: None })
    }

    /// The folder that paths in the file are relative to.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the folder is, where a request has led to it.
    pub(crate) const fn known(&self) -> Option<&Known> {
        self.known.as_ref()
    }

    /// The hosts of the destination, or that one of them.
    ///
    /// # Errors
    /// One that is none of them.
    pub(crate) fn hosts(&self, only: Option<&HostName>) -> Result<Vec<HostSpec>, Error> {
        let hosts = &self.target.hosts;
        let Some(only) = only else { return Ok(hosts.clone()) };
        match hosts.iter().find(|spec| spec.name == *only) {
            Some(spec) => Ok(vec![spec.clone()]),
            None => {
                let known: Vec<&str> = hosts.iter().map(|spec| spec.name.as_str()).collect();
                Err(Error::NoSuchHost { host: only.clone(), known: known.join(", ") })
            }
        }
    }

    /// Tells what of a file in another dialect is not carried out, and hands it on.
    pub(crate) fn tell(&self, console: Console) -> Vec<String> {
        let mut notes = self.notes.iter();
        if let Some(first) = notes.next() {
            console.note(format_args!("note: {first}"));
        }
        let left: Vec<String> = notes.cloned().collect();
        left.iter().for_each(|line| console.note(format_args!("warning: {line}")));
        left
    }
}

/// The services that a command is about: those of the deploy file, at one destination where one is named. None without
/// a file: all that the journal knows, then.
///
/// # Errors
/// A file that is wrong; no such destination.
pub(crate) fn keys(options: &Global) -> anyhow::Result<Option<Vec<ServiceKey>>> {
    let file = match deploy_file::read(&options.file) {
        Err(error) if matches!(error.downcast_ref(), Some(Error::NoDeployFile(_))) => return Ok(None),
        read => read?.file,
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
    let file = deploy_file::read(&options.file)?.file;
    Ok(match options.destination.as_deref() {
        Some(name) => vec![file.destination(Some(name))?],
        None => file.targets().to_vec(),
    })
}
