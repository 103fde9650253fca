//! Why ports can't be taken over.

use std::time::Duration;

use cutover_core::{HostName, ServiceKey};

/// Each says what to do. But for the last one nothing was changed, or all of it was taken back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no such container.
    #[error("{host} has no container {container}")]
    NoContainer {
        /// The host.
        host: HostName,
        /// Its name.
        container: String,
    },
    /// It has none of the usual ports.
    #[error("{container} on {host} publishes neither port 80 nor port 443")]
    NoPorts {
        /// The host.
        host: HostName,
        /// Its name.
        container: String,
    },
    /// Ours isn't there, or carries no requests itself.
    #[error("on {host} no proxy of Cutover's runs that carries requests itself")]
    NoProxy {
        /// The host.
        host: HostName,
    },
    /// Our proxy would answer 404 or 503.
    #[error("Cutover's proxy on {host} doesn't serve {key} yet")]
    NotServed {
        /// The host.
        host: HostName,
        /// The service.
        key: ServiceKey,
    },
    /// Our proxy speaks no TLS.
    #[error("port 443 is to be taken over on {host}, where Cutover's proxy speaks no TLS")]
    NoTls {
        /// The host.
        host: HostName,
    },
    /// The other proxy has more.
    #[error("{container} on {host} also answers for {others}, which Cutover's proxy there doesn't serve")]
    OthersServed {
        /// The host.
        host: HostName,
        /// The container.
        container: String,
        /// The services.
        others: String,
    },
    /// Somebody deploys.
    #[error("Kamal's lock is held on {host} ({lock})")]
    Locked {
        /// The host.
        host: HostName,
        /// Its folder.
        lock: String,
    },
    /// Nobody has said yes.
    #[error("the ports of {container} were not taken over")]
    Unconfirmed {
        /// The container.
        container: String,
    },
    /// The host doesn't let the rule be made.
    #[error("could not lead connections of {host} elsewhere: iptables says '{reason}'")]
    Rule {
        /// The host.
        host: HostName,
        /// What it said.
        reason: String,
    },
    /// A rule leads nowhere.
    #[error(
        "connections to port {port} of {host} don't come to Cutover's proxy, although a rule leads them there"
    )]
    NotLed {
        /// The host.
        host: HostName,
        /// The port.
        port: u16,
    },
    /// No certificate came.
    #[error("no certificate came to the proxy of {host} within {} s", limit.as_secs())]
    NoCertificate {
        /// The host.
        host: HostName,
        /// The limit.
        limit: Duration,
    },
    /// A firewall.
    #[error("port {port} of {host} could be reached from here before, and can't be any more")]
    Unreached {
        /// The host.
        host: HostName,
        /// The port.
        port: u16,
    },
}

impl Error {
    /// Whether a host is what has to be mended, and not the command.
    pub(crate) const fn is_about_a_host(&self) -> bool {
        matches!(
            self,
            Self::Rule { .. }
                | Self::NotLed { .. }
                | Self::NoCertificate { .. }
                | Self::Unreached { .. }
                | Self::Locked { .. }
        )
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::NoContainer { .. } => "`docker ps` there tells what runs; `--from` names it".to_owned(),
            Self::NoPorts { .. } => "there is nothing to take over from it".to_owned(),
            Self::NoProxy { .. } => {
                "`cutover setup --http-port 8080 --https-port 8443` starts it beside the other one".to_owned()
            }
            Self::NotServed { .. } => "`cutover deploy` first: it runs beside the other one".to_owned(),
            Self::NoTls { .. } => "`cutover proxy upgrade --https-port 8443` first".to_owned(),
            Self::OthersServed { .. } => "deploy them with Cutover first, or stop their containers".to_owned(),
            Self::Locked { .. } => {
                "wait for the deployment that holds it; one that nobody holds any more goes by `kamal lock release`".to_owned()
            }
            Self::Unconfirmed { .. } => "if that is meant: the same with --yes".to_owned(),
            Self::Rule { .. } => "who logs in there has to be root, or to have sudo without a password".to_owned(),
            Self::NotLed { .. } => {
                "a firewall of the host keeps them away, or Docker leads them elsewhere before (by nftables, or the other iptables)"
                    .to_owned()
            }
            Self::NoCertificate { .. } => {
                "`cutover deploy --force` orders it at once, which needs port 80: do both together, or give a certificate \
                 (`proxy.tls.certificate`) for the change"
                    .to_owned()
            }
            Self::Unreached { .. } => {
                "what Docker publishes passes a firewall of the host, and what the host itself listens on doesn't: let the port in \
                 there (as `ufw allow 80,443/tcp` does), then say the same again; it is led as before until then"
                    .to_owned()
            }
        }
    }
}
