//! Which events of a source are something to deploy for.

use cutover_core::tree::{Problem, Problems, Section};
use cutover_core::{Occasion, Pattern, Ref};

use crate::Kind;
use crate::event::Event;
use crate::source::texts;

/// Patterns of what is something to deploy for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of branches' names.
    pub branches: Vec<Pattern>,
    /// Of tags' names, those of images too.
    pub tags: Vec<Pattern>,
    /// Of files, one of which has to be different; none: whatever is different.
    pub paths: Vec<Pattern>,
    /// Of repositories of a registry.
    pub images: Vec<Pattern>,
    /// Of objects, as `bucket/key`.
    pub objects: Vec<Pattern>,
}

impl Filter {
    /// The filter of a source, by the keys that mean something for its kind; without one, by all.
    pub(crate) fn of(kind: Option<Kind>, section: &mut Section<'_>, problems: &mut Problems) -> Self {
        let known = kind.map_or(&["branches", "tags", "paths", "images", "objects"][..], Kind::filters);
        let mut patterns = |key: &'static str| {
            if known.contains(&key) {
                texts(section, key, str::parse::<Pattern>, problems)
            } else {
                Vec::new()
            }
        };
        let filter = Self {
            branches: patterns("branches"),
            tags: patterns("tags"),
            paths: patterns("paths"),
            images: patterns("images"),
            objects: patterns("objects"),
        };
        let needed: Vec<_> = known
            .iter()
            .filter(|key| !matches!(**key, "paths") && (kind != Some(Kind::Registry) || **key == "images"))
            .collect();
        if needed.iter().all(|key| section.lacks(key)) {
            let names: Vec<_> = needed.iter().map(|key| format!("`{key}`")).collect();
            let missing =
                Problem::new(&section.path, section.place, "nothing of it is something to deploy for");
            problems.add(missing.hint(format!("say what is, as in {}: [main]", names.join(" or "))));
        }
        filter
    }

    /// Whether an event is something to deploy for; if not, why.
    pub(crate) fn check(&self, event: &Event) -> Result<(), String> {
        match &event.occasion {
            Occasion::Commit { of: Ref::Branch(name), .. } if !Pattern::any(&self.branches, name) => {
                Err(format!("branch {name} is none that is deployed"))
            }
            Occasion::Commit { of: Ref::Branch(_), .. } => self.check_paths(event.paths.as_deref()),
            // What a tag is at was chosen, whatever is different in it.
            Occasion::Commit { of: Ref::Tag(name), .. } if !Pattern::any(&self.tags, name) => {
                Err(format!("tag {name} is none that is deployed"))
            }
            Occasion::Commit { .. } => Ok(()),
            Occasion::Image { repository, .. } if !Pattern::any(&self.images, repository) => {
                Err(format!("image {repository} is none that is deployed"))
            }
            // An image of several platforms is pushed part by part: only the whole gets a tag.
            Occasion::Image { tag: None, .. } => Err("the image has no tag".to_owned()),
            Occasion::Image { tag: Some(tag), .. }
                if !self.tags.is_empty() && !Pattern::any(&self.tags, tag) =>
            {
                Err(format!("an image's tag {tag} is none that is deployed"))
            }
            Occasion::Image { .. } => Ok(()),
            Occasion::Object { bucket, key, .. }
                if !Pattern::any(&self.objects, &format!("{bucket}/{key}")) =>
            {
                Err(format!("object {bucket}/{key} is none that is deployed"))
            }
            Occasion::Object { .. } => Ok(()),
        }
    }

    /// Where it isn't known what is different, everything may be.
    fn check_paths(&self, paths: Option<&[String]>) -> Result<(), String> {
        match paths {
            Some(paths)
                if !self.paths.is_empty() && !paths.iter().any(|path| Pattern::any(&self.paths, path)) =>
            {
                Err("no file is different that it is deployed for".to_owned())
            }
            _ => Ok(()),
        }
    }
}
