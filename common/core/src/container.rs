//! How the container of a replica is made: its user, its files, its networks, and what it may.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// The container of a replica. All capabilities are dropped but those that are asked for, and privileges can't be gained
/// unless that is asked for.
///
/// What was not there from the beginning isn't written while nothing is said, so that the release's id is the one that it
/// had before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// User, or user:group, instead of the image's own.
    pub user: Option<String>,
    /// Whether the root file system is read-only (with a tmpfs on /tmp).
    pub read_only: bool,
    /// File systems in memory: where, and the options of their mount (`size=64m`), which may be empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tmpfs: BTreeMap<String, String>,
    /// Capabilities, without `CAP_` (capabilities(7)).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cap_add: Vec<String>,
    /// Whether a process may gain privileges that the one that started it has not, as by a set-user-ID program.
    #[serde(default, skip_serializing_if = "is_false")]
    pub gains_privileges: bool,
    /// Files that outlive the container, no two at the same place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
    /// The folder in the image whose files browsers ask for by names that change with their content: there, both versions find
    /// those of both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assets: Option<String>,
    /// Labels, none of which begins with `cutover.`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Where its output goes.
    #[serde(default, skip_serializing_if = "Logging::is_usual")]
    pub logging: Logging,
    /// Networks that exist, beside the service's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// Names that it finds in `/etc/hosts`, with their addresses; `host-gateway` is the host's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_hosts: BTreeMap<String, String>,
    /// Name servers; none: Docker's own, which asks the host's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<IpAddr>,
    /// The signal that it is stopped with; none: the image's, or SIGTERM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Whether the application is process 1 itself, and has to reap what its children leave behind.
    #[serde(default, skip_serializing_if = "is_false")]
    pub without_init: bool,
    /// Settings of the kernel for its namespaces.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sysctls: BTreeMap<String, String>,
    /// The folder that it starts in; none: the image's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// The name that it has for itself; none: the beginning of its id. All replicas have the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Whether it is refused where it would run as root.
    #[serde(default, skip_serializing_if = "is_false")]
    pub non_root: bool,
}

/// Files of the host, or of a volume, in the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// The name of a volume, which is made where it isn't there, or an absolute path on the host.
    pub source: String,
    /// The absolute path in the container.
    pub target: String,
    /// Whether it can't be written to.
    #[serde(default, skip_serializing_if = "is_false")]
    pub read_only: bool,
}

/// Where the output of a container goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// Docker's driver; none: files on the host, at most three of 10 MB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The driver's options. Without a driver they are laid over those of the files.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

impl Container {
    /// Whether it may run as root, of an image with this user: only a number that isn't 0 is known to be another one. An empty one is
    /// root, in `:1000` as well; a name may be another one for uid 0, which is known by the image's files alone; and Docker reads `+0` as
    /// a number.
    pub fn may_be_root(&self, image_user: &str) -> bool {
        let user = self.user.as_deref().unwrap_or(image_user);
        let number = user.split(':').next().unwrap_or_default();
        !number.bytes().all(|b| b.is_ascii_digit()) || number.bytes().all(|b| b == b'0')
    }

    /// Whether a shipper that knows protocol 3 of the journal would leave something out.
    pub(crate) fn needs_protocol_4(&self) -> bool {
        let known = Self { user: self.user.clone(), read_only: self.read_only, ..Self::default() };
        *self != known
    }
}

impl Volume {
    /// Whether its source is a path on the host, and not the name of a volume.
    pub fn is_of_host(&self) -> bool {
        self.source.starts_with('/')
    }
}

impl Logging {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

const fn is_false(flag: &bool) -> bool {
    !*flag
}
