//! What runs on the hosts, as the programs that deploy see it: containers of a service, what they say, whether they
//! answer, and the proxy in front of them.

mod container;
mod error;
mod label;
mod machine;
mod proxy;
mod question;

pub use container::{Container, Condition};
pub use error::Error;
pub use label::Labels;
pub use machine::{Fleet, Machine};
pub use proxy::{Proxy, SOCKET};
pub use question::{Answer, NoAnswer};
