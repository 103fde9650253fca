//! Why a bridge is of no use.

use std::io;

/// A failure of a bridge.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream ended: nothing goes over the bridge any more.
    #[error("the bridge is closed")]
    Closed,
    /// Nothing accepts connections at the address or the socket.
    #[error("nothing listens there: {0}")]
    NotListening(String),
    /// The far end could not do it for another reason.
    #[error("the bridge can't do it: {0}")]
    Refused(String),
    /// The stream broke.
    #[error("the bridge broke")]
    Broken(#[from] io::Error),
    /// The far end says something that is no answer.
    #[error("the far end of the bridge doesn't speak its language")]
    Foreign(#[source] Option<serde_json::Error>),
}
