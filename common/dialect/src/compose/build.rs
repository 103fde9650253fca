//! `build`: how the image is made.

use cutover_core::tree::Value;

use super::container::{named, put};
use super::interpolation::is_of_environment;
use crate::native::open_argument;
use crate::reading::{Item, Reading};
use crate::tree::Tree;

/// Reads the section, or the folder of the context alone.
pub(super) fn build(item: &Item<'_>, tree: &mut Tree, reading: &mut Reading<'_>) {
    if !matches!(item.node.value, Value::Map(_)) {
        return put(item, &["builder", "context"], tree, reading);
    }
    let Some(mut keys) = reading.keys(item) else { return };
    for key in ["context", "dockerfile", "target"] {
        if let Some(item) = keys.take(key) {
            put(&item, &["builder", key], tree, reading);
        }
    }
    if let Some(item) = keys.take("args") {
        let all = match &item.node.value {
            Value::Map(_) => reading.keys(&item).map(|keys| keys.all()).unwrap_or_default(),
            _ => reading.items(&item).into_iter().map(|item| ("", item)).collect(),
        };
        let open: Vec<_> = all.into_iter().filter(|(_, item)| is_of_environment(item, reading)).collect();
        open.iter().for_each(|(_, item)| open_argument(item, reading));
        if open.is_empty() {
            named(&item, &["builder", "args"], tree, reading);
        }
    }
    if let Some(item) = keys.take("labels") {
        named(&item, &["builder", "labels"], tree, reading);
    }
    if let Some(item) = keys.take("platforms") {
        let all = reading.items(&item);
        if let [one] = all.as_slice() {
            put(one, &["builder", "platform"], tree, reading);
        } else {
            reading.wrong(
                &item,
                "an image for several platforms can't be built here",
                "name the one that the hosts have",
            );
        }
    }
    for key in ["cache_from", "cache_to"] {
        if let Some(item) = keys.take(key) {
            reading
                .left(&item, "layers are kept by the Docker Engine that builds, from one build to the next");
        }
    }
    if let Some(item) = keys.take("pull") {
        reading.left(&item, "a base image that is there is used; `docker pull` it first");
    }
    keys.done(reading, |key| match key {
        "secrets" => Some("they are references: `builder: {secrets: {id: env://NAME}}` of the native file"),
        "ssh" => Some("it is `builder: {ssh: {default: agent}}` of the native file"),
        _ => None,
    });
}
