//! Where a host is reached.

use std::fmt;

/// The address of a host's sshd and the user to log in as; shown as `user@address:port`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostAddress {
    /// A name or an IP address, without brackets.
    pub address: String,
    /// The port of sshd, usually 22.
    pub port: u16,
    /// The user to log in as.
    pub user: String,
    /// The fingerprint of the one key that it may show, `SHA256:…`; none: the known hosts say which.
    pub host_key: Option<String>,
}

impl HostAddress {
    /// The user `user` at `address`, port `port`.
    pub fn new(user: impl Into<String>, address: impl Into<String>, port: u16) -> Self {
        Self { address: address.into(), port, user: user.into(), host_key: None }
    }

    /// The same, where it may show one key alone.
    pub fn pinned(self, host_key: Option<String>) -> Self {
        Self { host_key, ..self }
    }
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, port, user, host_key: _ } = self;
        if address.contains(':') {
            write!(f, "{user}@[{address}]:{port}")
        } else {
            write!(f, "{user}@{address}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_both_kinds_of_ip_addresses_are_shown() {
        assert_eq!(HostAddress::new("root", "web-1.example", 22).to_string(), "root@web-1.example:22");
        assert_eq!(HostAddress::new("deploy", "198.18.0.7", 2222).to_string(), "deploy@198.18.0.7:2222");
        assert_eq!(HostAddress::new("root", "2001:db8::1", 22).to_string(), "root@[2001:db8::1]:22");
    }
}
