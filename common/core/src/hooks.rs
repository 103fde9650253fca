//! Commands of the person who deploys, around what is deployed.

use crate::Span;

/// What `cutover` runs on the machine and in the name of the person who deploys, in the folder of the deploy file. No release has
/// any of it, and no program of the control plane sees it. A command is its words; one without words is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hooks {
    /// Before what is built is read. If it fails, nothing was decided.
    pub before_build: Vec<String>,
    /// Before the deployment is decided. The same.
    pub before_deploy: Vec<String>,
    /// Once it is live.
    pub after_deploy: Vec<String>,
    /// Once it has ended in any other way.
    pub on_failure: Vec<String>,
    /// How long each may take.
    pub timeout: Span,
}

/// A hook by its key in the deploy file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// See [`Hooks::before_build`].
    BeforeBuild,
    /// See [`Hooks::before_deploy`].
    BeforeDeploy,
    /// See [`Hooks::after_deploy`].
    AfterDeploy,
    /// See [`Hooks::on_failure`].
    OnFailure,
}

impl Default for Hooks {
    /// None. A limit of 15 minutes lets one wait for what CI says of a commit.
    fn default() -> Self {
        Self {
            before_build: Vec::new(),
            before_deploy: Vec::new(),
            after_deploy: Vec::new(),
            on_failure: Vec::new(),
            timeout: Span::seconds(15 * 60),
        }
    }
}

impl Hooks {
    /// The words of one's command; none: there is no such hook.
    pub fn command(&self, hook: Hook) -> Option<&[String]> {
        let words = match hook {
            Hook::BeforeBuild => &self.before_build,
            Hook::BeforeDeploy => &self.before_deploy,
            Hook::AfterDeploy => &self.after_deploy,
            Hook::OnFailure => &self.on_failure,
        };
        (!words.is_empty()).then_some(words)
    }
}

impl Hook {
    /// Its key.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BeforeBuild => "before_build",
            Self::BeforeDeploy => "before_deploy",
            Self::AfterDeploy => "after_deploy",
            Self::OnFailure => "on_failure",
        }
    }
}
