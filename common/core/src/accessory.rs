//! Accessories: what a service needs beside it and no deployment touches, such as its database. Who operates it boots them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::{AccessoryName, Container, Digest, HostName, Reference, RegistryLogin, Resources, Span};

/// An accessory. Replicas on its host reach it by its name, on the network of their service.
///
/// It is part of no release: what it is now stands in the deploy file, and what runs says on its labels what that was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Accessory {
    /// Its name; that of no role and no sidecar.
    pub name: AccessoryName,
    /// The hosts that it runs on, in the order of the file; at least one.
    pub hosts: Vec<HostName>,
    /// Its image, which the host's Docker pulls where it hasn't got it.
    pub image: String,
    /// How the image's registry is entered; none: without a password.
    pub registry: Option<RegistryLogin>,
    /// Where it is reached from outside of the network of the service.
    pub publish: Vec<PublishedPort>,
    /// The command instead of the image's own; empty: the image's own.
    pub command: Vec<String>,
    /// Environment in the clear.
    pub env: BTreeMap<String, String>,
    /// Environment by reference.
    pub secrets: BTreeMap<String, Reference>,
    /// Files of the project that are put into the container when it is made.
    pub files: Vec<PlacedFile>,
    /// Limits of the container.
    pub resources: Resources,
    /// How the container is made.
    pub container: Container,
    /// Between the stop signal and the kill.
    pub stop: Span,
}

/// A port of an accessory at an address of its host. Docker lets it through the host's own firewall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PublishedPort {
    /// Where the host listens for it.
    pub at: SocketAddr,
    /// The port in the container.
    pub port: u16,
    /// Whether it is of UDP, and not of TCP.
    pub udp: bool,
}

/// A file of the project in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlacedFile {
    /// Its path, relative to the deploy file and inside its folder.
    pub source: String,
    /// The absolute path in the container.
    pub target: String,
}

impl Accessory {
    /// What makes its container another: all that is said of it but where it runs and how long it may take to stop, and the
    /// content of its files, in their order. The values of secrets are not in it.
    pub fn specification(&self, files: &[Digest]) -> Digest {
        let made = (
            (&self.image, &self.publish, &self.command, &self.env, &self.secrets),
            (
                &self.resources,
                &self.container,
                self.files.iter().map(|file| &file.target).collect::<Vec<_>>(),
            ),
            files,
        );
        // Serialising into memory can't fail.
        Digest::of(&serde_json::to_vec(&made).unwrap_or_default())
    }

    /// Every reference that it needs a value of, with the key that it stands at.
    pub fn references(&self) -> Vec<(String, &Reference)> {
        let key = |name: &str| format!("accessories.{}.{name}", self.name);
        let secrets = self.secrets.iter();
        let secrets = secrets.map(|(name, reference)| (key(&format!("env.secret.{name}")), reference));
        let login = self.registry.iter().map(|login| (key("registry.password"), &login.password));
        secrets.chain(login).collect()
    }
}

impl PublishedPort {
    /// Whether anybody who reaches the host may reach it: its address is neither the host's own loopback nor of a private network.
    pub fn is_everybodys(&self) -> bool {
        match self.at.ip() {
            IpAddr::V4(ip) => !(ip.is_loopback() || ip.is_private() || ip.is_link_local()),
            IpAddr::V6(ip) => !(ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()),
        }
    }
}

impl fmt::Display for PublishedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = if self.udp { "/udp" } else { "" };
        write!(f, "{}:{}{protocol}", self.at, self.port)
    }
}
