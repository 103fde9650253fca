//! What is no manifest, and no line between shipper and helper.

/// A manifest or a line that can't be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no JSON of this kind.
    #[error("it can't be read")]
    Json(#[from] serde_json::Error),
    /// It is of a version that came later.
    #[error("its format is {0}, which is newer than this program")]
    Format(u32),
    /// It has no files.
    #[error("it has no files")]
    Empty,
    /// A path that leads out of the model's folder, or nowhere.
    #[error(
        "'{0}' is no path of a file within a folder: names with slashes between, none of them empty, '.' or '..'"
    )]
    Path(String),
    /// The files are not in the order of their paths, or two have the same.
    #[error("'{0}' comes twice, or not in its place: files are ordered by their paths")]
    Order(String),
    /// A path is that of a file and of a folder.
    #[error("'{0}' is a file, and a folder with files too")]
    FileAndFolder(String),
    /// The chunks are not the file.
    #[error("the chunks of '{0}' are not as long as the file together, or one is empty or too long")]
    Chunks(String),
    /// A manifest that is longer than any that is read.
    #[error("it has {0} bytes, more than a manifest may have")]
    Long(usize),
}
