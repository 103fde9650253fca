//! The exit codes, all of them. What they mean for scripts stands in `docs/exit-codes.md`.

use std::process::ExitCode;

use cutover_core::Outcome;

/// How a command ended, as its exit code tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; for a deployment: its release is live. For `plan`: there is nothing to do.
    Ok,
    /// `plan` only: a deployment would change something.
    Changes,
    /// Something that nobody foresaw.
    Unexpected,
    /// The command line or the deploy file is wrong.
    Usage,
    /// Another deployment runs.
    Running,
    /// The deployment failed or was taken back; the release that was live before serves.
    TakenBack,
    /// The deployment ended, but hosts owe something.
    Degraded,
    /// The deployment was aborted; the release that was live before serves.
    Aborted,
    /// The bus can't be reached, or a program that is needed isn't running.
    Unreachable,
    /// A host said no: SSH, Docker, a port.
    Host,
    /// A hook that runs before didn't let the deployment begin.
    Hook,
    /// Of a command that was run in a container: its own.
    Command(u8),
    /// Ctrl-C while watching. The deployment goes on.
    Interrupted,
    /// SIGTERM while watching. The deployment goes on.
    Terminated,
}

impl Exit {
    /// The number. `Changes` shares 1 with `Unexpected`: `plan` never ends as unexpected (see `verbs::plan`).
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Changes | Self::Unexpected => 1,
            Self::Usage => 2,
            Self::Running => 3,
            Self::TakenBack => 4,
            Self::Degraded => 5,
            Self::Aborted => 6,
            Self::Unreachable => 7,
            Self::Host => 8,
            Self::Hook => 9,
            Self::Command(code) => code,
            // 128 and the number of the signal, as shells have it (POSIX.1-2017, 2.8.2).
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl From<Outcome> for Exit {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Live => Self::Ok,
            Outcome::TakenBack | Outcome::Failed => Self::TakenBack,
            Outcome::Aborted => Self::Aborted,
            Outcome::Degraded { .. } => Self::Degraded,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_in_the_documentation() {
        let page = include_str!("../../docs/exit-codes.md");
        for exit in [
            Exit::Ok,
            Exit::Changes,
            Exit::Unexpected,
            Exit::Usage,
            Exit::Running,
            Exit::TakenBack,
            Exit::Degraded,
            Exit::Aborted,
            Exit::Unreachable,
            Exit::Host,
            Exit::Hook,
            Exit::Interrupted,
            Exit::Terminated,
        ] {
            assert!(page.contains(&format!("\n| {} |", exit.code())), "{exit:?}");
        }
    }
}
