//! `make bench-ship`: how an image gets from this machine's Docker Engine onto others, beside what people do by hand: `docker
//! save` through SSH, and a registry behind an SSH tunnel; and how a model's file gets there, beside `scp`. Every way has hosts of
//! its own, which begin empty.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod application;
mod command;
mod interrupted;
mod model;
mod options;
mod ours;
mod registry;
mod save;
mod scene;
mod sent;
mod shipper;
mod shipper_memory;
mod table;
mod way;

use clap::Parser;
use options::Options;
use way::Way;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if options.only_model {
        return model::measure(options.rounds, options.rate.as_deref()).await;
    }
    let mut rows = Vec::new();
    for round in 0..options.rounds {
        for way in Way::ALL {
            rows.extend(scene::one_host(way, round, options.rate.as_deref()).await?);
        }
    }
    for way in Way::ALL {
        rows.push(scene::fleet(way, options.hosts, options.rate.as_deref()).await?);
    }
    table::print(&rows);
    model::measure(options.rounds, options.rate.as_deref()).await?;
    shipper_memory::measure(options.large)?;
    interrupted::measure().await?;
    Ok(())
}
