use thiserror::Error;

/// What is wrong with a line of the control protocol.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not JSON of the expected shape.
    #[error("reading a {what} of the control protocol: the line is not one")]
    Malformed {
        /// What was expected: `call` or `reply`.
        what: &'static str,
        /// What the parser met, and at which column.
        #[source]
        source: serde_json::Error,
    },
    /// A value could not be written as JSON.
    #[error("writing a {what} of the control protocol")]
    Unwritable {
        /// What was to be written: `call` or `reply`.
        what: &'static str,
        /// Why it could not.
        #[source]
        source: serde_json::Error,
    },
    /// A line exceeds [`MAX_LINE`](crate::MAX_LINE).
    #[error("a line of the control protocol has more than {} bytes", crate::MAX_LINE)]
    TooLong,
    /// The text does not name a service at a destination.
    #[error("{text:?} is not a service key: write it as DESTINATION/SERVICE, for example production/app")]
    Key {
        /// The text that was met.
        text: String,
    },
}
