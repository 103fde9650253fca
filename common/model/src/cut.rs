//! Where chunks end.

/// The sizes that chunks have, in bytes, where their content says where they end.
///
/// What changes at one place costs the chunks that it touches, about one and a half of the usual size, and a manifest that
/// names each chunk in some 100 bytes. A chunk is an object of the store and a step of a transfer that can be gone on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// No chunk but the last of a file is smaller.
    pub min: usize,
    /// What most have about.
    pub usual: usize,
    /// None is larger.
    pub max: usize,
}

impl Cut {
    /// That of all models. Another one would make other chunks of the same files: nothing of a version before would be found
    /// again, and all of it would travel once.
    pub const MODELS: Self = Self { min: 256 << 10, usual: 1 << 20, max: crate::MAX_CHUNK as usize };
}
