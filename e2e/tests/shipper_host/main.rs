//! The stages of the shipper on real Docker hosts over SSH, with a real proxy in front of the replicas.
//!
//! Each test has a host of its own. `scripts/build.sh` must have run: the example application and the proxy are what it
//! builds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bench;
mod boot;
mod container;
mod docker_26;
mod image;
mod jobs;
mod models;
mod registry;
mod retire;
mod ship;
