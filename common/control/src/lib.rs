//! The control protocol of the proxy: what the switcher, the shipper and the prober say to the data plane on a host.
//!
//! Newline-delimited JSON over the proxy's unix socket. One [`Call`] per line, one [`Reply`] per line, in order; a
//! connection may be used for many calls. A line is at most [`MAX_LINE`] bytes. This crate holds the types and the
//! codec only: it opens no socket and needs no runtime.
//!
//! ```
//! use cutover_control::{Call, LineBuffer, Request, decode_reply};
//!
//! let line = Call::new(Request::Status).to_line()?;            // write this to the socket
//! assert_eq!(line, b"{\"protocol\":2,\"request\":\"status\"}\n");
//!
//! let mut received = LineBuffer::default();                     // and feed what is read into this
//! received.extend(b"{\"refused\":{\"reason\":\"unknown_service\"}}\n");
//! let reply = received.next_line()?.map(|line| decode_reply(&line)).transpose()?;
//! assert!(reply.is_some_and(|reply| reply.is_err()));
//! # Ok::<(), cutover_control::Error>(())
//! ```

mod acme;
mod application_protocol;
mod call;
mod canary;
mod certificate;
mod ejection;
mod error;
mod halt;
mod key;
mod line;
mod port;
mod refusal;
mod reply;
mod route;
mod secret_text;
mod status;
mod timeouts;
mod tls_policy;
mod traffic_status;
mod upstream;

pub use acme::{Account, Challenge};
pub use application_protocol::ApplicationProtocol;
pub use call::{Call, Epoch, HealthCheck, Request, Switch, Target};
pub use canary::{Canary, Choice};
pub use certificate::{Certificate, CertificateStatus};
pub use ejection::Ejection;
pub use error::Error;
pub use halt::{Maintenance, Pause};
pub use key::ServiceKey;
pub use line::LineBuffer;
pub use port::Port;
pub use refusal::Refusal;
pub use reply::{Reply, Response, decode_reply, encode_reply};
pub use route::Route;
pub use secret_text::SecretText;
pub use status::{ServiceStatus, SetStatus, TargetStatus};
pub use timeouts::Timeouts;
pub use tls_policy::TlsPolicy;
pub use traffic_status::{CanaryStatus, MaintenanceStatus, MirrorStatus, PauseStatus};
pub use upstream::Upstream;

/// The newest version of this protocol. 3 has what 2 has, and path prefixes, all timeouts but that of the response, and the
/// limit of a request's body; 4 has certificates and TLS, a limit of its own for the drain of streams, canaries, pauses and
/// maintenance, a limit of a response as a whole, thresholds of health checks, and how replicas are dealt with and
/// what is spoken to them; 5 has several ports of a replica, and terms of their ejection; 6 has health checks by a connection
/// alone.
pub const PROTOCOL: u32 = 6;

/// The oldest version that is still understood; every [`Call`] names the one it is in.
pub const OLDEST_PROTOCOL: u32 = 2;

/// The longest line that either side accepts, in bytes, without its newline: 1 MiB.
pub const MAX_LINE: usize = 1 << 20;

/// Where the proxy listens unless it is told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/cutover/control.sock";
