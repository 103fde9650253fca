//! The proxy between real clients and real applications, over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access_log;
mod announcement;
mod application;
mod authority;
mod canary;
mod certificates;
mod client;
mod control;
mod drains;
mod ejection;
mod ending;
mod hard_input;
mod hard_input_http2;
mod http;
mod http2;
mod limits;
mod maintenance;
mod metrics;
mod mirror;
mod pause;
mod pool;
mod process;
mod proxy;
mod relay;
mod routing;
mod sticky;
mod streaming;
mod swap;
mod takeover;
mod targets;
mod tls;
mod upgrade;
