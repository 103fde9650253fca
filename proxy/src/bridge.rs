//! The far end of a bridge: what stands in on a host for an sshd that forwards nothing.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use tokio::net::unix::pipe::{Receiver, Sender};

/// Why a bridge ended that should have stood.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// Standard input or output is no pipe.
    #[error("standard input and output must be pipes")]
    NoPipe(#[source] io::Error),
    /// What came over it.
    #[error(transparent)]
    Bridge(#[from] cutover_bridge::Error),
}

/// Carries connections over standard input and output, until the input ends. Must be called in a tokio runtime.
///
/// # Errors
/// Input or output that is no pipe, breaks, or carries something else.
pub async fn bridge() -> Result<(), BridgeError> {
    let file = |stream: &dyn AsFd| Ok(File::from(stream.as_fd().try_clone_to_owned()?));
    let input = file(&io::stdin()).and_then(Receiver::from_file).map_err(BridgeError::NoPipe)?;
    let output = file(&io::stdout()).and_then(Sender::from_file).map_err(BridgeError::NoPipe)?;
    Ok(cutover_bridge::serve(tokio::io::join(input, output)).await?)
}
