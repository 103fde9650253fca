//! Models are put together on the host: what is there of a version is looked for, in what an interrupted attempt has left
//! and in other versions, and the rest comes over a socket.
//!
//! Below the folder of all models, a model's folder has for each version `<sum of its manifest>`, with the files, and
//! beside it the manifest, `<sum>.json`. What isn't whole yet is `<sum>.part`. A version gets its name when every file has
//! its sum and is on the disk, and never changes after that: so whatever has the name is whole.

mod assembly;
mod connection;
mod error;
mod flusher;
mod look;
mod older;
mod part;
mod place;
mod prune;
#[cfg(test)]
mod tests;

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use cutover_model::{Answer, Call, Refusal};
use tokio::net::UnixListener;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::AssembleOptions;
use connection::Connection;
pub use error::NotAssembled;
use error::Trouble;

/// How long it waits for the one who has started it, and for each next piece from them: a helper that is left behind ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is understood of the shipper.
const PROTOCOL: u32 = 1;

/// Accepts one connection, and does what is asked there until it ends.
///
/// # Errors
/// A socket that can't be had, nobody who connects, and a connection that breaks or falls silent.
pub async fn assemble(options: AssembleOptions) -> Result<(), NotAssembled> {
    let listener =
        listen(&options).map_err(|source| NotAssembled::Socket { path: options.socket.clone(), source })?;
    let accepted = timeout(PATIENCE, listener.accept()).await;
    // Who comes later is meant for another helper.
    let _ = fs::remove_file(&options.socket);
    let (stream, _) = accepted.map_err(|_| NotAssembled::Alone)?.map_err(NotAssembled::Connection)?;
    let stream = stream.into_std().map_err(NotAssembled::Connection)?;
    let served = spawn_blocking(move || {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        serve(&mut Connection::new(stream)?, &options.folder)
    });
    served.await.map_err(io::Error::from).flatten().map_err(NotAssembled::Connection)
}

fn listen(options: &AssembleOptions) -> io::Result<UnixListener> {
    match fs::remove_file(&options.socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&options.socket)?;
    if let Some(like) = options.group_of.as_ref().and_then(|file| fs::metadata(file).ok()) {
        chown(&options.socket, None, Some(like.gid()))?;
    }
    fs::set_permissions(&options.socket, Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Does one call after the other. After a refusal the connection ends: nobody knows what is still on its way.
fn serve(connection: &mut Connection, root: &Path) -> io::Result<()> {
    connection.answer(&Answer::Ready { protocol: PROTOCOL })?;
    while let Some(line) = connection.line()? {
        let done = match Call::parse(&line) {
            Ok(Call::Assemble(call)) => assembly::assemble(root, &call, connection),
            Ok(Call::Prune(call)) => prune::prune(root, &call),
            Err(error) => Err(Trouble::Refused(Refusal::Invalid { reason: error.to_string() })),
        };
        match done {
            Ok(answer) => connection.answer(&answer)?,
            Err(Trouble::Lost(error)) => return Err(error),
            Err(Trouble::Refused(refusal)) => return connection.answer(&Answer::Refused(refusal)),
        }
    }
    Ok(())
}
