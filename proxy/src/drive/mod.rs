//! Another proxy that a host has, an nginx or a Traefik, does the carrying, and is driven from here: the same calls on the same
//! socket, with the same ledger, fences and store, but what they mean is written into its configuration.
//!
//! [`Driver`](driver::Driver) decides a call by the ledger, has a [`BackEnd`](back_end::BackEnd) put the configuration in force
//! that this means, makes the ledger durable, and answers. An answer means the same as one of Cutover's own proxy: no new
//! request goes to what was displaced. What a proxy can't do is refused.

mod back_end;
mod config_file;
mod connections;
mod displaced;
mod driver;
mod held;
mod nginx;
mod nginx_config;
mod nginx_log;
mod nginx_master;
mod options;
mod question;
mod server;
mod set_name;
mod sites;
mod traefik;
mod traefik_api;
mod traefik_config;
mod traefik_metrics;
mod traefik_rules;

pub use nginx_master::enter;
pub use options::{DriveOptions, Driven, NginxOptions, TraefikOptions};
pub use server::DriveServer;
