//! How SSH connections are made.

use std::env::{self, VarError};
use std::path::PathBuf;
use std::time::Duration;

use crate::Error;

/// The identities that are offered where none is named, in this order, as far as the files exist.
const DEFAULT_IDENTITIES: [&str; 3] = ["id_ed25519", "id_rsa", "id_ecdsa"];

/// How SSH connections are made: keys, known hosts, limits.
#[derive(Debug, Clone)]
pub struct SshOptions {
    /// Private key files in the order in which they are offered, before the keys of the agent. None: those that `config`
    /// names, and ssh's usual ones.
    pub identities: Vec<PathBuf>,
    /// A file in the format of ssh_config(5) that says how hosts are reached: other addresses and ports, jump hosts, keys,
    /// certificates.
    pub config: Option<PathBuf>,
    /// The socket of an ssh-agent whose keys are offered too.
    pub agent: Option<PathBuf>,
    /// The file that the keys of hosts are verified against, in the format of sshd(8).
    pub known_hosts: PathBuf,
    /// Whether the key of a host that `known_hosts` doesn't name is recorded there and trusted, as
    /// `StrictHostKeyChecking accept-new` of ssh_config(5) does. A changed key is refused in any case.
    pub accept_new: bool,
    /// The limit on connecting and logging in, and on opening a stream on a connection.
    pub connect_timeout: Duration,
    /// A host that has been silent for this long is asked whether it is alive; four such intervals without a byte
    /// from it, and its connection is given up.
    pub keepalive: Duration,
}

impl SshOptions {
    /// Options with the given known hosts and no identity: 10 s to connect, a keepalive after 15 s.
    pub fn new(known_hosts: impl Into<PathBuf>) -> Self {
        Self {
            identities: Vec::new(),
            config: None,
            agent: None,
            known_hosts: known_hosts.into(),
            accept_new: false,
            connect_timeout: Duration::from_secs(10),
            keepalive: Duration::from_secs(15),
        }
    }

    /// The options of the person or service that runs this process.
    ///
    /// `CUTOVER_SSH_KEY` names the one identity to use (default: `id_ed25519`, `id_rsa`, `id_ecdsa` in `~/.ssh`, those
    /// that exist), `CUTOVER_KNOWN_HOSTS` the known hosts (default `~/.ssh/known_hosts`), `SSH_AUTH_SOCK` the agent,
    /// `CUTOVER_SSH_CONFIG` the file that says how hosts are reached (default `~/.ssh/config` where it exists; `none`: none).
    ///
    /// # Errors
    /// [`Error::Environment`] where a default is needed and `HOME` isn't set, or a variable isn't UTF-8.
    pub fn from_environment() -> Result<Self, Error> {
        let known_hosts = match variable("CUTOVER_KNOWN_HOSTS")? {
            Some(path) => PathBuf::from(path),
            None => ssh_folder()?.join("known_hosts"),
        };
        let config = match variable("CUTOVER_SSH_CONFIG")? {
            Some(none) if none == "none" => None,
            Some(path) => Some(PathBuf::from(path)),
            None => ssh_folder().ok().map(|folder| folder.join("config")).filter(|path| path.exists()),
        };
        let identities = match variable("CUTOVER_SSH_KEY")? {
            Some(path) => vec![PathBuf::from(path)],
            None if config.is_some() => Vec::new(),
            None => {
                let folder = ssh_folder()?;
                DEFAULT_IDENTITIES.iter().map(|name| folder.join(name)).filter(|path| path.exists()).collect()
            }
        };
        let agent = variable("SSH_AUTH_SOCK")?.map(PathBuf::from);
        Ok(Self { identities, config, agent, ..Self::new(known_hosts) })
    }
}

fn ssh_folder() -> Result<PathBuf, Error> {
    let home = variable("HOME")?.ok_or(Error::Environment {
        variable: "HOME",
        reason: "it isn't set; set it, or CUTOVER_SSH_KEY and CUTOVER_KNOWN_HOSTS".into(),
    })?;
    Ok(PathBuf::from(home).join(".ssh"))
}

/// The value of an environment variable; an empty one counts as unset.
pub(crate) fn variable(name: &'static str) -> Result<Option<String>, Error> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => {
            Err(Error::Environment { variable: name, reason: "it isn't UTF-8".into() })
        }
    }
}
