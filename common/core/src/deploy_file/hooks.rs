//! The section `hooks`: what the person who deploys has run before and after.

use super::check::command_at;
use super::error::Problems;
use super::section::Section;
use super::units::limit;
use crate::Span;

/// The section as it stands in the file. An empty command is none, also where the file has one for all destinations.
#[derive(Clone, Default)]
pub(super) struct Hooks {
    before_build: Option<Vec<String>>,
    before_deploy: Option<Vec<String>>,
    after_deploy: Option<Vec<String>>,
    on_failure: Option<Vec<String>>,
    timeout: Option<Span>,
}

/// Reads the section.
pub(super) fn hooks(mut section: Section<'_>, problems: &mut Problems) -> Hooks {
    let hooks = Hooks {
        before_build: command_at("before_build", &mut section, problems),
        before_deploy: command_at("before_deploy", &mut section, problems),
        after_deploy: command_at("after_deploy", &mut section, problems),
        on_failure: command_at("on_failure", &mut section, problems),
        timeout: section.value("timeout", limit, problems),
    };
    section.done(problems);
    hooks
}

impl Hooks {
    /// This, and the other where this one says nothing.
    pub(super) fn over(self, under: Self) -> Self {
        Self {
            before_build: self.before_build.or(under.before_build),
            before_deploy: self.before_deploy.or(under.before_deploy),
            after_deploy: self.after_deploy.or(under.after_deploy),
            on_failure: self.on_failure.or(under.on_failure),
            timeout: self.timeout.or(under.timeout),
        }
    }

    /// What it means.
    pub(super) fn resolved(self) -> crate::Hooks {
        let usual = crate::Hooks::default();
        crate::Hooks {
            before_build: self.before_build.unwrap_or(usual.before_build),
            before_deploy: self.before_deploy.unwrap_or(usual.before_deploy),
            after_deploy: self.after_deploy.unwrap_or(usual.after_deploy),
            on_failure: self.on_failure.unwrap_or(usual.on_failure),
            timeout: self.timeout.unwrap_or(usual.timeout),
        }
    }
}
