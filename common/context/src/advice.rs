//! What had better be otherwise in a Dockerfile. Nothing of it stops a build.

use std::fmt;

/// Something in a Dockerfile that is built as it stands, and that its owner may regret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// The line of the Dockerfile, from 1.
    pub line: usize,
    /// What it is.
    pub concern: Concern,
}

/// What may be regretted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Concern {
    /// The image runs as root; none: as its base says, which is usually that.
    Root(Option<String>),
    /// A base image that is another one tomorrow.
    MovingBase(String),
    /// A model file in a layer.
    Model(String),
    /// A secret in the image's history or environment, by the name of the variable.
    SecretValue(String),
    /// A file that holds secrets, in a layer.
    SecretFile(String),
    /// There is no `HEALTHCHECK`.
    NoHealthcheck,
    /// The stop signal reaches a shell, and not the application.
    ShellForm,
    /// The program needs another signal than SIGTERM to end what it has begun.
    StopSignal {
        /// The program.
        program: String,
        /// The signal.
        signal: &'static str,
    },
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(Some(user)) => {
                write!(f, "the image runs as {user}: give it a user of its own at the end, as in USER 1000")
            }
            Self::Root(None) => {
                f.write_str("the image has no USER, so it runs as root unless its base says otherwise: end it with one, as in USER 1000")
            }
            Self::MovingBase(image) => {
                write!(f, "{image} is another image tomorrow: name a version, or a digest")
            }
            Self::Model(file) => {
                write!(f, "{file} looks like a model: in a layer, it travels and is kept with the image")
            }
            Self::SecretValue(name) => write!(
                f,
                "{name} looks like a secret, and whoever has the image can read it: use `builder.secrets` and RUN --mount=type=secret, or `env.secret` for what the application needs"
            ),
            Self::SecretFile(file) => write!(
                f,
                "{file} looks like a secret, and whoever has the image can read it: leave it out by .dockerignore, and use `builder.secrets` or `env.secret`"
            ),
            Self::NoHealthcheck => f.write_str(
                "there is no HEALTHCHECK: Cutover asks `readiness_probe` instead, but nothing else that runs the image knows when it works",
            ),
            Self::ShellForm => f.write_str(
                "the command is run by a shell, which gets the stop signal and doesn't pass it on: write it as a list, or begin it with exec",
            ),
            Self::StopSignal { program, signal } => {
                write!(f, "{program} ends in the midst of its requests when it gets SIGTERM: add STOPSIGNAL {signal}")
            }
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.concern)
    }
}
