//! Who may speak to the proxy. The kernel lets nobody connect to a socket but who may write to its file; this looks
//! whether that file, its folder and who came through it are what they were meant to be.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use tokio::net::UnixStream;
use tokio::net::unix::UCred;

/// The owner and the group may call, nobody else.
pub(super) const MODE: u32 = 0o660;
const ROOT: u32 = 0;
const OTHERS_WRITE: u32 = 0o002;
const GROUP_WRITES: u32 = 0o020;
/// In such a folder nobody replaces what belongs to another user.
const STICKY: u32 = 0o1000;

/// Whose calls are answered at a socket: root's, those of the proxy's own user, and those of one group.
#[derive(Debug)]
pub(super) struct Guard {
    socket: PathBuf,
    group: Option<u32>,
}

/// What is looked at of a file.
#[derive(Clone, Copy, Debug)]
struct Standing {
    owner: u32,
    group: u32,
    mode: u32,
}

impl Guard {
    pub(super) fn new(socket: &Path, group: Option<u32>) -> Self {
        Self { socket: socket.to_owned(), group }
    }

    /// Fails where others could put a socket of their own in the place of this one.
    ///
    /// # Errors
    ///
    /// The folder can't be looked at, or belongs to somebody else, or others may write to it.
    pub(super) fn folder(&self) -> io::Result<()> {
        let folder = self.socket.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        match open_to_others(Standing::of(folder)?, geteuid().as_raw(), self.group) {
            None => Ok(()),
            Some(why) => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("the folder {} {why}: chown root and chmod 755 it", folder.display()),
            )),
        }
    }

    /// Whether a caller may be answered; else why not.
    pub(super) fn admit(&self, stream: &UnixStream) -> Result<(), String> {
        let peer = stream.peer_cred().map_err(|error| format!("the caller is not known: {error}"))?;
        let own = geteuid().as_raw();
        if is_one_of_us(&peer, own, self.group) {
            return Ok(());
        }
        // Who is in the group by way of his other groups can't be told from others by what a socket says of him: it is the
        // socket's file that has let him in.
        let refused = |why: String| format!("user {} may not call this proxy: {why}", peer.uid());
        match Standing::of(&self.socket) {
            Ok(standing) => altered(standing, own, self.group).map_or(Ok(()), |why| {
                Err(refused(format!("its socket {} {why}, so anybody may connect", self.socket.display())))
            }),
            Err(error) => {
                Err(refused(format!("its socket {} can't be looked at: {error}", self.socket.display())))
            }
        }
    }
}

/// Fails where others could put a socket of their own beside `control`, whose callers are of `group`.
///
/// # Errors
///
/// Those of [`Guard::folder`].
pub(crate) fn look_at_folder(control: &Path, group: Option<u32>) -> io::Result<()> {
    Guard::new(control, group).folder()
}

/// Whether who is at the other end runs as root or as this process: nobody else is handed anything.
pub(crate) fn is_own(stream: &UnixStream) -> io::Result<bool> {
    Ok(is_one_of_us(&stream.peer_cred()?, geteuid().as_raw(), None))
}

impl Standing {
    fn of(path: &Path) -> io::Result<Self> {
        let found = std::fs::metadata(path)?;
        Ok(Self { owner: found.uid(), group: found.gid(), mode: found.mode() & 0o7777 })
    }
}

fn is_one_of_us(peer: &UCred, own: u32, group: Option<u32>) -> bool {
    [ROOT, own].contains(&peer.uid()) || group == Some(peer.gid())
}

/// Why a folder is open to others; none: it isn't.
fn open_to_others(folder: Standing, own: u32, group: Option<u32>) -> Option<String> {
    let Standing { owner, group: its_group, mode } = folder;
    let strangers = its_group != ROOT && Some(its_group) != group;
    if ![ROOT, own].contains(&owner) {
        Some(format!("belongs to user {owner}"))
    } else if mode & STICKY == 0
        && (mode & OTHERS_WRITE != 0 || mode & GROUP_WRITES != 0 && strangers && owner != own)
    {
        Some(format!("has mode {mode:03o}, so others may put a socket of their own there"))
    } else {
        None
    }
}

/// How a socket is other than it was made; none: it isn't.
fn altered(socket: Standing, own: u32, wanted: Option<u32>) -> Option<String> {
    let Standing { owner, group, mode } = socket;
    if owner != own {
        Some(format!("belongs to user {owner}"))
    } else if mode & !MODE & 0o777 != 0 {
        Some(format!("has mode {mode:03o}"))
    } else {
        wanted.filter(|wanted| *wanted != group).map(|_| format!("belongs to group {group}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn standing(owner: u32, group: u32, mode: u32) -> Standing {
        Standing { owner, group, mode }
    }

    #[test]
    fn a_folder_in_which_others_could_put_a_socket_is_refused() {
        for good in [
            standing(0, 0, 0o755),
            standing(0, 0, 0o775),
            standing(0, 999, 0o775),
            standing(1000, 1000, 0o700),
            standing(0, 0, 0o1777),
        ] {
            assert_eq!(open_to_others(good, 1000, Some(999)), None, "{good:?}");
        }
        for bad in [
            standing(0, 0, 0o777),
            standing(0, 0, 0o757),
            standing(0, 50, 0o775),
            standing(1001, 1001, 0o755),
            standing(1001, 1001, 0o1777),
        ] {
            assert!(open_to_others(bad, 1000, Some(999)).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn a_socket_that_was_opened_to_others_lets_nobody_in() {
        for good in [standing(0, 999, 0o660), standing(0, 999, 0o600)] {
            assert_eq!(altered(good, 0, Some(999)), None, "{good:?}");
        }
        for bad in [standing(0, 999, 0o666), standing(0, 100, 0o660), standing(7, 999, 0o660)] {
            assert!(altered(bad, 0, Some(999)).is_some(), "{bad:?}");
        }
    }
}
