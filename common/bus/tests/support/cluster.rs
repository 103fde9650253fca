//! Three nats-servers as one cluster.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{self, stream::Info};
use cutover_bus::{Access, Bus, Copies, Journal, Key};
use cutover_core::{BusUser, accounts};

use super::node::{Node, Routes, free_port};

/// The journal's stream.
pub(crate) const LOG: &str = "cutover";

pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    /// Those of its users; none: it tells them not apart.
    keys: BTreeMap<BusUser, Arc<Key>>,
}

impl Cluster {
    /// Starts one and sets a journal up, on all three.
    pub(crate) async fn start() -> Self {
        Self::of(BTreeMap::new()).await
    }

    /// The same with users that are told apart.
    pub(crate) async fn guarded() -> Self {
        Self::of(BusUser::ALL.map(|user| (user, Arc::new(Key::new(user)))).into()).await
    }

    async fn of(keys: BTreeMap<BusUser, Arc<Key>>) -> Self {
        let public = keys.iter().map(|(user, key)| (*user, key.public())).collect();
        let users = if keys.is_empty() { String::new() } else { accounts(&public) };
        let operator = keys.get(&BusUser::Operator);
        let all: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let node = |(index, port): (usize, &u16)| {
            let routes = Routes { port: *port, all: all.clone() };
            Node::guarded(&format!("n{index}"), Some(routes), users.clone(), operator.cloned())
        };
        let cluster = Self { nodes: all.iter().enumerate().map(node).collect(), keys };
        for node in &cluster.nodes {
            node.answers().await;
        }
        let bus = Bus::enter(&cluster.access(BusUser::Operator), "test").await.unwrap();
        assert_eq!(bus.suitable_copies(), Copies::Three);
        bus.set_up(Copies::Three).await.unwrap();
        if !cluster.keys.is_empty() {
            bus.take_signatures_of(&public).await.unwrap();
        }
        cluster
    }

    /// How a user enters it.
    pub(crate) fn access(&self, user: BusUser) -> Access {
        Access { key: self.keys.get(&user).cloned(), ..Access::open(&self.url()) }
    }

    /// The addresses of all.
    pub(crate) fn url(&self) -> String {
        self.nodes.iter().map(Node::url).collect::<Vec<_>>().join(",")
    }

    /// The journal, over a connection of its own.
    pub(crate) async fn journal(&self) -> Journal {
        Bus::connect(&self.url(), "test").await.unwrap().open().await.unwrap()
    }

    /// Waits until the stream has a leader, and every replica has all that it has; says which node leads.
    pub(crate) async fn settled(&self, client: &async_nats::Client) -> usize {
        for _ in 0..600 {
            if let Some(cluster) = info(client).await.and_then(|info| info.cluster)
                && let Some(leader) = cluster.leader
                && cluster.replicas.len() == 2
                && cluster.replicas.iter().all(|replica| replica.current && !replica.offline)
            {
                return self.nodes.iter().position(|node| node.name() == leader).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the cluster did not settle within 30 s");
    }

    /// Asks the leader of the stream to step down.
    pub(crate) async fn step_down(&self, client: &async_nats::Client) {
        let request = async_nats::Request::new().timeout(Some(Duration::from_secs(5)));
        // Its answer may get lost with its office.
        let _ = client.send_request(format!("$JS.API.STREAM.LEADER.STEPDOWN.{LOG}"), request).await;
    }
}

async fn info(client: &async_nats::Client) -> Option<Info> {
    let mut jetstream = jetstream::new(client.clone());
    jetstream.set_timeout(Duration::from_secs(1));
    Some(jetstream.get_stream(LOG).await.ok()?.cached_info().clone())
}
