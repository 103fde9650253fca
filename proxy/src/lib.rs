//! The data plane of Cutover: an HTTP/1.1 and HTTP/2 reverse proxy that swaps its targets without dropping a request.
//!
//! It knows no journal, no database and no name service. What it is told comes over a unix socket, in the calls of
//! [`cutover_control`]; what it was told stands in files, so that a restart comes back with the same routes, fences and
//! certificates. It goes on serving when everything else of Cutover is gone.
//!
//! The way of a request: [`clients`] has its connection, after a handshake of [`tls`] where the client speaks that. Most are
//! carried by [`relay`], which copies bytes from the client to the application that [`routes`] name and back; whatever it can't
//! carry, and whatever fails, is for [`exchange`], which borrows a connection from one of the [`targets`], streams both bodies
//! through, and knows what to do about failures. Both forward [`head`]s by the same rules. What shares out, holds up or answers
//! the new requests of a service is its [`traffic`]. [`access_log`] and [`metrics`] say what became of them.
//!
//! The way of a call: [`control`] reads it, decides it by the ledger, makes that durable, and only then swaps the routes. A new
//! proxy is given the open sockets by a [`takeover`]. Where a host has an nginx or a Traefik that has to stay, [`drive`] answers
//! the same calls, and has that one carry the requests.
//!
//! The same program is the helper for what has to be done where the files are: it [`fill`]s the folders of assets, and
//! [`assemble`]s models, and is the far end of a [`bridge`] where SSH forwards nothing.

mod access_log;
mod assemble;
mod bridge;
mod clients;
mod config;
mod control;
mod drive;
mod error;
mod exchange;
mod fill;
#[doc(hidden)]
pub mod fuzzing;
mod head;
mod metrics;
mod relay;
mod routes;
mod server;
mod takeover;
mod targets;
mod tls;
mod traffic;

pub use assemble::{NotAssembled, assemble};
pub use bridge::{BridgeError, bridge};
pub use config::{AccessLogOptions, AssembleOptions, Command, ServeOptions};
pub use drive::{DriveOptions, DriveServer, Driven, NginxOptions, TraefikOptions, enter};
pub use error::Error;
pub use fill::{NotFilled, fill};
pub use server::Server;
