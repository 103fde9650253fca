//! Small applications that answer at once, and write down when they were asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::place;

/// All replicas, behind one listener: which of them is meant, the address says that was connected to.
pub(crate) struct Replicas {
    pub(crate) port: u16,
    asked: Arc<Mutex<Vec<Vec<Instant>>>>,
}

/// What was seen of the questions in a time.
pub(crate) struct Seen {
    /// How many there were.
    pub(crate) asked: usize,
    /// By how much each was later than the earliest of the same replica, all of them one period apart; in order.
    pub(crate) late: Vec<Duration>,
}

impl Replicas {
    pub(crate) async fn start(count: usize) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("0.0.0.0:0").await.context("listening")?;
        let port = listener.local_addr()?.port();
        let asked = Arc::new(Mutex::new(vec![Vec::new(); count]));
        let tally = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let at = Instant::now();
                let number =
                    stream.local_addr().ok().map(|own: SocketAddr| own.ip()).and_then(place::number_of);
                let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(times) = number.and_then(|number| tally.get_mut(number)) {
                    times.push(at);
                }
                drop(tally);
                tokio::spawn(answer(stream));
            }
        });
        Ok(Self { port, asked })
    }

    /// How many replicas have been asked yet.
    pub(crate) fn known(&self) -> usize {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().filter(|times| !times.is_empty()).count()
    }

    /// What came since a time.
    pub(crate) fn seen(&self, since: Instant, period: Duration) -> Seen {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let mut late = Vec::new();
        for times in asked.iter() {
            let times = times.iter().filter(|time| **time >= since);
            // Where they would all be at once if none of them were late.
            let shifted: Vec<Duration> = (0_u32..)
                .zip(times)
                .map(|(index, time)| (*time + period * 10_000).duration_since(since) - period * index)
                .collect();
            let earliest = shifted.iter().min().copied().unwrap_or_default();
            late.extend(shifted.iter().map(|time| *time - earliest));
        }
        late.sort_unstable();
        Seen { asked: late.len(), late }
    }
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::with_capacity(512);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n").await
}
