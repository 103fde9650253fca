//! The hooks of the deploy file: which run when, and what comes of it.

mod environment;
mod process;

use std::future::Future;
use std::path::PathBuf;
use std::time::Instant;

use cutover_core::{Hook, Outcome, Plan, Target};

use crate::console::Console;
use crate::error::Error;
use crate::follow::{Followed, Interrupt};
use crate::project::Project;
use environment::{About, Environment};
pub(crate) use process::Ending;

/// The hooks of one command.
#[derive(Debug)]
pub(crate) struct Hooks {
    hooks: cutover_core::Hooks,
    folder: PathBuf,
    environment: Environment,
    console: Console,
    began: Instant,
    /// From the first one on: whoever catches a signal once has it for good.
    interrupt: Option<Interrupt>,
    /// Whether `before_deploy` was looked for.
    has_asked: bool,
}

impl Hooks {
    /// Those of the project, for a command by its name. With `skip`, none.
    pub(crate) fn of(project: &Project, command: &'static str, skip: bool, console: Console) -> Self {
        let hooks = &project.target.hooks;
        Self {
            hooks: if skip { cutover_core::Hooks::default() } else { hooks.clone() },
            folder: project.folder().to_owned(),
            environment: Environment::new(&project.target, command),
            console,
            began: Instant::now(),
            interrupt: None,
            has_asked: false,
        }
    }

    /// Runs `before_build`, before anything of what is built is read. Says whether it ran.
    ///
    /// # Errors
    /// It failed, took too long or was interrupted: nothing was decided.
    pub(crate) async fn before_build(
        &mut self,
        target: &Target,
        version: Option<&str>,
    ) -> Result<bool, Error> {
        let about = About { version, deployment: None, hosts: &target.hosts, ended: None };
        self.before(Hook::BeforeBuild, &about).await
    }

    /// Runs `before_deploy`, once for a command, however often it tries. Says whether it ran.
    ///
    /// # Errors
    /// As for [`before_build`](Self::before_build).
    pub(crate) async fn before_deploy(&mut self, plan: &Plan) -> Result<bool, Error> {
        if std::mem::replace(&mut self.has_asked, true) {
            return Ok(false);
        }
        self.before(Hook::BeforeDeploy, &About::of(plan)).await
    }

    /// Does what there is to do between two hooks, which the signals end that a hook has left caught.
    ///
    /// # Errors
    /// Those of the work, or a signal.
    pub(crate) async fn unless_interrupted<T>(
        &mut self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let Some(interrupt) = &mut self.interrupt else { return work.await };
        tokio::select! {
            done = work => done,
            exit = interrupt.signal() => Err(Error::Interrupted(exit).into()),
        }
    }

    /// Runs what comes after a deployment. Whatever becomes of that changes nothing of how it ended.
    pub(crate) async fn after(&self, plan: &Plan, followed: Followed) {
        let Followed::Ended(outcome) = followed else { return self.nobody_waits() };
        let hook = if outcome == Outcome::Live { Hook::AfterDeploy } else { Hook::OnFailure };
        let Some(command) = self.hooks.command(hook) else { return };
        let about = About { ended: Some((outcome, self.began.elapsed())), ..About::of(plan) };
        let ending = match Interrupt::catch() {
            Ok(mut interrupt) => self.run(hook, command, &about, &mut interrupt).await,
            Err(error) => Ending::NotRun(error),
        };
        if !ending.is_good() {
            let name = hook.as_str();
            self.console.note(format_args!("warning: {name} {ending}; the deployment has ended as it has"));
        }
    }

    fn nobody_waits(&self) {
        let left: Vec<&str> = [Hook::AfterDeploy, Hook::OnFailure]
            .into_iter()
            .filter(|hook| self.hooks.command(*hook).is_some())
            .map(Hook::as_str)
            .collect();
        if !left.is_empty() {
            self.console.note(format_args!(
                "note: nobody waits for the end here, so there is no {}",
                left.join(" and no ")
            ));
        }
    }

    async fn before(&mut self, hook: Hook, about: &About<'_>) -> Result<bool, Error> {
        let Some(command) = self.hooks.command(hook).map(<[String]>::to_vec) else { return Ok(false) };
        let caught = self.interrupt.take().map_or_else(Interrupt::catch, Ok);
        let mut interrupt = caught.map_err(|error| Error::Hook { hook, ending: Ending::NotRun(error) })?;
        let ending = self.run(hook, &command, about, &mut interrupt).await;
        self.interrupt = Some(interrupt);
        if ending.is_good() { Ok(true) } else { Err(Error::Hook { hook, ending }) }
    }

    async fn run(
        &self,
        hook: Hook,
        command: &[String],
        about: &About<'_>,
        interrupt: &mut Interrupt,
    ) -> Ending {
        self.console.note(format_args!("{}: {}", hook.as_str(), command.join(" ")));
        let Some((program, arguments)) = command.split_first() else { return Ending::Good };
        let command = process::command(program, arguments, &self.folder);
        let command = command.and_then(|mut command| {
            self.environment.set(&mut command, hook, about);
            command.spawn()
        });
        match command {
            Ok(child) => process::wait(child, self.hooks.timeout, interrupt).await,
            Err(error) => Ending::NotRun(error),
        }
    }
}
