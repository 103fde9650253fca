//! What runs on the hosts, as the programs that deploy see it: containers of a service, what they say, whether they
//! answer, and the proxy in front of them.

mod accessory;
mod address_pool;
mod check;
mod container;
mod control_lines;
mod environment;
mod error;
mod exec;
#[cfg(test)]
mod fixture;
mod grpc;
mod host_config;
mod image_name;
mod label;
mod machine;
mod member;
mod network;
mod proxy;
mod question;
mod removal;
mod room;
mod sidecar;
mod sidecar_network;
mod trouble;

pub use accessory::{AccessoryContainer, AccessoryLabels, accessory_container};
pub use check::Checked;
pub use container::{Condition, Container, Health};
pub use environment::{environment, variables};
pub use error::Error;
pub use exec::Exited;
pub use host_config::{contained, host_config, restart_policy};
pub use image_name::ImageName;
pub use label::{Labels, network_name};
pub use machine::{Fleet, Machine};
pub use member::{Member, WEB, replica_name};
pub use network::Network;
pub use proxy::{PROXY, Proxy, ProxyIdentity, SOCKET, epoch_of, key_of};
pub use question::{Answer, NoAnswer};
pub use removal::stop_seconds;
pub use room::{Disk, Room};
pub use sidecar::{SidecarContainer, SidecarLabels, SidecarMember};
pub use sidecar_network::{SidecarNetwork, egress_network_name, sidecar_network_name};
pub use trouble::{LAST_LINES, Trouble};
