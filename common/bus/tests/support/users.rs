//! A server that tells its users apart, and connections as each of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::HeaderMap;
use cutover_bus::{Access, Bus, Copies, Journal, Key};
use cutover_core::{BusUser, accounts};

use super::eventually;
use super::node::Node;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A server whose users are those of the table.
pub(crate) struct Guarded {
    pub(crate) node: Node,
    keys: BTreeMap<BusUser, Arc<Key>>,
}

/// A user who tries what they may not, by the bare protocol.
pub(crate) struct Thief {
    pub(crate) client: async_nats::Client,
    pair: KeyPair,
    said: Arc<Mutex<Vec<String>>>,
    accomplice: Accomplice,
}

/// Somebody in the account of the journal, where the server can be made to store its answers: what readers leave out is tried with
/// such help, as the server itself keeps everybody else from it.
struct Accomplice {
    client: async_nats::Client,
    pair: KeyPair,
    address: String,
}

/// The secret of a key.
pub(crate) fn seed_of(key: &Key) -> String {
    key.to_text().trim().split_once(' ').unwrap().1.to_owned()
}

impl Guarded {
    /// Starts one, with a journal that its operator has set up.
    pub(crate) async fn start() -> Self {
        let keys: BTreeMap<_, _> = BusUser::ALL.map(|user| (user, Arc::new(Key::new(user)))).into();
        let public = keys.iter().map(|(user, key)| (*user, key.public())).collect();
        let operator = Some(Arc::clone(&keys[&BusUser::Operator]));
        let node = Node::guarded("guarded", None, accounts(&public), operator);
        let bus = node.answers().await;
        bus.set_up(Copies::One).await.unwrap();
        bus.take_signatures_of(&public).await.unwrap();
        Self { node, keys }
    }

    /// The public keys that the server lets in.
    pub(crate) fn public(&self) -> BTreeMap<BusUser, String> {
        self.keys.iter().map(|(user, key)| (*user, key.public())).collect()
    }

    /// Makes new keys for some users, and has the server let those in instead of the old ones. The journal doesn't know of it yet.
    pub(crate) async fn change_keys(&mut self, users: &[BusUser]) {
        self.keys.extend(users.iter().map(|user| (*user, Arc::new(Key::new(*user)))));
        let operator = Arc::clone(&self.keys[&BusUser::Operator]);
        self.node.lets_in(accounts(&self.public()), operator);
        for user in users {
            // The server takes a moment.
            let access = Access { key: Some(Arc::clone(&self.keys[user])), ..Access::open(&self.node.url()) };
            eventually(async || Bus::enter(&access, "test").await.ok()).await;
        }
    }

    /// Kills the server, and starts it again with another configuration of who may do what.
    pub(crate) fn becomes(&mut self, accounts: String) {
        self.node.kill();
        self.node.start_again_with(accounts);
    }

    pub(crate) async fn bus(&self, user: BusUser) -> Bus {
        let access = Access { key: Some(Arc::clone(&self.keys[&user])), ..Access::open(&self.node.url()) };
        Bus::enter(&access, user.as_str()).await.unwrap()
    }

    pub(crate) async fn journal(&self, user: BusUser) -> Journal {
        self.bus(user).await.open().await.unwrap()
    }

    async fn accomplice(&self) -> Accomplice {
        let (url, seed) = (self.node.url(), seed_of(&self.keys[&BusUser::Operator]));
        let pair = KeyPair::from_seed(&seed).unwrap();
        let options = async_nats::ConnectOptions::with_nkey(seed);
        let client = options.custom_inbox_prefix(BusUser::Operator.inbox()).connect(&url).await.unwrap();
        Accomplice { client, pair, address: url.replace("nats://", "") }
    }

    /// Somebody with the key of a user, and no scruples.
    pub(crate) async fn thief(&self, user: BusUser) -> Thief {
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let seed = seed_of(&self.keys[&user]);
        let pair = KeyPair::from_seed(&seed).unwrap();
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
        Thief { client, pair, said, accomplice: self.accomplice().await }
    }
}

impl Thief {
    /// The header of a signature for what is to stand on a subject of a journal, as honest users make it; `expected` is the last
    /// sequence there.
    pub(crate) fn signature(
        &self,
        journal: &Journal,
        subject: &str,
        expected: &str,
        content: &[u8],
    ) -> HeaderMap {
        let mut text = format!("cutover 1\n{}\n{subject}\n{expected}\n", journal.id()).into_bytes();
        text.extend_from_slice(content);
        let signature = hex::encode(self.pair.sign(&text).unwrap());
        let mut headers = HeaderMap::new();
        headers.insert("Cutover-Signature", format!("{} {signature}", self.pair.public_key()));
        headers
    }

    /// Has the server put something onto a subject of the journal: it is stored as a hint, and asked for with that subject for the
    /// answer.
    pub(crate) async fn smuggle(&self, subject: &str, headers: HeaderMap, content: &[u8]) {
        let hint = "cutover.run.build.smuggled.goods".to_owned();
        let jetstream = async_nats::jetstream::new(self.accomplice.client.clone());
        let stored = jetstream.publish_with_headers(hint.clone(), headers, content.to_vec().into());
        stored.await.unwrap().await.unwrap();
        let request = format!("{{\"last_by_subj\":\"{hint}\"}}");
        self.deliver("$JS.API.DIRECT.GET.cutover", &request, subject).await;
    }

    /// The same with any bytes as the headers, which no client would send.
    pub(crate) async fn smuggle_raw(&self, subject: &str, headers: &str, content: &[u8]) {
        let hint = "cutover.run.build.smuggled.goods";
        let mut lines = BufReader::new(TcpStream::connect(&self.accomplice.address).await.unwrap());
        let mut info = String::new();
        lines.read_line(&mut info).await.unwrap();
        let (_, nonce) = info.split_once("\"nonce\":\"").unwrap();
        let (nonce, _) = nonce.split_once('"').unwrap();
        let signed = URL_SAFE_NO_PAD.encode(self.accomplice.pair.sign(nonce.as_bytes()).unwrap());
        let (key, length) = (self.accomplice.pair.public_key(), headers.len() + content.len());
        let said = format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"lang\":\"x\",\"version\":\"1\",\"headers\":true,\"nkey\":\"{key}\",\"sig\":\"{signed}\"}}\r\n\
             HPUB {hint} {} {length}\r\n{headers}",
            headers.len()
        );
        let said = [said.as_bytes(), content, b"\r\nPING\r\n"].concat();
        lines.write_all(&said).await.unwrap();
        let mut answer = String::new();
        while !answer.contains("PONG") {
            assert!(!answer.contains("-ERR"), "{answer}");
            assert_ne!(lines.read_line(&mut answer).await.unwrap(), 0, "{answer}");
        }
        self.deliver("$JS.API.DIRECT.GET.cutover", &format!("{{\"last_by_subj\":\"{hint}\"}}"), subject)
            .await;
    }

    /// Asks the server for something, with a subject of the log for the answer.
    pub(crate) async fn deliver(&self, asked: &str, request: &str, subject: &str) {
        self.accomplice
            .client
            .publish_with_reply(asked.to_owned(), subject.to_owned(), request.to_owned().into())
            .await
            .unwrap();
        self.accomplice.client.flush().await.unwrap();
    }

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
