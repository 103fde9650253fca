//! What the demonstration and the end-to-end tests stand on: separate Docker hosts, a control plane of their own, an
//! application to deploy, a database, and load.

#![allow(clippy::print_stderr)]

mod builder_process;
pub mod claim;
mod control_plane;
mod database;
mod host;
mod link;
mod load;
mod mariadb;
mod metrics_server;
mod object_store;
mod place;
mod private_registry;
mod prober_process;
mod project;
mod relay;
mod secret_stores;
mod stages;
mod tunnel;

pub use builder_process::BuilderProcess;
pub use control_plane::{ControlPlane, Ended};
pub use database::Database;
pub use host::Host;
pub use link::Link;
pub use load::{Failure, FailureKind, Latencies, Load, LoadPlan, LoadReport, VersionReport};
pub use mariadb::Mariadb;
pub use metrics_server::MetricsServer;
pub use object_store::ObjectStore;
pub use place::{dist, root};
pub use private_registry::PrivateRegistry;
pub use prober_process::ProberProcess;
pub use project::{App, Project};
pub use relay::Relay;
pub use secret_stores::SecretStores;
pub use stages::StageSeconds;
pub use tunnel::Tunnel;
