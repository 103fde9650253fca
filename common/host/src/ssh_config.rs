//! What ssh_config(5) says of a host. The rules are ssh's own, so ssh is asked (`ssh -G`): what it would do, is done.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::{Error, HostAddress, SshOptions};

/// The port of sshd where none is given.
const USUAL_PORT: u16 = 22;

/// How a host is reached and logged in to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SshConfig {
    /// Where its sshd listens, seen from the last hop.
    pub(crate) address: HostAddress,
    /// The way there.
    pub(crate) route: Route,
    /// Private key files, in the order in which they are offered. Of some there may be only the public key, `<file>.pub` or the
    /// file itself: then the agent has the private one.
    pub(crate) identities: Vec<PathBuf>,
    /// Whether files that aren't there are passed over: nobody has named them, or ssh would pass them over.
    pub(crate) optional: bool,
    /// Files with certificates of such keys, beside those that lie next to them.
    pub(crate) certificates: Vec<PathBuf>,
    /// The socket of an ssh-agent.
    pub(crate) agent: Option<PathBuf>,
    /// Whether the agent's keys are offered only where one of the identities is theirs.
    pub(crate) identities_only: bool,
}

/// The way to a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// A TCP connection.
    Direct,
    /// Through these hosts, the nearest first (`ProxyJump`).
    Jump(Vec<Hop>),
    /// The standard input and output of this command line (`ProxyCommand`).
    Command(String),
}

/// A host on the way, as `ProxyJump` names it: `[user@]host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hop {
    pub(crate) user: Option<String>,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
}

impl SshConfig {
    /// What the options' file says of a host that the deploy file names. The user is the deploy file's; so is the port,
    /// unless it is the usual one.
    pub(crate) async fn of(address: &HostAddress, options: &SshOptions) -> Result<Self, Error> {
        let port = Some(address.port).filter(|port| *port != USUAL_PORT);
        let hop = Hop { user: Some(address.user.clone()), host: address.address.clone(), port };
        let mut config = Self::of_hop(&hop, options).await?;
        config.address.host_key.clone_from(&address.host_key);
        Ok(config)
    }

    /// What it says of a host on the way. A user that nothing names is the one who runs this.
    pub(crate) async fn of_hop(hop: &Hop, options: &SshOptions) -> Result<Self, Error> {
        let Some(file) = &options.config else { return Ok(Self::without_file(hop, options)) };
        let mut ssh = Command::new("ssh");
        ssh.arg("-G").arg("-F").arg(file);
        if let Some(user) = &hop.user {
            ssh.args(["-l", user]);
        }
        if let Some(port) = hop.port {
            ssh.args(["-p", &port.to_string()]);
        }
        ssh.arg("--").arg(&hop.host).stdin(Stdio::null()).kill_on_drop(true);
        let refused =
            |reason: String| Error::SshConfig { path: file.clone(), host: hop.host.clone(), reason };
        let output = ssh.output().await.map_err(|error| {
            refused(format!("ssh could not be asked ({error}); install it, or set CUTOVER_SSH_CONFIG=none"))
        })?;
        if !output.status.success() {
            return Err(refused(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        Self::parse(&String::from_utf8_lossy(&output.stdout), hop, options).map_err(refused)
    }

    fn without_file(hop: &Hop, options: &SshOptions) -> Self {
        let user = hop.user.clone().unwrap_or_else(|| "root".to_owned());
        Self {
            address: HostAddress::new(user, &hop.host, hop.port.unwrap_or(USUAL_PORT)),
            route: Route::Direct,
            identities: options.identities.clone(),
            optional: false,
            certificates: Vec::new(),
            agent: options.agent.clone(),
            identities_only: false,
        }
    }

    /// Reads what `ssh -G` prints: a keyword in lower case and its value on each line.
    fn parse(text: &str, hop: &Hop, options: &SshOptions) -> Result<Self, String> {
        let mut config = Self { certificates: Vec::new(), ..Self::without_file(hop, options) };
        let mut identities = Vec::new();
        for (keyword, value) in text.lines().filter_map(|line| line.split_once(' ')) {
            match keyword {
                "user" => config.address.user = value.to_owned(),
                "hostname" => config.address.address = value.to_owned(),
                "port" => config.address.port = value.parse().map_err(|_| format!("'{value}' is no port"))?,
                "identityfile" if value != "none" => identities.push(expand(value, &config.address)),
                "certificatefile" if value != "none" => {
                    config.certificates.push(expand(value, &config.address));
                }
                "identityagent" => {
                    config.agent = match value {
                        "none" => None,
                        "SSH_AUTH_SOCK" => options.agent.clone(),
                        path => Some(expand(path, &config.address)),
                    }
                }
                "identitiesonly" => config.identities_only = value == "yes",
                "proxyjump" if value != "none" => {
                    config.route = Route::Jump(value.split(',').map(Hop::parse).collect::<Result<_, _>>()?);
                }
                "proxycommand" if value != "none" => config.route = Route::Command(value.to_owned()),
                _ => {}
            }
        }
        if options.identities.is_empty() {
            config.identities = identities;
            config.optional = true;
        }
        if let Route::Command(line) = &mut config.route {
            *line = tokens(line, &hop.host, &config.address);
        }
        Ok(config)
    }
}

impl Hop {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let text = text.strip_prefix("ssh://").unwrap_or(text);
        let (user, place) = match text.rsplit_once('@') {
            Some((user, place)) => (Some(user.to_owned()), place),
            None => (None, text),
        };
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => match place.split_once(':') {
                // An address of IPv6 without brackets has more than one.
                Some((host, port)) if !port.contains(':') => (host, Some(port)),
                _ => (place, None),
            },
        };
        let port = port.map(|port| port.parse().map_err(|_| format!("'{port}' is no port"))).transpose()?;
        Ok(Self { user, host: host.to_owned(), port })
    }
}

/// A path with `~`, and with the tokens that ssh leaves to be expanded when it connects.
fn expand(path: &str, address: &HostAddress) -> PathBuf {
    let path = tokens(path, &address.address, address);
    match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(path),
    }
}

/// The tokens of ssh_config(5) that name the host and the user: `%h`, `%n`, `%p`, `%r`, `%%`.
fn tokens(text: &str, named: &str, address: &HostAddress) -> String {
    let mut expanded = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            expanded.push(character);
            continue;
        }
        match characters.next() {
            Some('h') => expanded.push_str(&address.address),
            Some('n') => expanded.push_str(named),
            Some('p') => expanded.push_str(&address.port.to_string()),
            Some('r') => expanded.push_str(&address.user),
            Some('%') => expanded.push('%'),
            Some(other) => expanded.extend(['%', other]),
            None => expanded.push('%'),
        }
    }
    expanded
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_read() {
        let hop = |user: Option<&str>, host: &str, port| Hop {
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
        };
        let table = [
            ("bastion", hop(None, "bastion", None)),
            ("ops@bastion:2200", hop(Some("ops"), "bastion", Some(2200))),
            ("ssh://ops@bastion:2200", hop(Some("ops"), "bastion", Some(2200))),
            ("[2001:db8::1]:22", hop(None, "2001:db8::1", Some(22))),
            ("2001:db8::1", hop(None, "2001:db8::1", None)),
        ];
        for (text, expected) in table {
            assert_eq!(Hop::parse(text), Ok(expected), "{text}");
        }
        assert!(Hop::parse("bastion:ssh").is_err());
    }

    #[test]
    fn tokens_are_expanded() {
        let address = HostAddress::new("root", "198.18.0.2", 2222);
        assert_eq!(
            tokens("nc %h %p # %r %n %% %d %", "app", &address),
            "nc 198.18.0.2 2222 # root app % %d %"
        );
    }
}
