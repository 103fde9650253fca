//! The keys `image`, `builder` and `registry`: where the image comes from.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::error::{Problem, Problems};
use super::node::{Node, Value};
use super::section::{Section, scalar};
use super::target::{GitRepository, ImageSource};
use super::text::{
    filled, git_reference, git_url, image, inside, label, literal, mount_id, platform, repository, server,
};
use crate::{PrivateImage, Recipe, RegistryLogin, Repository};

/// Where the image comes from, of which one may be there, and the repository through which it gets to the hosts.
pub(super) fn source(file: &mut Section<'_>, problems: &mut Problems) -> (ImageSource, Option<Repository>) {
    let existing = file.value("image", image, problems);
    let place = file.node("builder").map(|node| node.place);
    let builder = file.section("builder", problems);
    let (registry, repository) =
        file.section("registry", problems).map(|section| registry(section, problems)).unwrap_or_default();
    let built = builder.map(|section| builder_section(section, problems));
    let source = match existing {
        Some(image) => {
            if let Some(place) = place {
                let message = "there is an image too, and only one of both can be meant";
                let both = Problem::new(&file.path_of("builder"), place, message);
                problems.add(
                    both.hint("leave out `image` to have it built, or `builder` to run one that exists"),
                );
            }
            match registry.filter(|registry| registry.has(&image)) {
                Some(registry) => ImageSource::Private(PrivateImage { image, registry }),
                None => ImageSource::Existing(image),
            }
        }
        None => with(
            registry,
            built.unwrap_or(ImageSource::Builder {
                context: ".".to_owned(),
                git: None,
                recipe: Box::default(),
            }),
        ),
    };
    (source, repository)
}

/// What is built, with the registry that its base is in.
fn with(registry: Option<RegistryLogin>, mut source: ImageSource) -> ImageSource {
    if let ImageSource::Builder { recipe, .. } = &mut source {
        recipe.registry = registry;
    }
    source
}

/// How a registry is entered, and the repository there that images take to the hosts, if one is named.
fn registry(
    mut section: Section<'_>,
    problems: &mut Problems,
) -> (Option<RegistryLogin>, Option<Repository>) {
    if let Some(node) = section.node("password") {
        problems.hide(node);
    }
    let server = section.value("server", server, problems).unwrap_or_else(|| "docker.io".to_owned());
    let username = section.required("username", literal, problems);
    let password = section.required("password", str::parse, problems);
    let repository = section.value("repository", repository, problems);
    section.done(problems);
    let login = username.zip(password);
    let login = login.map(|(username, password)| RegistryLogin { server, username, password });
    let through = login.clone().zip(repository);
    (login, through.map(|(registry, repository)| Repository { registry, repository }))
}

fn builder_section(mut section: Section<'_>, problems: &mut Problems) -> ImageSource {
    let usual = Recipe::default();
    let (path, place) = (section.path_of("context"), section.node("context").map(|node| node.place));
    let context = section.value("context", filled, problems).unwrap_or_else(|| ".".to_owned());
    let git = section.section("git", problems).map(|section| git(section, problems));
    if let Some(node) = section.node("remote") {
        problems.hide(node);
    }
    let recipe = Recipe {
        dockerfile: section.value("dockerfile", inside, problems).unwrap_or(usual.dockerfile),
        target: section.value("target", filled, problems),
        args: named(&mut section, "args", |_| Ok::<(), String>(()), literal, problems),
        labels: named(&mut section, "labels", label, literal, problems),
        secrets: hidden(&mut section, "secrets", problems),
        ssh: hidden(&mut section, "ssh", problems),
        platform: only_platform(&mut section, problems),
        cache_from: images(&mut section, "cache_from", problems),
        inline_cache: section.value("cache_to", inline, problems).unwrap_or_default(),
        no_cache: false,
        registry: None,
        remote: section.value("remote", str::parse, problems),
    };
    section.done(problems);
    if git.is_some() && inside(&context).is_err() {
        let outside =
            format!("'{context}' is not a folder of the repository: write a path inside it, without ..");
        problems.add(Problem::new(&path, place, outside));
    }
    ImageSource::Builder { context, git, recipe: Box::new(recipe) }
}

fn git(mut section: Section<'_>, problems: &mut Problems) -> GitRepository {
    for key in ["url", "key"] {
        if let Some(node) = section.node(key) {
            problems.hide(node);
        }
    }
    let url = section.value("url", git_url, problems).flatten();
    if let (Some(node), None) = (section.node("key"), &url) {
        let unused = Problem::new(&section.path_of("key"), node.place, "no repository is reached with it");
        problems.add(unused.hint("give its `url` too; the one that the deploy file is in needs no key"));
    }
    let git = GitRepository {
        url,
        reference: section.value("ref", git_reference, problems).unwrap_or_else(|| "HEAD".to_owned()),
        key: section.value("key", str::parse, problems),
    };
    section.done(problems);
    git
}

/// The mapping at `key`, whose names are the user's own.
fn named<T, E: Display, F: Display>(
    section: &mut Section<'_>,
    key: &'static str,
    name: impl Fn(&str) -> Result<(), F>,
    parse: impl Fn(&str) -> Result<T, E>,
    problems: &mut Problems,
) -> BTreeMap<String, T> {
    let Some(section) = section.section(key, problems) else { return BTreeMap::new() };
    let mut values = BTreeMap::new();
    for (entry, _) in section.texts(problems) {
        let path = section.path_of(&entry.key);
        if let Err(error) = name(&entry.key) {
            problems.add(Problem::new(&path, entry.place, error.to_string()));
        } else if let Some(value) = scalar(&path, &entry.node, &parse, problems) {
            values.insert(entry.key.clone(), value);
        }
    }
    values
}

/// The same, of references by the id of a mount. What stands there may be the secret itself, so it is never shown.
fn hidden<T: std::str::FromStr<Err: Display>>(
    section: &mut Section<'_>,
    key: &'static str,
    problems: &mut Problems,
) -> BTreeMap<String, T> {
    if let Some(node) = section.node(key) {
        problems.hide(node);
    }
    named(section, key, mount_id, str::parse, problems)
}

/// The platform, under its own name or in a list of one.
fn only_platform(section: &mut Section<'_>, problems: &mut Problems) -> Option<String> {
    let one = section.value("platform", platform, problems);
    let Some(node) = section.node("platforms") else { return one };
    let path = section.path_of("platforms");
    let items = section.list("platforms", problems)?;
    if items.len() > 1 || one.is_some() {
        let several = Problem::new(&path, node.place, "an image for several platforms can't be built here");
        problems.add(several.hint("the Docker Engine's BuildKit builds for one: `platform: linux/amd64`"));
        return None;
    }
    items.into_iter().find_map(|(path, item)| scalar(&path, item, platform, problems))
}

/// A list of images, or one.
fn images(section: &mut Section<'_>, key: &'static str, problems: &mut Problems) -> Vec<String> {
    match section.node(key) {
        Some(node @ Node { value: Value::Text(_), .. }) => {
            scalar(&section.path_of(key), node, image, problems).into_iter().collect()
        }
        Some(_) => section.scalars(key, image, problems).unwrap_or_default(),
        None => Vec::new(),
    }
}

/// Where the cache goes: into the image, as the Docker Engine's BuildKit exports it nowhere else.
fn inline(text: &str) -> Result<bool, String> {
    if text == "inline" {
        return Ok(true);
    }
    Err(format!("'{text}' is not inline: the Docker Engine's BuildKit keeps the cache in the image alone"))
}
