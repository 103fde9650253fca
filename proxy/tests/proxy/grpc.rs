//! gRPC end to end: a real client and a real server with the proxy between them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use hyper::body::Incoming;
use hyper::http::uri::PathAndQuery;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};
use tower::service_fn;

use crate::caller::LIMIT;
use crate::http2_application::Http2Application;
use crate::proxy::Proxy;

/// Messages that are nothing but bytes.
#[derive(Clone, Copy, Default)]
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

type Messages = BoxStream<'static, Result<Bytes, Status>>;

/// A server of gRPC that knows one method of each kind, and one that never answers and says when it is called and cancelled.
async fn serve(calls: mpsc::UnboundedSender<&'static str>) -> Http2Application {
    Http2Application::serve(move |request: hyper::Request<Incoming>| {
        let calls = calls.clone();
        async move {
            let mut grpc = tonic::server::Grpc::new(Plain);
            match request.uri().path() {
                "/test.Echo/Unary" => grpc.unary(service_fn(unary), request).await,
                "/test.Echo/Count" => grpc.server_streaming(service_fn(count), request).await,
                "/test.Echo/Join" => grpc.client_streaming(service_fn(join), request).await,
                "/test.Echo/Converse" => grpc.streaming(service_fn(converse), request).await,
                "/test.Echo/Hang" => {
                    let hanging = service_fn(move |_: Request<Bytes>| hang(calls.clone()));
                    grpc.unary(hanging, request).await
                }
                _ => Status::unimplemented("there is no such method").into_http(),
            }
        }
    })
    .await
}

async fn unary(request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
    match request.get_ref().as_ref() {
        b"fail" => Err(Status::failed_precondition("as it was asked")),
        _ => Ok(Response::new(request.into_inner())),
    }
}

async fn count(request: Request<Bytes>) -> Result<Response<Messages>, Status> {
    let count = request.get_ref()[0];
    let messages = stream::iter((0..count).map(|number| Ok(Bytes::from(vec![number]))));
    let end = stream::iter([Err(Status::out_of_range("that was all"))]);
    Ok(Response::new(messages.chain(end).boxed()))
}

async fn join(request: Request<Streaming<Bytes>>) -> Result<Response<Bytes>, Status> {
    let mut messages = request.into_inner();
    let mut joined = Vec::new();
    while let Some(message) = messages.message().await? {
        joined.extend(message);
    }
    Ok(Response::new(joined.into()))
}

async fn converse(request: Request<Streaming<Bytes>>) -> Result<Response<Messages>, Status> {
    Ok(Response::new(request.into_inner().boxed()))
}

async fn hang(calls: mpsc::UnboundedSender<&'static str>) -> Result<Response<Bytes>, Status> {
    struct Cancelled(mpsc::UnboundedSender<&'static str>);
    impl Drop for Cancelled {
        fn drop(&mut self) {
            self.0.send("cancelled").ok();
        }
    }
    calls.send("called").ok();
    let _cancelled = Cancelled(calls);
    std::future::pending().await
}

async fn dial(proxy: &Proxy) -> Grpc<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", proxy.address)).unwrap();
    let mut client = Grpc::new(endpoint.connect().await.unwrap());
    client.ready().await.unwrap();
    client
}

fn method(name: &str) -> PathAndQuery {
    format!("/test.Echo/{name}").parse().unwrap()
}

async fn ask(client: &mut Grpc<Channel>, message: &'static str) -> Result<Bytes, Status> {
    client.ready().await.unwrap();
    let asked = client.unary(Request::new(Bytes::from(message)), method("Unary"), Plain);
    timeout(LIMIT, asked).await.expect("no answer in time").map(Response::into_inner)
}

/// A proxy with such a server behind it.
async fn start() -> (Proxy, Http2Application, mpsc::UnboundedReceiver<&'static str>) {
    let (calls, called) = mpsc::unbounded_channel();
    let app = serve(calls).await;
    let proxy = Proxy::start().await;
    proxy.switch_to_h2c(1, &[app.target()]).await;
    (proxy, app, called)
}

#[tokio::test]
async fn a_call_is_answered_with_its_status_also_where_that_is_an_error() {
    let (proxy, _app, _) = start().await;
    let mut client = dial(&proxy).await;
    assert_eq!(ask(&mut client, "message").await.unwrap(), "message");
    let status = ask(&mut client, "fail").await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "as it was asked"));
    client.ready().await.unwrap();
    let unknown = client.unary::<_, Bytes, _>(Request::new(Bytes::new()), method("Unknown"), Plain);
    assert_eq!(unknown.await.unwrap_err().code(), Code::Unimplemented);
    let active = proxy.status().await.active.unwrap();
    assert_eq!((active.requests, active.proxy_errors), (3, 0));
}

#[tokio::test]
async fn an_error_after_messages_comes_in_the_trailers() {
    let (proxy, _app, _) = start().await;
    let mut client = dial(&proxy).await;
    let asked = client.server_streaming(Request::new(Bytes::from_static(&[3])), method("Count"), Plain);
    let mut messages: Streaming<Bytes> = asked.await.unwrap().into_inner();
    for number in 0..3 {
        assert_eq!(messages.message().await.unwrap().unwrap(), vec![number]);
    }
    let status = messages.message().await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::OutOfRange, "that was all"));
}

#[tokio::test]
async fn a_client_may_stream() {
    let (proxy, _app, _) = start().await;
    let mut client = dial(&proxy).await;
    let messages = stream::iter(["a", "b", "c"]).map(Bytes::from);
    let joined: Response<Bytes> =
        client.client_streaming(Request::new(messages), method("Join"), Plain).await.unwrap();
    assert_eq!(joined.into_inner(), "abc");
}

#[tokio::test]
async fn both_sides_may_speak_by_turns() {
    let (proxy, _app, _) = start().await;
    let mut client = dial(&proxy).await;
    let (speak, spoken) = mpsc::unbounded_channel::<Bytes>();
    let spoken = stream::unfold(spoken, async |mut spoken| Some((spoken.recv().await?, spoken)));
    let asked = client.streaming(Request::new(spoken.boxed()), method("Converse"), Plain);
    // The answer begins although the request has not ended, nor even begun to say anything.
    let mut heard: Streaming<Bytes> = timeout(LIMIT, asked).await.unwrap().unwrap().into_inner();
    for word in ["one", "two", "three"] {
        speak.send(Bytes::from(word)).unwrap();
        assert_eq!(timeout(LIMIT, heard.message()).await.unwrap().unwrap().unwrap(), word);
    }
    drop(speak);
    assert!(timeout(LIMIT, heard.message()).await.unwrap().unwrap().is_none());
}

#[tokio::test]
async fn the_server_hears_of_a_deadline_and_of_a_client_that_cancels() {
    let (proxy, _app, mut called) = start().await;
    let mut client = dial(&proxy).await;
    let asked = client.unary::<_, Bytes, _>(Request::new(Bytes::new()), method("Hang"), Plain);
    tokio::select! {
        _ = asked => panic!("it was answered"),
        call = called.recv() => assert_eq!(call, Some("called")),
    }
    assert_eq!(timeout(LIMIT, called.recv()).await.unwrap(), Some("cancelled"));

    client.ready().await.unwrap();
    let mut request = Request::new(Bytes::new());
    request.set_timeout(Duration::from_millis(200));
    let status = client.unary::<_, Bytes, _>(request, method("Hang"), Plain).await.unwrap_err();
    assert!(matches!(status.code(), Code::Cancelled | Code::DeadlineExceeded), "{status:?}");
    assert_eq!(timeout(LIMIT, called.recv()).await.unwrap(), Some("called"));
    assert_eq!(timeout(LIMIT, called.recv()).await.unwrap(), Some("cancelled"));
    proxy.until(|status| status.active.as_ref().unwrap().targets[0].in_flight == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_servers_are_switched_and_stopped() {
    let (proxy, mut serving, _) = start().await;
    let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let (client, over, answered) = (dial(&proxy).await, Arc::clone(&over), Arc::clone(&answered));
        // Calls that share the client's connection.
        for _ in 0..4 {
            let (mut client, over, answered) = (client.clone(), Arc::clone(&over), Arc::clone(&answered));
            clients.spawn(async move {
                while !over.load(Relaxed) {
                    assert_eq!(ask(&mut client, "message").await.unwrap(), "message");
                    answered.fetch_add(1, Relaxed);
                }
            });
        }
    }
    for sequence in 2..52 {
        let before = answered.load(Relaxed);
        let next = serve(mpsc::unbounded_channel().0).await;
        proxy.switch_to_h2c(sequence, &[next.target()]).await;
        let retired = async {
            while !proxy.retire(sequence, &format!("d{sequence}")).await.unwrap().1.is_empty() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(LIMIT, retired).await.unwrap();
        serving = next;
        let moved = async {
            while answered.load(Relaxed) < before + 50 && clients.try_join_next().is_none() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(LIMIT, moved).await.unwrap();
    }
    over.store(true, Relaxed);
    assert_eq!(clients.len(), 16, "a call has failed");
    while let Some(client) = timeout(LIMIT, clients.join_next()).await.unwrap() {
        client.unwrap();
    }
    let active = proxy.status().await.active.unwrap();
    assert_eq!((active.proxy_errors, active.server_errors), (0, 0));
    drop(serving);
}
