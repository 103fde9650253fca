//! The application behind the proxies: one nginx on four ports.

use std::net::SocketAddr;

use anyhow::Context;

use crate::ask;
use crate::cores;
use crate::group::Group;
use crate::nginx;
use crate::running::wait_for;
use crate::site::{Site, free_addresses};

/// The path of a body of 1 KiB.
pub(crate) const SMALL: &str = "/1k";
/// The path of a body of 64 KiB.
pub(crate) const LARGE: &str = "/64k";

pub(crate) struct Upstream {
    /// Ended before its folder goes.
    _group: Group,
    _site: Site,
    addresses: [SocketAddr; 4],
}

impl Upstream {
    pub(crate) async fn start(program: &std::path::Path) -> anyhow::Result<Self> {
        let site = Site::new()?;
        let addresses: [SocketAddr; 4] = free_addresses()?;
        let names = ["FIRST", "SECOND", "THIRD", "FOURTH"];
        let mut values: Vec<(&str, String)> =
            names.into_iter().zip(addresses.map(|address| address.port().to_string())).collect();
        values.push(("KIBIBYTE", "x".repeat(1024)));
        site.write("nginx.conf", &site.fill("upstream.nginx.conf", &values)?)?;
        site.write(&format!("bodies{LARGE}"), &"x".repeat(64 * 1024))?;
        let group = Group::start(cores::LOAD, program, &nginx::own_arguments(&site), site.folder())?;
        let first = addresses[0];
        wait_for(&group, || ask::version(first)).await.context("waiting for the application")?;
        Ok(Self { _group: group, _site: site, addresses })
    }

    /// One after the other, over and over. What answers there calls itself by its port, in `x-version`.
    pub(crate) fn address(&self, number: u64) -> SocketAddr {
        let [first, second, third, fourth] = self.addresses;
        match number % 4 {
            0 => first,
            1 => second,
            2 => third,
            _ => fourth,
        }
    }
}
