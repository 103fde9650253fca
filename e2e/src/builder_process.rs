//! A builder beside those that `cutover up` starts, with a Docker Engine and scratch folders of its own.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use cutover_core::Program;
use tempfile::TempDir;

use crate::ControlPlane;

/// A running builder, which builds one thing at a time. It is killed when this is dropped.
#[derive(Debug)]
pub struct BuilderProcess {
    process: Child,
    scratch: TempDir,
}

impl BuilderProcess {
    /// Starts one for that control plane, with the Docker Engine that `docker` names as `DOCKER_HOST` does.
    ///
    /// # Errors
    /// A program that wasn't built.
    pub fn start(plane: &ControlPlane, docker: &str) -> anyhow::Result<Self> {
        let scratch = tempfile::tempdir()?;
        let log = File::create(scratch.path().join("log"))?;
        let mut command = Command::new(plane.programs().join(Program::Builder.binary()));
        command
            .envs(plane.environment())
            .env("NATS_URL", plane.url()?)
            .env("CUTOVER_STORE", plane.store())
            .env("CUTOVER_SLOTS", "1")
            .env("DOCKER_HOST", docker)
            .env("TMPDIR", scratch.path())
            .stdin(Stdio::null())
            .stderr(log);
        let process = command.spawn().context("no cutover-builder: run scripts/build.sh")?;
        Ok(Self { process, scratch })
    }

    /// Its process id, with which its claims end.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where it puts files for as long as it needs them; its log is there too.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Kills it.
    ///
    /// # Errors
    /// A process that is gone.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for BuilderProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
