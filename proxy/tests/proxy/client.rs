use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::caller::LIMIT;

/// A client with one kept-alive connection.
pub(crate) struct Client<B = Full<Bytes>> {
    sender: SendRequest<B>,
    _driver: AbortOnDropHandle<()>,
}

impl<B> Client<B>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream).await
    }

    /// On a connection that is there already.
    pub(crate) async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let driver = tokio::spawn(async move {
            connection.with_upgrades().await.ok();
        });
        Self { sender, _driver: AbortOnDropHandle::new(driver) }
    }

    pub(crate) async fn send(&mut self, request: Request<B>) -> hyper::Result<Response<Incoming>> {
        timeout(LIMIT, async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        })
        .await
        .expect("no answer in time")
    }
}

impl Client {
    /// The status and the whole body.
    pub(crate) async fn ask(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<(StatusCode, String)> {
        let response = self.send(request).await?;
        let status = response.status();
        Ok((status, read(response).await?))
    }
}

pub(crate) async fn read(response: Response<Incoming>) -> hyper::Result<String> {
    let body = timeout(LIMIT, response.into_body().collect()).await.expect("no end in time")?;
    Ok(String::from_utf8(body.to_bytes().to_vec()).unwrap())
}

pub(crate) fn request(
    method: Method,
    host: &str,
    path: &str,
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    Request::builder().method(method).uri(path).header("host", host).body(Full::new(body.into())).unwrap()
}

pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    request(Method::GET, "app.example", path, "")
}

/// One GET on a connection of its own.
pub(crate) async fn get_once(address: SocketAddr, host: &str) -> (StatusCode, String) {
    let mut client = Client::connect(address).await;
    client.ask(request(Method::GET, host, "/", "")).await.unwrap()
}

/// Sends bytes as they are and reads until the other side closes or, where given, the answer ends so.
pub(crate) async fn raw(address: SocketAddr, sent: &str, end: Option<&str>) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    read_until(&mut stream, end).await
}

pub(crate) async fn read_until(stream: &mut TcpStream, end: Option<&str>) -> String {
    let mut received = Vec::new();
    let reading = async {
        let mut piece = [0; 4096];
        while !end.is_some_and(|end| received.ends_with(end.as_bytes())) {
            match stream.read(&mut piece).await {
                Ok(length) if length > 0 => received.extend_from_slice(&piece[..length]),
                _ => return,
            }
        }
    };
    timeout(LIMIT, reading).await.expect("the answer did not end in time");
    String::from_utf8(received).unwrap()
}
