//! The data plane of Cutover: an HTTP/1.1 and HTTP/2 reverse proxy that swaps its targets without dropping a request.
//!
//! It knows no journal, no database and no name service. What it is told comes over a unix socket, in the calls of
//! [`cutover_control`]; what it was told stands in files, so that a restart comes back with the same routes, fences and
//! certificates. It goes on serving when everything else of Cutover is gone.
//!
//! The way of a request: [`listener`] accepts its connection and hands it to a [`worker`], which serves it as a
//! [`client_connection`], after a handshake of [`tls`] where the client speaks that. Most are carried by [`relay`], which copies
//! bytes from the client to the application that [`route_table`] names and back; whatever it can't carry, and whatever fails,
//! is for [`exchange`], which borrows a connection from the target's [`pool`], streams both bodies through, and knows what to
//! do about failures. The way of a call:
//! [`control_server`] reads it, [`plane`] lets [`ledger`] decide what it means, has [`store`] make that durable, and
//! only then swaps the table. Where a host has an nginx or a Traefik that has to stay, [`drive`] answers the same calls, and
//! has that one carry the requests.

mod access_line;
mod access_log;
mod access_record;
mod activity;
mod announcement;
mod boot_clock;
mod canary;
mod client;
mod client_connection;
mod config;
mod control_server;
mod cookie;
mod counted;
mod counters;
mod drain;
mod drive;
mod ejection;
mod error;
mod exchange;
mod expiry;
mod fence;
mod flight;
mod forwarded;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod halt;
mod handover;
mod head;
mod health;
mod lease;
mod ledger;
mod limits;
mod linger;
mod listener;
mod live_canary;
mod live_halt;
mod live_service;
mod live_set;
mod marker;
mod metric_family;
mod metrics;
mod metrics_server;
mod mirror;
mod notice;
mod outgoing;
mod overlap;
mod path_prefix;
mod pipe;
mod plane;
mod pool;
mod predecessor;
mod proxy_protocol;
mod regulation;
mod rejection;
mod relay;
mod replay;
mod request_body;
mod request_id;
mod response_body;
mod route;
mod route_table;
mod server;
mod silence;
mod single;
mod slow_start;
mod split;
mod sticky;
mod store;
mod streams;
mod successor;
mod target;
mod target_set;
mod term;
mod tls;
mod trace_context;
mod tries;
mod trust;
mod tunnel;
mod worker;

pub use config::{AccessLogOptions, Command, ServeOptions};
pub use drive::{DriveOptions, DriveServer, Driven, NginxOptions, TraefikOptions, enter};
pub use error::Error;
pub use pipe::pipe;
pub use server::Server;
