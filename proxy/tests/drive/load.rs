use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hyper::{Method, StatusCode};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::caller::LIMIT;
use crate::client::{Client, request};

/// Clients that ask without a pause. Half of them keep their connections, and do what RFC 9110, 9.2.2 lets them: a GET is
/// sent again on another one where one that had been used before was closed without an answer, as nginx does with idle
/// ones at a reload.
pub(crate) struct Load {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: JoinSet<()>,
}

impl Load {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut clients = JoinSet::new();
        for number in 0..8 {
            let (over, answered) = (Arc::clone(&over), Arc::clone(&answered));
            clients.spawn(async move {
                let mut kept = None;
                while !over.load(Relaxed) {
                    if number % 2 == 0 {
                        get(address, &mut kept).await;
                    } else {
                        let post = request(Method::POST, "a", "/", "some body");
                        let got = Client::connect(address).await.ask(post).await.unwrap();
                        assert_eq!(got, (StatusCode::OK, "app".to_owned()));
                    }
                    answered.fetch_add(1, Relaxed);
                }
            });
        }
        Self { over, answered, clients }
    }

    /// Waits until so many more requests were answered. None has failed until then.
    pub(crate) async fn more(&mut self, count: u64) {
        let enough = self.answered.load(Relaxed) + count;
        let answered = async {
            while self.answered.load(Relaxed) < enough {
                if let Some(ended) = self.clients.try_join_next() {
                    ended.unwrap();
                }
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(LIMIT, answered).await.expect("too few answers");
    }

    /// Stops; no request has failed.
    pub(crate) async fn end(mut self) -> u64 {
        self.over.store(true, Relaxed);
        while let Some(client) = timeout(LIMIT, self.clients.join_next()).await.unwrap() {
            client.unwrap();
        }
        self.answered.load(Relaxed)
    }
}

async fn get(address: SocketAddr, kept: &mut Option<Client>) {
    let reused = kept.is_some();
    let mut client = match kept.take() {
        Some(client) => client,
        None => Client::connect(address).await,
    };
    let got = match client.ask(request(Method::GET, "a", "/", "")).await {
        Ok(got) => got,
        Err(_) if reused => {
            client = Client::connect(address).await;
            client.ask(request(Method::GET, "a", "/", "")).await.unwrap()
        }
        Err(error) => panic!("{error:?}"),
    };
    assert_eq!(got, (StatusCode::OK, "app".to_owned()));
    *kept = Some(client);
}
