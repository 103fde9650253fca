//! A blow: the program of a stage is killed in the middle of it.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use cutover_bus::Point;
use cutover_core::Stage;
use cutover_e2e::claim;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::scene::{LIMIT, Scene};

/// How often it is looked whether an order was carried out.
const POLL: Duration = Duration::from_millis(20);

/// When, in its stage, a program is killed.
#[derive(Clone, Copy)]
pub(crate) enum Moment {
    /// While it works: the process that the journal names is killed from outside.
    AtWork,
    /// Once its work has had its effect, and before that is recorded. A stage of milliseconds can't be hit from outside: the
    /// program finds the order in a file, and carries it out on itself.
    Done,
}

/// Which stage, and when in it.
#[derive(Clone, Copy)]
pub(crate) struct Blow {
    pub(crate) stage: Stage,
    pub(crate) moment: Moment,
}

impl Blow {
    /// Waits for the moment in the deployment of a version; answers with the process that was killed, by SIGKILL.
    pub(crate) async fn strike(self, scene: &Scene, version: &str) -> anyhow::Result<Pid> {
        match self.moment {
            Moment::AtWork => {
                let pid = scene.until(version, |deployment| claim::at_work(deployment, self.stage)).await?;
                kill(pid, Signal::SIGKILL)?;
                Ok(pid)
            }
            Moment::Done => self.order(scene).await,
        }
    }

    async fn order(self, scene: &Scene) -> anyhow::Result<Pid> {
        let order = scene.plane.fault();
        let taken = order.with_extension("taken");
        fs::write(&order, format!("{} {} kill", self.stage, Point::Done))?;
        let carried_out = async {
            loop {
                let pid = fs::read_to_string(&taken).ok().and_then(|text| text.trim().parse().ok());
                if let Some(pid) = pid {
                    return Pid::from_raw(pid);
                }
                tokio::time::sleep(POLL).await;
            }
        };
        let pid = tokio::time::timeout(LIMIT, carried_out)
            .await
            .with_context(|| format!("no {} came to the end of its {}", self.stage.program(), self.stage))?;
        fs::remove_file(&taken)?;
        Ok(pid)
    }
}

impl Moment {
    /// In words.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::AtWork => "while it works",
            Self::Done => "once its work is done, and before that is recorded",
        }
    }
}
