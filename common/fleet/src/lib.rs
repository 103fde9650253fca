//! What runs on the hosts, as the programs that deploy see it: containers of a service, what they say, whether they
//! answer, and the proxy in front of them.

mod container;
mod control_lines;
mod error;
mod label;
mod machine;
mod member;
mod proxy;
mod question;
mod room;
mod trouble;

pub use container::{Condition, Container};
pub use error::Error;
pub use label::{Labels, network_name};
pub use machine::{Fleet, Machine};
pub use member::{Member, WEB, replica_name};
pub use proxy::{PROXY, Proxy, ProxyIdentity, SOCKET, epoch_of, key_of};
pub use question::{Answer, NoAnswer};
pub use room::{Disk, Room};
pub use trouble::{LAST_LINES, Trouble};
