//! What a deploy file may ask for, and had better not.

use std::fmt;

use crate::{Container, Settings, SidecarName};

/// Where Docker's socket is, under its two names: whoever may write to it is root on the host.
const SOCKETS: [&str; 2] = ["/var/run/docker.sock", "/run/docker.sock"];

/// Something that is done as it was asked for, and that weakens the host or the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The file says that the container runs as root.
    Root(String),
    /// Privileges can be gained.
    GainsPrivileges,
    /// A capability that is as good as all of them, or all.
    Capability(String),
    /// Docker's socket is in the container.
    DockerSocket(String),
    /// A path on the host leads out of where it begins.
    Climbs(String),
    /// The same of a sidecar.
    Sidecar(SidecarName, Box<Self>),
}

impl Settings {
    /// All that is to be said of these settings.
    pub fn warnings(&self) -> Vec<Warning> {
        let of_sidecars = self.sidecars.iter().flat_map(|sidecar| {
            let warnings = sidecar.container.warnings().into_iter();
            warnings.map(|warning| Warning::Sidecar(sidecar.name.clone(), Box::new(warning)))
        });
        self.container.warnings().into_iter().chain(of_sidecars).collect()
    }
}

impl Container {
    fn warnings(&self) -> Vec<Warning> {
        let Self { user, cap_add, gains_privileges, volumes, .. } = self;
        let root = user.iter().filter(|user| is_root(user)).cloned().map(Warning::Root);
        let privileges = gains_privileges.then_some(Warning::GainsPrivileges);
        let strong = |capability: &&String| matches!(capability.as_str(), "ALL" | "SYS_ADMIN" | "SYS_MODULE");
        let capabilities = cap_add.iter().filter(strong).cloned().map(Warning::Capability);
        let sources = volumes.iter().filter(|volume| volume.is_of_host()).filter_map(|volume| {
            let source = volume.source.clone();
            if source.split('/').any(|part| part == "..") {
                Some(Warning::Climbs(source))
            } else {
                let holds = |socket: &str| {
                    let folder = source.trim_end_matches('/');
                    socket.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                };
                SOCKETS.into_iter().any(holds).then_some(Warning::DockerSocket(source))
            }
        });
        root.chain(privileges).chain(capabilities).chain(sources).collect()
    }
}

/// Whether `user`, or `user:group`, is the superuser.
fn is_root(user: &str) -> bool {
    let name = user.split(':').next().unwrap_or_default();
    name == "root" || (!name.is_empty() && name.bytes().all(|b| b == b'0'))
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(user) => write!(
                f,
                "container.user is {user}: who breaks out of the application is root in its container, and in every \
                 volume; give it a user of its own"
            ),
            Self::GainsPrivileges => f.write_str(
                "container.no_new_privileges is false: set-user-ID programs in the image work, also for who breaks in",
            ),
            Self::Capability(capability) => {
                write!(f, "container.cap_add has {capability}: that is nearly all that root on the host may")
            }
            Self::DockerSocket(source) => write!(
                f,
                "container.volumes has {source}, which leads to Docker's socket: who can write to it is root on the host, \
                 also where it is mounted read-only"
            ),
            Self::Climbs(source) => {
                write!(f, "container.volumes has {source}: with .. in it, a path is not what it seems")
            }
            Self::Sidecar(name, warning) => write!(f, "sidecars.{name}.{warning}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_superuser_is_known_by_name_and_number() {
        for user in ["root", "0", "00", "root:app", "0:1000"] {
            assert!(is_root(user), "{user}");
        }
        for user in ["1000:0", "app", "rooted", "10", ""] {
            assert!(!is_root(user), "{user}");
        }
    }
}
