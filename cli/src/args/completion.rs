//! What is said of the command line itself.

use std::path::PathBuf;

use clap::ValueEnum;

/// Options of `completion`.
#[derive(clap::Args, Clone, Copy, Debug)]
pub(crate) struct Completion {
    /// The shell: `source <(cutover completion bash)`, at its start
    #[arg(value_name = "SHELL")]
    pub(crate) shell: Shell,
}

/// A shell that can complete command lines.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
        }
    }
}

/// Options of `man`.
#[derive(clap::Args, Debug)]
pub(crate) struct Man {
    /// Where to, as in /usr/local/share/man/man1
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
}
