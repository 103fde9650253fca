//! A socket before a proxy's own, that passes on what is asked, and can be told to refuse certificates.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use cutover_control::{Call, Refusal, Request, encode_reply};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

pub(crate) struct Gate {
    refuses: Arc<AtomicBool>,
    running: JoinHandle<()>,
}

impl Gate {
    /// One at a path, before the socket of a proxy.
    pub(crate) fn new(path: &Path, proxy: PathBuf) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let refuses = Arc::new(AtomicBool::new(false));
        let is_closed = Arc::clone(&refuses);
        let running = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (proxy, is_closed) = (proxy.clone(), Arc::clone(&is_closed));
                tokio::spawn(async move { pass(client, &proxy, &is_closed).await });
            }
        });
        Self { refuses, running }
    }

    /// Whether certificates are refused from now on.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.refuses.store(refuses, Relaxed);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn pass(client: UnixStream, proxy: &Path, refuses: &AtomicBool) -> io::Result<()> {
    let (calls, mut client) = client.into_split();
    let (replies, mut proxy) = UnixStream::connect(proxy).await?.into_split();
    let (mut calls, mut replies) = (BufReader::new(calls).lines(), BufReader::new(replies).lines());
    while let Some(call) = calls.next_line().await? {
        let certifies = matches!(Call::from_line(call.as_bytes()).unwrap().request, Request::Certify { .. });
        let reply = if certifies && refuses.load(Relaxed) {
            encode_reply(&Err(Refusal::Storage { message: "the disk is full".into() })).unwrap()
        } else {
            proxy.write_all(format!("{call}\n").as_bytes()).await?;
            let Some(reply) = replies.next_line().await? else { return Ok(()) };
            format!("{reply}\n").into_bytes()
        };
        client.write_all(&reply).await?;
    }
    Ok(())
}
