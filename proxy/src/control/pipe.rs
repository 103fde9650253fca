use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use crate::error::Error;

/// Connects standard input and output to the control socket of a running proxy, until the proxy has answered all
/// that came in before standard input ended. Blocks the calling thread.
///
/// # Errors
///
/// When the socket can't be reached or a stream breaks.
pub fn pipe(control: &Path) -> Result<(), Error> {
    let unreachable = |source| Error::ControlUnreachable { path: control.to_owned(), source };
    let mut incoming = UnixStream::connect(control).map_err(unreachable)?;
    let mut outgoing = incoming.try_clone().map_err(unreachable)?;
    // Not joined: when the proxy hangs up, standard input may never end.
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut outgoing);
        let _ = outgoing.shutdown(Shutdown::Write);
    });
    io::copy(&mut incoming, &mut io::stdout().lock()).map(drop).map_err(Error::Pipe)
}
