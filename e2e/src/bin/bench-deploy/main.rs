//! `make bench-deploy`: how long a deploy takes, from the start of the command to its end, to the switch of the last proxy,
//! and to the first answer of the new version. The control plane is up, the image is on the hosts, the application is ready
//! at once, nothing is soaked, the old replicas are retired. One replica on each host, but where it says otherwise: that is
//! all that Kamal starts.

#![allow(clippy::print_stdout)]

mod by_hand;
mod measure;
mod paired;
mod row;

use std::time::Duration;

use cutover_e2e::{ControlPlane, Host, ObjectStore, Project, Relay};
use measure::{Bench, Model};
use row::Row;

/// Deploys of each kind: medians are shown.
const RUNS: usize = 7;
/// Rounds of deploys to one host and to two, as a ratio needs more of them than a median.
const ROUNDS: usize = 15;
/// How much of a model of 90 MB is another in each version, in bytes.
const MODELS: [(&str, usize); 2] =
    [("another model of 90 MB, two hosts", 90_000_000), ("the same, its last 9 MB changed", 9_000_000)];
/// One way of the far host: 20 ms of round trip.
const FAR: Duration = Duration::from_millis(10);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (first, second) = (Host::up("bench-1")?, Host::up("bench-2")?);
    let relay = Relay::start(std::net::SocketAddr::new(first.address.parse()?, 22), FAR).await?;
    let project = Project::new()?;
    let mut rows: Vec<Row> = Vec::new();

    let plane = ControlPlane::up(&[&first, &second], 1)?;
    let near = Bench::new(&plane, &project, &first, vec![first.address.clone()], "hello")?;
    rows.push(near.deploys("deploy", RUNS).await?);
    rows.push(near.rollbacks("rollback", RUNS).await?);
    rows.push(near.warm().rollbacks("rollback to warm replicas", RUNS).await?);
    rows.push(near.replicas(2).deploys("deploy, two replicas", RUNS).await?);
    rows.push(by_hand::script("by hand: one SSH script, no proxy", &first, RUNS)?);
    let both = vec![first.address.clone(), second.address.clone()];
    let two = Bench::new(&plane, &project, &first, both, "both")?;
    rows.extend(paired::rows(&near, &two, [&first, &second], ROUNDS).await?);
    rows.push(two.warm().rollbacks("rollback to warm replicas, two hosts", RUNS).await?);
    let bucket = ObjectStore::start()?;
    for (name, changed) in MODELS {
        let model = two.model(Model { bucket: &bucket, changed });
        // Another version of what is there already: the first brings the model to the hosts.
        model.deploy().await?;
        rows.push(model.deploys(name, RUNS).await?);
    }
    drop(plane);

    let plane = ControlPlane::up_through(&[&first], &relay)?;
    let far = format!("{{address: 127.0.0.1, port: {}}}", relay.address.port());
    // Another journal: the host is given to it, as it would be by a reinstalled control plane.
    measure::reset(&first)?;
    let distant = Bench::new(&plane, &project, &first, vec![far], "hello")?;
    rows.push(distant.deploys("deploy, 20 ms round trip", RUNS).await?);

    row::print(&rows);
    Ok(())
}
