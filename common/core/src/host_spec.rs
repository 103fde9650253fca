//! A host and how it is reached.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{HostKey, HostName};

/// The user of a host where none is named.
const USER: &str = "root";

/// The port of an SSH server where none is named.
const PORT: u16 = 22;

/// A host and how it is reached. As a text, it is a URL: `ssh://user@host:port`, whose user and port may be left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HostSpec {
    /// The address: an IP address or a DNS name.
    pub name: HostName,
    /// The port of its SSH server.
    pub port: u16,
    /// The user that logs in.
    pub user: String,
    /// The one key that it may show; none: the known hosts of whoever connects say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<HostKey>,
}

/// A text that is no URL of a host. It isn't repeated, as there may be a password in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the URL of a host: write it as in ssh://deploy@build.example.com or ssh://root@203.0.113.7:2222, without a password"
)]
pub struct InvalidHostUrl;

impl FromStr for HostSpec {
    type Err = InvalidHostUrl;

    fn from_str(text: &str) -> Result<Self, InvalidHostUrl> {
        let rest = text.strip_prefix("ssh://").ok_or(InvalidHostUrl)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, place) = rest.split_once('@').unwrap_or((USER, rest));
        let (name, port) = split_port(place).ok_or(InvalidHostUrl)?;
        let port = port.map_or(Ok(PORT), str::parse).map_err(|_| InvalidHostUrl)?;
        let name = name.parse().map_err(|_| InvalidHostUrl)?;
        if is_user(user) && port > 0 {
            Ok(Self { name, port, user: user.to_owned(), host_key: None })
        } else {
            Err(InvalidHostUrl)
        }
    }
}

/// Splits `host:port`; an IPv6 address stands in brackets (RFC 3986, 3.2.2).
fn split_port(place: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = place.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        address.contains(':').then_some(())?;
        return if rest.is_empty() {
            Some((address, None))
        } else {
            Some((address, Some(rest.strip_prefix(':')?)))
        };
    }
    match place.split_once(':') {
        Some((name, port)) => (!port.contains(':')).then_some((name, Some(port))),
        None => Some((place, None)),
    }
}

/// The characters of the portable file name set, and no hyphen first (POSIX.1-2017, 3.437).
pub(crate) fn is_user(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
}

impl fmt::Display for HostSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, port, user, host_key: _ } = self;
        if name.as_str().contains(':') {
            write!(f, "ssh://{user}@[{name}]:{port}")
        } else {
            write!(f, "ssh://{user}@{name}:{port}")
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_host_and_may_leave_out_its_user_and_port() {
        for (text, whole) in [
            ("ssh://docker@build.example.com", "ssh://docker@build.example.com:22"),
            ("ssh://203.0.113.7:2222/", "ssh://root@203.0.113.7:2222"),
            ("ssh://builder", "ssh://root@builder:22"),
            ("ssh://root@[2001:db8::1]", "ssh://root@[2001:db8::1]:22"),
            ("ssh://root@[2001:db8::1]:2222", "ssh://root@[2001:db8::1]:2222"),
        ] {
            let host: HostSpec = text.parse().unwrap();
            assert_eq!(host.to_string(), whole);
            assert_eq!(whole.parse(), Ok(host));
        }
    }

    #[test]
    fn what_says_more_or_less_than_that_is_none() {
        for text in [
            "",
            "build.example.com",
            "root@build.example.com",
            "tcp://build.example.com:2375",
            "ssh://",
            "ssh://@build.example.com",
            "ssh://-oProxyCommand@build.example.com",
            "ssh://root:hunter2@build.example.com",
            "ssh://build.example.com:0",
            "ssh://build.example.com:65536",
            "ssh://build.example.com:ssh",
            "ssh://build.example.com/var/run/docker.sock",
            "ssh://2001:db8::1",
            "ssh://[build.example.com]",
            "ssh://[2001:db8::1]2222",
        ] {
            assert_eq!(text.parse::<HostSpec>(), Err(InvalidHostUrl), "{text}");
        }
    }
}
