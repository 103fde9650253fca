//! `image`, `registry` and `builder`: what is built, and how. With Kamal an image goes to the hosts through a registry, with
//! Cutover straight from the builder; so the registry is there for what is pulled from it.

use cutover_core::tree::Value;

use super::env::by_name;
use crate::erb::Piece;
use crate::native::open_argument;
use crate::reading::{Item, Reading};
use crate::tree::Tree;

pub(crate) fn image(
    image: Option<Item<'_>>,
    registry: Option<Item<'_>>,
    built: Option<Item<'_>>,
    tree: &mut Tree,
    reading: &mut Reading<'_>,
) {
    if let Some(item) = &image {
        reading.text(item);
        reading.turned(
            item,
            "it is built, and goes to the hosts without a registry; `registry: {repository: …}` of the native file brings one between them",
        );
    }
    if let Some(item) = &registry {
        login(item, tree, reading);
    }
    match &built {
        Some(item) => builder(item, tree, reading),
        None => {
            if let Some(item) = &image {
                of_commit(item, tree, reading);
            }
        }
    }
}

/// Without a context, Kamal builds a clone of the repository.
fn of_commit(item: &Item<'_>, tree: &mut Tree, reading: &Reading<'_>) {
    if reading.around.commit.is_some() {
        tree.text(&["builder", "git", "url"], item.place, ".");
    }
}

fn login(item: &Item<'_>, tree: &mut Tree, reading: &mut Reading<'_>) {
    let Some(mut keys) = reading.keys(item) else { return };
    let (server, username, password) = (keys.take("server"), keys.take("username"), keys.take("password"));
    keys.done(reading, |_| None);
    if let Some(item) = &password {
        let is_secret = matches!(item.node.value, Value::List(_)) || reading.pieces_are_variable(item);
        if !is_secret {
            reading.problems.hide(item.node);
            reading.wrong(item, "the password itself stands here", "name a secret, `password: [KAMAL_REGISTRY_PASSWORD]`, and say in .kamal/secrets where its value is");
            return;
        }
    }
    let (Some(username), Some(password)) = (username, password) else {
        let all = [server].into_iter().flatten();
        all.for_each(|item| reading.idle(&item, "images go to the hosts without a registry"));
        return;
    };
    if matches!(username.node.value, Value::List(_)) {
        let why = "the name of the user is a secret, and here it stands in the clear; images go to the hosts without a registry, and only base images of this one can't be pulled";
        for item in [server, Some(username), Some(password)].into_iter().flatten() {
            reading.left(&item, why);
        }
        return;
    }
    if let Some(item) = &server {
        reading.carry(tree, item, &["registry", "server"]);
    }
    reading.carry(tree, &username, &["registry", "username"]);
    let to = ["registry", "password"];
    let reference = if matches!(password.node.value, Value::List(_)) {
        let items = reading.items(&password);
        let Some(first) = items.first() else { return };
        // What is said of it is said of the key, and an error shows the name.
        let named = Item { place: password.place, path: password.path.clone(), ..first.clone() };
        reading.text(first).and_then(|name| by_name(&name, &named, reading))
    } else {
        match reading.pieces(&password).as_deref() {
            Some([Piece::Variable(variable)]) => Some(format!("env://{}", variable.name)),
            _ => None,
        }
    };
    if let Some(reference) = reference {
        tree.text(&to, password.node.place, reference);
        reading.changed(&password, &to, "a reference");
    }
}

fn builder(item: &Item<'_>, tree: &mut Tree, reading: &mut Reading<'_>) {
    let Some(mut keys) = reading.keys(item) else { return };
    let context = keys.take("context");
    let context = match &context {
        Some(item) => reading.carry(tree, item, &["builder", "context"]).unwrap_or_default(),
        None => {
            of_commit(item, tree, reading);
            ".".to_owned()
        }
    };
    dockerfile(item, keys.take("dockerfile"), &context, tree, reading);
    for key in ["target", "remote"] {
        if let Some(item) = keys.take(key) {
            reading.carry(tree, &item, &["builder", key]);
        }
    }
    if let Some(item) = keys.take("arch") {
        arch(&item, tree, reading);
    }
    if let Some(item) = keys.take("args")
        && let Some(args) = reading.keys(&item)
    {
        for (name, item) in args.all() {
            if is_of_environment(&item, reading) {
                open_argument(&item, reading);
            } else {
                reading.carry(tree, &item, &["builder", "args", name]);
            }
        }
    }
    if let Some(item) = keys.take("secrets") {
        for item in reading.items(&item) {
            let Some(name) = reading.text(&item) else { continue };
            if let Some(reference) = by_name(&name, &item, reading) {
                let to = ["builder", "secrets", name.as_str()];
                tree.text(&to, item.node.place, reference);
                reading.carried(&item, &to);
            }
        }
    }
    if let Some(item) = keys.take("ssh") {
        agent(&item, tree, reading);
    }
    if let Some(item) = keys.take("local") {
        reading.idle(&item, "it builds where `remote` says, and without it where the builder is");
    }
    if let Some(item) = keys.take("cache") {
        reading.left(&item, "layers are kept by the Docker Engine that builds, from one build to the next");
    }
    if let Some(item) = keys.take("driver") {
        reading.left(&item, "the Docker Engine's own BuildKit builds");
    }
    if let Some(item) = keys.take("provenance") {
        reading.idle(&item, "each image that is built has one: `cutover provenance`");
    }
    if let Some(item) = keys.take("sbom") {
        reading.left(&item, "none is made; a scanner reads the image just as well");
    }
    if let Some(item) = keys.take("pack") {
        reading.wrong_key(
            &item,
            "buildpacks are not built here",
            "write a Dockerfile, or let CI build the image and run that: `image: …` of the native file",
        );
    }
    keys.done(reading, |key| {
        (key == "multiarch").then_some("this is a key of Kamal 1: it is `arch` in Kamal 2")
    });
}

/// Kamal looks for it in the project's folder, and Docker here in the context.
fn dockerfile(
    builder: &Item<'_>,
    item: Option<Item<'_>>,
    context: &str,
    tree: &mut Tree,
    reading: &mut Reading<'_>,
) {
    let path = match &item {
        Some(item) => {
            let Some(path) = reading.text(item) else { return };
            path
        }
        None => "Dockerfile".to_owned(),
    };
    let at = item.as_ref().unwrap_or(builder);
    let (folder, file) = (parts(context), parts(&path));
    let inside = match (&folder, &file) {
        (Some(folder), Some(file)) => file.strip_prefix(folder.as_slice()).map(|rest| rest.join("/")),
        _ => None,
    };
    let Some(inside) = inside.filter(|inside| !inside.is_empty()) else {
        reading.wrong_key(
            at,
            format!("{path} of the project's folder is not inside of the context, {context}, and here it has to be"),
            "put it there and name it from the project's folder, as Kamal does; or make the project's folder the context",
        );
        return;
    };
    let to = ["builder", "dockerfile"];
    let Some(item) = &item else { return };
    tree.text(&to, item.node.place, &*inside);
    if inside == path {
        reading.carried(item, &to);
    } else {
        reading.changed(item, &to, format!("it is looked for in the context, {context}"));
    }
}

/// The names that a path below the project's folder is made of; none where it leads out of it.
fn parts(path: &str) -> Option<Vec<&str>> {
    let all: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    (!path.starts_with('/') && !all.contains(&"..")).then_some(all)
}

/// Whether a value, or a part of it, is one that doesn't stand in the file.
fn is_of_environment(item: &Item<'_>, reading: &mut Reading<'_>) -> bool {
    let Value::Text(_) = item.node.value else { return false };
    reading.pieces(item).into_iter().flatten().any(|piece| match piece {
        Piece::Text(_) => false,
        Piece::Variable(variable) => {
            variable.default.is_none() || (reading.around.variable)(&variable.name).is_some()
        }
    })
}

/// The Docker Engine's BuildKit builds for one.
fn arch(item: &Item<'_>, tree: &mut Tree, reading: &mut Reading<'_>) {
    let all: Vec<String> = reading.items(item).iter().filter_map(|item| reading.text(item)).collect();
    match all.as_slice() {
        [] => {}
        [one] => {
            tree.text(&["builder", "platform"], item.node.place, format!("linux/{one}"));
            reading.carried(item, &["builder", "platform"]);
        }
        several => reading.wrong(
            item,
            format!("an image for several architectures can't be built here: {}", several.join(", ")),
            "name the one that the hosts have: `arch: amd64`",
        ),
    }
}

/// `default`, or `default=$SSH_AUTH_SOCK`: the agent.
fn agent(item: &Item<'_>, tree: &mut Tree, reading: &mut Reading<'_>) {
    let Some(text) = reading.text(item) else { return };
    let (id, from) = text.split_once('=').unwrap_or((&text, "$SSH_AUTH_SOCK"));
    if matches!(from, "$SSH_AUTH_SOCK" | "${SSH_AUTH_SOCK}") {
        let to = ["builder", "ssh", id];
        tree.text(&to, item.node.place, "agent");
        reading.carried(item, &to);
    } else {
        reading.wrong(item, "a key in a file is given by reference here", "use the agent: `ssh: default`; a key is `builder: {ssh: {default: file:///…}}` of the native file");
    }
}
