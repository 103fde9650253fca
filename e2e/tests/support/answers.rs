//! A web server that says what the test wants.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Answers each request with the same text, and keeps the last request.
pub struct Answers {
    pub address: SocketAddr,
    text: Arc<Mutex<String>>,
    asked: Arc<Mutex<String>>,
    serving: JoinHandle<()>,
}

impl Answers {
    pub async fn start(text: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (text, asked) = (Arc::new(Mutex::new(text.to_owned())), Arc::<Mutex<String>>::default());
        let shared = (Arc::clone(&text), Arc::clone(&asked));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (text, asked) = (shared.0.lock().unwrap().clone(), Arc::clone(&shared.1));
                tokio::spawn(async move { answer(stream, &text, &asked).await });
            }
        });
        Self { address, text, asked, serving }
    }

    /// What it says from now on.
    pub fn say(&self, text: &str) {
        text.clone_into(&mut self.text.lock().unwrap());
    }

    /// What it was asked last: head and body.
    pub fn asked(&self) -> String {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(mut stream: TcpStream, text: &str, asked: &Mutex<String>) {
    let mut request = Vec::new();
    let whole = |request: &[u8]| {
        let said = String::from_utf8_lossy(request).into_owned();
        let (head, body) = said.split_once("\r\n\r\n")?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        (body.len() >= length.unwrap_or_default()).then(|| said.clone())
    };
    let said = loop {
        if let Some(said) = whole(&request) {
            break said;
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(&piece[..read]),
        }
    };
    *asked.lock().unwrap() = said;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    let _ = stream.write_all(format!("{head}{text}").as_bytes()).await;
}
