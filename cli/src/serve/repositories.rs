//! The file that says where the code of services comes from.

use std::collections::BTreeMap;
use std::path::Path;

use cutover_core::tree::{FileError, Form, Problem, Problems, Section, parse, read_file};
use cutover_core::{DestinationName, Occasion, Pattern, Ref, ServiceKey, ServiceName};

use crate::deploy_file::USUAL;
use crate::error::Error;

const FORM: Form = Form {
    shortest: "the shortest file that works has one service: `repositories: {shop: {url: \"git@github.com:example/shop.git\", destinations: [production], branches: [main]}}`",
    single: "a file of repositories is one: services, each with its repository",
};

/// Where the code of each service comes from.
#[derive(Debug)]
pub(crate) struct Repositories(BTreeMap<ServiceName, Source>);

/// Where the code of a service comes from.
#[derive(Debug)]
pub(crate) struct Source {
    /// The repository, in any form that Git understands.
    pub(crate) url: String,
    /// The deploy file in it.
    pub(crate) file: String,
    /// Whether submodules are fetched, from wherever a commit says; none: it isn't said, and a commit that has some isn't deployed.
    pub(crate) submodules: Option<bool>,
    destinations: Vec<DestinationName>,
    branches: Vec<Pattern>,
    tags: Vec<Pattern>,
}

impl Repositories {
    /// Reads a file.
    ///
    /// # Errors
    /// A file that can't be read; all that is wrong with it, each with its place.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
        Ok(Self::parse(&text, &path.display().to_string())?)
    }

    fn parse(text: &str, file: &str) -> Result<Self, FileError> {
        read_file(text, file, Self::of)
    }

    fn of(text: &str, problems: &mut Problems) -> Option<Self> {
        let root = parse(text, FORM, problems)?;
        let mut top = Section::of(String::new(), &root, problems)?;
        let services = top.section("repositories", problems);
        top.done(problems);
        let Some(services) = services.filter(|services| !services.entries.is_empty()) else {
            problems.add(Problem::new("repositories", None, "there is none").hint(FORM.shortest));
            return None;
        };
        let read = |section: Section<'_>, _, problems: &mut Problems| Source::of(section, problems);
        let all = services.by_name::<ServiceName, Option<Source>>(read, problems);
        Some(Self(all.into_iter().filter_map(|(name, source)| Some((name, source?))).collect()))
    }

    /// Where the code of a service comes from, for a destination and what has changed.
    ///
    /// # Errors
    /// Why it isn't deployed for that.
    pub(crate) fn source(&self, key: &ServiceKey, occasion: &Occasion) -> Result<&Source, String> {
        let source = self.0.get(&key.service).filter(|source| source.destinations.contains(&key.destination));
        let source = source.ok_or_else(|| {
            format!("the file of repositories has no service {} for {}", key.service, key.destination)
        })?;
        match occasion {
            Occasion::Commit { of: Ref::Branch(name), .. } => source.check_branch(name)?,
            Occasion::Commit { of: Ref::Tag(name), .. } if !Pattern::any(&source.tags, name) => {
                return Err(format!("by the file of repositories tag {name} is not deployed"));
            }
            _ => {}
        }
        Ok(source)
    }
}

impl Source {
    fn of(mut section: Section<'_>, problems: &mut Problems) -> Option<Self> {
        if let Some(node) = section.node("url") {
            problems.hide(node);
        }
        let url = section.required("url", without_password, problems);
        let file = section.value("file", inside, problems).unwrap_or_else(|| USUAL.to_owned());
        if section.lacks("destinations") {
            problems.add(Problem::new(&section.path_of("destinations"), section.place, "missing"));
        }
        let destinations = section.scalars("destinations", str::parse, problems).unwrap_or_default();
        let mut patterns = |key| section.scalars(key, str::parse, problems).unwrap_or_default();
        let (branches, tags) = (patterns("branches"), patterns("tags"));
        let submodules = section.value("submodules", str::parse::<bool>, problems);
        section.done(problems);
        Some(Self { url: url?, file, submodules, destinations, branches, tags })
    }

    /// Whether a branch is deployed.
    ///
    /// # Errors
    /// That it isn't.
    pub(crate) fn check_branch(&self, name: &str) -> Result<(), String> {
        let why = || format!("by the file of repositories branch {name} is not deployed");
        Pattern::any(&self.branches, name).then_some(()).ok_or_else(why)
    }
}

/// A URL without a password: it stands in arguments of processes and in errors. It isn't repeated.
fn without_password(text: &str) -> Result<String, &'static str> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("ssh", ""));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    // Of a URL that isn't ssh, what stands for the user may be a token.
    if user.contains(':') || (scheme != "ssh" && !user.is_empty()) {
        return Err(
            "there is a password or a token in it, for others to read: write it without, and give the password to a credential helper of Git (gitcredentials(7))",
        );
    }
    Ok(text.to_owned())
}

/// A path that doesn't lead out of where it begins.
fn inside(text: &str) -> Result<String, String> {
    if leads_out(text) { Err(format!("'{text}' leads out of the repository")) } else { Ok(text.to_owned()) }
}

/// Whether a path leads, or may lead, out of where it begins. Links are not looked at.
pub(crate) fn leads_out(path: &str) -> bool {
    use std::path::Component::{CurDir, Normal};
    !Path::new(path).components().all(|part| matches!(part, Normal(_) | CurDir))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn request(service: &str, destination: &str) -> ServiceKey {
        ServiceKey { destination: destination.parse().unwrap(), service: service.parse().unwrap() }
    }

    fn commit(of: Ref) -> Occasion {
        Occasion::Commit {
            id: "0a".repeat(20).parse().unwrap(),
            of,
            repository: Some("https://evil.example".to_owned()),
        }
    }

    #[test]
    fn what_is_deployed_and_from_where_is_the_operators_to_say() {
        let text = "repositories: {shop: {url: /srv/shop.git, destinations: [production], branches: [main], tags: ['v*']}}";
        let all = Repositories::parse(text, "x").unwrap();
        let main = commit(Ref::Branch("main".to_owned()));
        let source = all.source(&request("shop", "production"), &main).unwrap();
        assert_eq!((source.url.as_str(), source.file.as_str()), ("/srv/shop.git", "cutover.yaml"));
        assert!(all.source(&request("shop", "production"), &commit(Ref::Tag("v1".to_owned()))).is_ok());
        for (key, occasion) in [
            (request("shop", "staging"), main.clone()),
            (request("blog", "production"), main),
            (request("shop", "production"), commit(Ref::Branch("drafts".to_owned()))),
            (request("shop", "production"), commit(Ref::Tag("main".to_owned()))),
        ] {
            assert!(all.source(&key, &occasion).is_err(), "{key} {occasion}");
        }
    }

    #[test]
    fn a_user_of_ssh_is_no_password() {
        for url in ["git@example.com:a/b.git", "ssh://git@example.com:22/a@b", "https://example.com/a:b@c"] {
            assert_eq!(without_password(url), Ok(url.to_owned()));
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, told) in [
            ("", "repositories"),
            ("repositories: {}", "there is none"),
            (
                "repositories:\n  shop: {url: a, destinations: [production], file: ../x}\n",
                "x:2:52: repositories.shop.file",
            ),
            ("repositories:\n  shop: {destinations: [production]}\n", "repositories.shop.url: missing"),
            ("repositories:\n  shop: {url: a, branch: [main]}\n", "did you mean 'branches'?"),
            (
                "repositories:\n  shop: {url: 'https://a:hunter2@example.com/shop', destinations: [production]}\n",
                "x:2:15: repositories.shop.url: there is a password",
            ),
            (
                "repositories:\n  shop: {url: 'https://hunter2@example.com', destinations: [production]}\n",
                "x:2:15: repositories.shop.url: there is a password",
            ),
            (
                "repositories:\n  shop: {url: 'ssh://git:hunter2@example.com/a', destinations: [production]}\n",
                "x:2:15: repositories.shop.url: there is a password",
            ),
        ] {
            let error = Repositories::parse(text, "x").unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
