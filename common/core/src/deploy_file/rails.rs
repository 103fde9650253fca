//! The key `migrations.rails`: a Rails application's own migrations. `true`, or a section.

use super::check::command;
use super::error::{Place, Problems};
use super::node::{Node, Value};
use super::section::{Section, scalar};
use super::text::inside;
use super::units::flag;

/// What stands at the key.
#[derive(Clone, Default)]
pub(super) struct Rails {
    pub(super) place: Option<Place>,
    pub(super) is_on: Option<bool>,
    pub(super) root: Option<String>,
    pub(super) command: Vec<String>,
}

/// Reads what stands at the key.
pub(super) fn rails(path: String, node: &Node, problems: &mut Problems) -> Rails {
    if !matches!(node.value, Value::Map(_)) {
        let is_on = scalar(&path, node, flag, problems);
        return Rails { place: Some(node.place), is_on, ..Rails::default() };
    }
    let Some(mut section) = Section::of(path, node, problems) else { return Rails::default() };
    let rails = Rails {
        place: section.place,
        is_on: Some(true),
        root: section.value("root", inside, problems),
        command: command(&mut section, problems),
    };
    section.done(problems);
    rails
}

impl Rails {
    /// This, and the other where this one says nothing.
    pub(super) fn over(self, under: Self) -> Self {
        Self {
            place: self.place.or(under.place),
            is_on: self.is_on.or(under.is_on),
            root: self.root.or(under.root),
            command: if self.command.is_empty() { under.command } else { self.command },
        }
    }

    /// Where the application is in the build context, and how its Rails is run; none where it isn't asked for.
    pub(super) fn resolved(&self) -> Option<(String, crate::Rails)> {
        let usual = crate::Rails::default();
        let command = if self.command.is_empty() { usual.command } else { self.command.clone() };
        let root = self.root.clone().unwrap_or_else(|| ".".to_owned());
        self.is_on.unwrap_or_default().then_some((root, crate::Rails { command }))
    }
}
