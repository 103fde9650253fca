//! A deployment as a tree: stages, hosts beneath, what they made, and why one failed.

mod ending;
mod facts;
mod model;
mod render;
mod screen;

pub(crate) use ending::ended;
pub(crate) use facts::{output, printable, progress};
pub(crate) use model::Tree;
pub(crate) use render::{Look, cut, render, render_whole};
pub(crate) use screen::Screen;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
