//! Deploy files in other dialects: Kamal 2's `config/deploy.yml`, and the shape of `kamal.yml`. Texts in; the native file that
//! says the same out, as a tree that knows where everything was read, with what became of each key. That tree is what a deployment
//! reads, and what `cutover import` writes down: both are one translation. No I/O: what is looked at is asked for by functions.

mod app;
mod combine;
mod compose;
mod erb;
mod kamal;
mod native;
mod print;
mod reading;
mod report;
mod ruby;
mod secrets;
mod shell;
mod tree;
mod variable;

use std::collections::BTreeMap;

use cutover_core::tree::{Node, Problems, Value, parse};
use cutover_core::{DeployFile, DeployFileError};

pub use compose::Wanted;
use reading::Reading;
pub use reading::Surroundings;
pub use report::{Fate, Line};

/// The destination of a file that names none.
const ONLY: &str = "production";

/// How a deploy file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// As `cutover.yaml`.
    Native,
    /// As Kamal 2's `config/deploy.yml`.
    Kamal,
    /// In the shape of `kamal.yml`: `app`, and a section for each destination.
    App,
    /// As a Compose file, which names no hosts.
    Compose,
}

/// The text of a file, and its name in front of people.
#[derive(Clone, Debug)]
pub struct File {
    /// Its name.
    pub name: String,
    /// What stands in it.
    pub text: String,
}

/// A file that was read, and what it comes to.
pub struct Translation<'a> {
    file: String,
    reading: Reading<'a>,
    /// The native file of each destination.
    all: Vec<(String, Node)>,
}

impl Dialect {
    /// The dialect of a text, by its keys at the top. What is none for sure is taken for a native file.
    pub fn of(text: &str) -> Self {
        let (mut variables, mut problems) = (Vec::new(), Problems::default());
        let masked = erb::mask(text, &mut variables, &mut problems);
        let Some(root) = parse(&masked, kamal::FORM, &mut problems) else {
            // Of what can't be read as a whole, the lines still say.
            let has = |key: &str| text.lines().any(|line| line.starts_with(key));
            return match [has("destinations:"), has("servers:"), has("app:"), has("services:")] {
                [false, true, ..] => Self::Kamal,
                [false, false, true, _] => Self::App,
                [false, false, false, true] => Self::Compose,
                _ => Self::Native,
            };
        };
        let Value::Map(entries) = &root.value else { return Self::Native };
        let has = |key: &str| entries.iter().any(|entry| entry.key == key);
        if app::is_one(&root) {
            Self::App
        } else if compose::is_one(&root) {
            Self::Compose
        } else if has("servers") && !has("destinations") {
            Self::Kamal
        } else {
            Self::Native
        }
    }
}

/// Reads a file of Kamal, and `overlays`, those of its destinations by their names (`deploy.staging.yml`).
///
/// # Errors
/// All that is wrong, each with its file and place.
pub fn kamal<'a>(
    file: &File,
    overlays: &[(String, File)],
    around: &'a Surroundings<'a>,
) -> Result<Translation<'a>, DeployFileError> {
    let mut reading = Reading::new(around);
    let base = reading.file(&file.name, &file.text, kamal::FORM);
    let mut roots = Vec::new();
    for (name, overlay) in overlays {
        // A file of a destination may be empty: it is only said that there is one.
        let is_empty =
            overlay.text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        let over = if is_empty { None } else { reading.file(&overlay.name, &overlay.text, kamal::FORM) };
        roots.push((name.clone(), over));
    }
    let mut all = Vec::new();
    if let (Some(base), true) = (&base, reading.problems.is_empty()) {
        for (name, over) in &roots {
            let root = over.as_ref().map_or_else(|| base.clone(), |over| tree::laid_over(base, over));
            // Names have fewer letters than Kamal's.
            let fitting = name.to_ascii_lowercase().replace('_', "-");
            let here = kamal::Here { kamal: Some(name), name: &fitting };
            all.extend(kamal::native(&root, here, &mut reading).map(|node| (fitting.clone(), node)));
        }
        let whole = reading::Item { path: String::new(), place: base.place, node: base };
        let is_taken = roots.iter().any(|(name, _)| name == ONLY);
        if roots.is_empty() || (!is_taken && is_whole(base)) {
            let here = kamal::Here { kamal: None, name: ONLY };
            all.extend(kamal::native(base, here, &mut reading).map(|node| (ONLY.to_owned(), node)));
        }
        for over in roots.iter().filter_map(|(_, over)| over.as_ref()) {
            reading.overridden(&whole, over, "a destination's own takes its place");
        }
    }
    Translation { file: file.name.clone(), reading, all }.checked()
}

/// Whether a file of Kamal's says enough to be deployed without a destination.
fn is_whole(base: &Node) -> bool {
    let Value::Map(entries) = &base.value else { return false };
    let requires = |key: &str| {
        entries.iter().any(|entry| {
            entry.key == key
                && matches!(&entry.node.value, Value::Text(text) if reading::truth(text) == Some(true))
        })
    };
    entries.iter().any(|entry| entry.key == "servers") && !requires("require_destination")
}

/// Reads a file in the shape of `kamal.yml`.
///
/// # Errors
/// All that is wrong, each with its place.
pub fn app<'a>(file: &File, around: &'a Surroundings<'a>) -> Result<Translation<'a>, DeployFileError> {
    let mut reading = Reading::new(around);
    let root = reading.file(&file.name, &file.text, app::FORM);
    let all = match &root {
        Some(root) if reading.problems.is_empty() => app::native(root, &mut reading),
        _ => Vec::new(),
    };
    Translation { file: file.name.clone(), reading, all }.checked()
}

/// Reads a Compose file.
///
/// # Errors
/// All that is wrong, each with its place.
pub fn compose<'a>(
    file: &File,
    wanted: &Wanted,
    around: &'a Surroundings<'a>,
) -> Result<Translation<'a>, DeployFileError> {
    let mut reading = Reading::new(around);
    let root = reading.file(&file.name, &file.text, compose::FORM);
    let mut all = Vec::new();
    if let (Some(root), true) = (&root, reading.problems.is_empty()) {
        all.extend(compose::native(root, wanted, &mut reading).map(|node| (ONLY.to_owned(), node)));
    }
    Translation { file: file.name.clone(), reading, all }.checked()
}

impl Translation<'_> {
    fn checked(mut self) -> Result<Self, DeployFileError> {
        self.fail()?;
        Ok(self)
    }

    fn fail(&mut self) -> Result<(), DeployFileError> {
        if self.reading.problems.is_empty() {
            return Ok(());
        }
        Err(DeployFileError::Invalid { file: self.file.clone(), problems: self.reading.problems() })
    }

    /// The deploy file that it comes to.
    ///
    /// # Errors
    /// What can't be, by the rules of every deploy file.
    pub fn deploy_file(&mut self) -> Result<DeployFile, DeployFileError> {
        let trees: Vec<Node> = self.all.iter().map(|(_, node)| node.clone()).collect();
        let file = DeployFile::of_trees(&trees, &self.file, &mut self.reading.problems);
        self.fail()?;
        file.ok_or_else(|| DeployFileError::Invalid { file: self.file.clone(), problems: Vec::new() })
    }

    /// The text of the native file, of one destination alone where it is named.
    ///
    /// # Errors
    /// What can't be, by the rules of every deploy file; no such destination; destinations that differ in what is the same for all
    /// of one file.
    pub fn native(&mut self, destination: Option<&str>) -> Result<String, DeployFileError> {
        let file = self.deploy_file()?;
        if destination.is_some() {
            file.destination(destination)?;
            self.all.retain(|(name, _)| destination == Some(name));
        }
        let combined = combine::combined(&self.all, &mut self.reading);
        self.fail()?;
        let comments: BTreeMap<String, String> = self.report().into_iter().filter_map(comment).collect();
        let own = [
            (
                "container.no_new_privileges",
                "with cap_add, what Docker gives every container; without both it may less",
            ),
            ("container.init", "as Docker starts it; without this line a process 1 reaps"),
            ("proxy.tls.acme", "a certificate is ordered"),
        ];
        let own = own.into_iter().map(|(key, comment)| (key.to_owned(), comment.to_owned()));
        let comments = comments.into_iter().chain(own).collect();
        let root = combined.map(|root| print::printed(&root, &comments)).unwrap_or_default();
        Ok(format!(
            "# What {} says, as Cutover's own deploy file. docs/kamal.md says what is different.\n{root}",
            self.file
        ))
    }

    /// What became of each key, in the order of the files.
    pub fn report(&self) -> Vec<Line> {
        self.reading.report()
    }
}

/// The comment that a key gets of what was changed; that a reference is one is seen.
fn comment(line: Line) -> Option<(String, String)> {
    let Fate::Changed { how } = line.fate else { return None };
    let how: String = how.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    (!how.starts_with("a reference")).then_some((line.to?, how))
}
