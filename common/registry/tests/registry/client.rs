//! A registry client: hyper on a TCP connection that the registry serves.

use bytes::Bytes;
use cutover_registry::{PullRegistry, PushRegistry};
use cutover_store::{Digest, Store};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

pub(crate) const REPOSITORY: &str = "cutover/app";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

pub(crate) async fn store() -> (TempDir, Store) {
    let folder = TempDir::new().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    (folder, store)
}

/// The text of a descriptor of `content`.
pub(crate) fn descriptor(media_type: &str, content: &[u8]) -> String {
    let (digest, size) = (Digest::of(content), content.len());
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
}

/// The text of an image manifest.
pub(crate) fn manifest(media_type: &str, config: &[u8], layers: &[&[u8]]) -> String {
    let config = descriptor("application/vnd.oci.image.config.v1+json", config);
    let layer = |content: &&[u8]| descriptor("application/vnd.oci.image.layer.v1.tar", content);
    let layers = layers.iter().map(layer).collect::<Vec<_>>().join(",");
    format!(r#"{{"schemaVersion":2,"mediaType":"{media_type}","config":{config},"layers":[{layers}]}}"#)
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: hyper::HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn refused_with(&self, code: &str) -> bool {
        self.body.starts_with(format!(r#"{{"errors":[{{"code":"{code}","#).as_bytes())
    }
}

pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    pub(crate) async fn of_pull(registry: &PullRegistry) -> Self {
        let (server, client) = connection().await;
        let registry = registry.clone();
        tokio::spawn(async move { registry.serve_connection(server).await });
        Self::on(client).await
    }

    pub(crate) async fn of_push(registry: &PushRegistry) -> Self {
        let (server, client) = connection().await;
        let registry = registry.clone();
        tokio::spawn(async move { registry.serve_connection(server).await });
        Self::on(client).await
    }

    async fn on(stream: TcpStream) -> Self {
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender }
    }

    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body))).unwrap();
        self.sender.ready().await.unwrap();
        let (head, body) = self.sender.send_request(request).await.unwrap().into_parts();
        Answer { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], b"").await
    }

    pub(crate) async fn head(&mut self, path: &str) -> Answer {
        self.send(Method::HEAD, path, &[], b"").await
    }
}

pub(crate) async fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (listener.accept().await.unwrap().0, client)
}

pub(crate) fn blob(digest: &Digest) -> String {
    format!("/v2/{REPOSITORY}/blobs/{digest}")
}

pub(crate) fn at(reference: impl std::fmt::Display) -> String {
    format!("/v2/{REPOSITORY}/manifests/{reference}")
}
