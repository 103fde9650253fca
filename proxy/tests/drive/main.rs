//! A real nginx and a real Traefik, driven, between real clients and real applications.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

// Those of the proxy's own tests.
#[path = "../proxy/application.rs"]
#[allow(dead_code)]
mod application;
#[path = "../proxy/caller.rs"]
#[allow(dead_code)]
mod caller;
mod canary;
#[path = "../proxy/client.rs"]
#[allow(dead_code)]
mod client;
mod load;
mod nginx;
mod peer;
mod proxy;
mod same;
mod traefik;
