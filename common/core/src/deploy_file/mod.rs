//! The deploy file: one service and its destinations, as people write them. Text in, targets out.
//!
//! It is read in three steps, each of which finds all that it can: the YAML into a tree that knows where everything
//! stands ([`node`]), the tree into values ([`check`]), the values of each destination laid over those of the file, with
//! the defaults, into a [`Target`]. Whatever was wrong on the way is told at once, in the order of the file.

mod accessories;
mod builder;
mod canary;
mod check;
mod container;
pub(crate) mod error;
mod health;
mod hooks;
mod interpolation;
mod judges;
mod migrations;
mod models;
mod nearest;
pub(crate) mod node;
mod option;
mod pacing;
mod policy;
mod ports;
mod probe;
mod rails;
mod raw;
mod rehearsal;
mod resources;
mod roles;
mod routing;
pub(crate) mod section;
mod sidecars;
mod snippet;
mod target;
mod text;
mod tls;
pub(crate) mod units;
mod verdict;

pub use error::{DeployFileError, FileError, Place, Problem, Problems, read_file};
pub use models::{ModelSource, WantedModel};
pub use nearest::nearest;
pub use node::{Entry, Form, Node, Value, parse};
pub use section::{Section, scalar};
pub use target::{GitRepository, ImageSource, MigrationSource, Target};

/// What a deploy file is.
const FORM: node::Form = node::Form {
    shortest: "the shortest file that works has `service: <name>` and `destinations: {production: {hosts: [<address>]}}`",
    single: "a deploy file is one: one service and its destinations",
};

/// A deploy file that holds together: every destination in it can be deployed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployFile {
    file: String,
    targets: Vec<Target>,
}

impl DeployFile {
    /// Reads the text of a deploy file. `file` is its name in front of people.
    ///
    /// # Errors
    /// All that is wrong with it, each with its place.
    pub fn parse(text: &str, file: &str) -> Result<Self, DeployFileError> {
        let mut problems = Problems::default();
        let root = node::parse(text, FORM, &mut problems);
        Self::of_trees(root.as_slice(), file, &mut problems).ok_or_else(|| problems.into_error(text, file))
    }

    /// The same of what was read already, perhaps from a file in another dialect: trees with destinations of their own, each as a
    /// deploy file has it. None where something is wrong; `problems`, which may hold some already, say what.
    pub fn of_trees(trees: &[Node], file: &str, problems: &mut Problems) -> Option<Self> {
        let raws: Vec<_> = trees.iter().filter_map(|root| check::file(root, problems)).collect();
        // What is wrong in a part would look as if it were missing in the whole.
        let whole = if problems.is_empty() { raws } else { Vec::new() };
        let targets = whole.iter().flat_map(|raw| target::all(raw, problems)).collect();
        problems.is_empty().then(|| Self { file: file.to_owned(), targets })
    }

    /// What is deployed, and where, by the name of the destination. Without a name: the only one there is.
    ///
    /// # Errors
    /// There is none of that name, or several where none was named.
    pub fn destination(&self, name: Option<&str>) -> Result<Target, DeployFileError> {
        let names = || self.targets.iter().map(|target| target.key.destination.as_str());
        let found = match (name, self.targets.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => {
                let known = names().collect::<Vec<_>>().join(", ");
                return Err(DeployFileError::NoDestination { file: self.file.clone(), known });
            }
            (Some(name), targets) => targets.iter().find(|target| target.key.destination.as_str() == name),
        };
        found.cloned().ok_or_else(|| {
            let name = name.unwrap_or_default();
            let known = nearest::sorted(name, names()).join(", ");
            DeployFileError::UnknownDestination { file: self.file.clone(), name: name.to_owned(), known }
        })
    }

    /// Every destination, in the order of the file.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }
}
