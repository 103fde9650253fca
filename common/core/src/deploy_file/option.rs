//! Options of a container, as Docker's users write them.

use std::net::{IpAddr, SocketAddr};

use super::text::{InvalidText, inside};
use crate::{HostName, PlacedFile, PublishedPort, Volume};

/// The capabilities that Linux has (capabilities(7)), without `CAP_`.
const CAPABILITIES: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// The signals that have a name of their own on Linux (signal(7)), without `SIG`.
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// An option that can't be used where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidOption {
    #[error("'{0}' is not a capability of Linux: write it as in NET_BIND_SERVICE")]
    Capability(String),
    #[error(
        "'{0}' is not a volume: write where it is and where it goes, as in data:/var/lib/data or /srv/data:/data:ro"
    )]
    Volume(String),
    #[error(
        "'{0}' is neither the name of a volume nor an absolute path: on the hosts there is no folder that it could be \
         relative to"
    )]
    Source(String),
    #[error(
        "'{0}' is not a path in the container: it begins with /, is not / itself, and has no .. and no colon"
    )]
    Path(String),
    #[error("'{0}' is not a label: write a name without spaces, as in com.example.team")]
    Label(String),
    #[error("'{0}' is a label of Cutover's own: choose a name that doesn't begin with cutover.")]
    OwnLabel(String),
    #[error(
        "'{0}' is not a network beside the service's own: write the name of one that exists on the hosts"
    )]
    Network(String),
    #[error("'{0}' is not an address: write an IP address, or host-gateway for the host's own")]
    Address(String),
    #[error("'{0}' is not the IP address of a name server")]
    NameServer(String),
    #[error("'{0}' is not a host name: write one of a-z, 0-9, - and ., of at most 64 characters")]
    HostName(String),
    #[error("'{0}' is not a signal: write it as in SIGTERM or SIGQUIT")]
    Signal(String),
    #[error(
        "'{0}' is not a published port: write an address of the host, the port there and the container's, as in \
         127.0.0.1:5432:5432, with /udp behind it where it isn't TCP"
    )]
    Publish(String),
    #[error(
        "'{0}' doesn't say at which address of the host: 127.0.0.1:{0} is reached from the host alone, and 0.0.0.0:{0} by \
         everybody, past the host's firewall"
    )]
    Everybody(String),
    #[error("'{0}' is not a file and its place: write them as in config/my.cnf:/etc/mysql/my.cnf")]
    PlacedFile(String),
    #[error(transparent)]
    Text(#[from] InvalidText),
    #[error("'{0}' is not a setting of the kernel: write it as in net.core.somaxconn")]
    Sysctl(String),
}

/// A capability, with or without `CAP_`, in capitals or not; or `ALL`.
pub(super) fn capability(text: &str) -> Result<String, InvalidOption> {
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("CAP_").unwrap_or(&name);
    if name == "ALL" || CAPABILITIES.contains(&name) {
        Ok(name.to_owned())
    } else {
        Err(InvalidOption::Capability(text.to_owned()))
    }
}

/// A volume or a path of the host, and its place: `source:target`, and `:ro` or `:rw` behind it.
pub(super) fn volume(text: &str) -> Result<Volume, InvalidOption> {
    let invalid = || InvalidOption::Volume(text.to_owned());
    let mut parts = text.split(':');
    let (source, target) = parts.next().zip(parts.next()).ok_or_else(invalid)?;
    let read_only = match parts.next() {
        None | Some("rw") => false,
        Some("ro") => true,
        Some(_) => return Err(invalid()),
    };
    if parts.next().is_some() {
        return Err(invalid());
    }
    if !(source.starts_with('/') || is_name(source)) {
        return Err(InvalidOption::Source(source.to_owned()));
    }
    let target = container_path(target)?;
    Ok(Volume { source: source.to_owned(), target, read_only })
}

/// A port at an address of the host: `address:port:container port`, and `/udp` behind it.
pub(super) fn published_port(text: &str) -> Result<PublishedPort, InvalidOption> {
    let invalid = || InvalidOption::Publish(text.to_owned());
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let udp = match protocol {
        "tcp" => false,
        "udp" => true,
        _ => return Err(invalid()),
    };
    let number = |text: &str| text.parse().ok().filter(|port: &u16| *port != 0);
    let (host, port) = ports.rsplit_once(':').unwrap_or((ports, ports));
    let port = number(port).ok_or_else(invalid)?;
    if number(host).is_some() {
        return Err(InvalidOption::Everybody(text.to_owned()));
    }
    let at = host.parse().ok().filter(|at: &SocketAddr| at.port() != 0).ok_or_else(invalid)?;
    Ok(PublishedPort { at, port, udp })
}

/// A file of the project and its place in the container: `source:target`.
pub(super) fn placed_file(text: &str) -> Result<PlacedFile, InvalidOption> {
    let (source, target) = text.split_once(':').ok_or_else(|| InvalidOption::PlacedFile(text.to_owned()))?;
    Ok(PlacedFile { source: inside(source)?, target: container_path(target)? })
}

/// Where a file system in memory goes, and behind a colon the options of its mount.
pub(super) fn tmpfs(text: &str) -> Result<(String, String), InvalidOption> {
    let (path, options) = text.split_once(':').unwrap_or((text, ""));
    Ok((container_path(path)?, options.to_owned()))
}

/// An absolute path in the container, without a slash at its end.
pub(super) fn container_path(text: &str) -> Result<String, InvalidOption> {
    let path = text.trim_end_matches('/');
    let valid = path.starts_with('/')
        && !path.contains(':')
        && !path.chars().any(char::is_control)
        && path.split('/').all(|part| part != "..");
    if valid { Ok(path.to_owned()) } else { Err(InvalidOption::Path(text.to_owned())) }
}

/// The name of a label that isn't one of Cutover's.
pub(super) fn label(text: &str) -> Result<String, InvalidOption> {
    if text.starts_with("cutover.") {
        return Err(InvalidOption::OwnLabel(text.to_owned()));
    }
    let valid = !text.is_empty() && text.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != '=');
    if valid { Ok(text.to_owned()) } else { Err(InvalidOption::Label(text.to_owned())) }
}

/// A network that a container can have beside another.
pub(super) fn network(text: &str) -> Result<String, InvalidOption> {
    let valid = is_name(text) && !matches!(text, "host" | "none");
    if valid { Ok(text.to_owned()) } else { Err(InvalidOption::Network(text.to_owned())) }
}

/// An address for a name, or Docker's word for the host.
pub(super) fn host_address(text: &str) -> Result<String, InvalidOption> {
    let valid = text == "host-gateway" || text.parse::<IpAddr>().is_ok();
    if valid { Ok(text.to_owned()) } else { Err(InvalidOption::Address(text.to_owned())) }
}

/// A name server.
pub(super) fn name_server(text: &str) -> Result<IpAddr, InvalidOption> {
    text.parse().map_err(|_| InvalidOption::NameServer(text.to_owned()))
}

/// The name of a host, as long as the kernel takes it (gethostname(2)).
pub(super) fn host_name(text: &str) -> Result<String, InvalidOption> {
    let valid = text.len() <= 64 && text.parse::<HostName>().is_ok() && text.parse::<IpAddr>().is_err();
    if valid { Ok(text.to_owned()) } else { Err(InvalidOption::HostName(text.to_owned())) }
}

/// A signal by its name, with or without `SIG`.
pub(super) fn signal(text: &str) -> Result<String, InvalidOption> {
    let name = text.strip_prefix("SIG").unwrap_or(text);
    if SIGNALS.contains(&name) {
        Ok(format!("SIG{name}"))
    } else {
        Err(InvalidOption::Signal(text.to_owned()))
    }
}

/// A setting of the kernel, with dots as sysctl(8) writes it.
pub(super) fn sysctl(text: &str) -> Result<String, InvalidOption> {
    let known = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
    let part = |part: &str| !part.is_empty() && part.bytes().all(known);
    let valid = text.contains('.') && text.split('.').all(part);
    if valid { Ok(text.to_owned()) } else { Err(InvalidOption::Sysctl(text.to_owned())) }
}

/// What Docker takes for the name of a volume or a network.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_read_as_docker_reads_them() {
        for (text, source, target, read_only) in [
            ("data:/data", "data", "/data", false),
            ("/srv/a b:/data/", "/srv/a b", "/data", false),
            ("data:/data:ro", "data", "/data", true),
            ("data:/data:rw", "data", "/data", false),
        ] {
            let expected = Volume { source: source.into(), target: target.into(), read_only };
            assert_eq!(volume(text).unwrap(), expected, "{text}");
        }
        for text in [
            "",
            "/data",
            "data",
            "./data:/data",
            "~/data:/data",
            "data:data",
            "data:/",
            "a:/b:z",
            "a:/b:ro:c",
        ] {
            assert!(volume(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_of_the_kernel_are_read_in_each_usual_form() {
        for text in ["NET_RAW", "net_raw", "CAP_NET_RAW"] {
            assert_eq!(capability(text).unwrap(), "NET_RAW");
        }
        assert_eq!(
            (signal("QUIT").unwrap(), signal("SIGQUIT").unwrap()),
            ("SIGQUIT".into(), "SIGQUIT".into())
        );
        assert!(signal("SIGQIUT").is_err() && capability("NET_ROW").is_err());
    }
}
