//! Moving traffic: to the new replicas of a deployment, and back; and the certificates that it is served with.
//!
//! A switch is one call to the proxy of a host, made under the claim's epoch; the proxy looks at each replica once more
//! before it sends anybody there. A canary is a share that is renewed as long as somebody watches. A restore is one call too, and needs nothing but the proxy. Neither is believed because
//! it was answered: the proxy's own status is read after it.

mod canary;
mod certificates;
mod error;
#[cfg(test)]
mod fixture;
mod leaf;
mod own_certificate;
mod restore;
mod switch;
mod worker;

pub use certificates::Certificates;
pub use error::Error;
pub use worker::Switcher;
