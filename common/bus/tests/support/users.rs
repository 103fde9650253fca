//! A server that tells its users apart, and connections as each of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cutover_bus::{Access, Bus, Copies, Journal, Key};
use cutover_core::{BusUser, authorization};

use super::node::Node;

/// A server whose users are those of the table.
pub(crate) struct Guarded {
    pub(crate) node: Node,
    keys: BTreeMap<BusUser, Arc<Key>>,
}

/// A user who tries what they may not, by the bare protocol.
pub(crate) struct Thief {
    pub(crate) client: async_nats::Client,
    said: Arc<Mutex<Vec<String>>>,
}

impl Guarded {
    /// Starts one, with a journal that its operator has set up.
    pub(crate) async fn start() -> Self {
        let keys: BTreeMap<_, _> = BusUser::ALL.map(|user| (user, Arc::new(Key::new(user)))).into();
        let public = keys.iter().map(|(user, key)| (*user, key.public())).collect();
        let operator = Some(Arc::clone(&keys[&BusUser::Operator]));
        let node = Node::guarded("guarded", None, authorization(&public), operator);
        node.answers().await.set_up(Copies::One).await.unwrap();
        Self { node, keys }
    }

    pub(crate) async fn bus(&self, user: BusUser) -> Bus {
        let access = Access { key: Some(Arc::clone(&self.keys[&user])), ..Access::open(&self.node.url()) };
        Bus::enter(&access, user.as_str()).await.unwrap()
    }

    pub(crate) async fn journal(&self, user: BusUser) -> Journal {
        self.bus(user).await.open().await.unwrap()
    }

    /// Somebody with the key of a user, and no scruples.
    pub(crate) async fn thief(&self, user: BusUser) -> Thief {
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let (_, seed) = self.keys[&user]
            .to_text()
            .trim()
            .split_once(' ')
            .map(|(u, s)| (u.to_owned(), s.to_owned()))
            .unwrap();
        let client = async_nats::ConnectOptions::with_nkey(seed)
            .custom_inbox_prefix(user.inbox())
            .event_callback(move |event| {
                if let async_nats::Event::ServerError(error) = event {
                    heard.lock().unwrap().push(error.to_string());
                }
                std::future::ready(())
            })
            .connect(self.node.url())
            .await
            .unwrap();
        Thief { client, said }
    }
}

impl Thief {
    /// Waits until the server has refused something with these words.
    pub(crate) async fn is_refused(&self, what: &str) {
        let wait = async {
            while !self.said.lock().unwrap().iter().any(|said| said.contains(what)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let heard = tokio::time::timeout(Duration::from_secs(20), wait).await;
        heard.unwrap_or_else(|_| panic!("not refused: {what}; said: {:?}", self.said.lock().unwrap()));
    }
}
