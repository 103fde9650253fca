//! Clients that send what nobody should, in HTTP/2, frame by frame.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::application::Application;
use crate::caller::LIMIT;
use crate::hard_input::{ROOM, flood, proxy_to, serves};
use crate::process::Process;

// Types of frames (RFC 9113, 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The error of a client that asks for too much (RFC 9113, 7).
const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame that was read: its type, its stream, and what is in it.
type Frame = (u8, u32, Vec<u8>);

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Fields as literals that are not indexed (RFC 7541, 6.2.2).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| {
        let mut length = text.len();
        let mut encoded = Vec::new();
        if length < 127 {
            encoded.push(u8::try_from(length).unwrap());
        } else {
            encoded.push(127);
            length -= 127;
            while length >= 128 {
                encoded.push(u8::try_from(length % 128 + 128).unwrap());
                length /= 128;
            }
            encoded.push(u8::try_from(length).unwrap());
        }
        encoded.extend_from_slice(text.as_bytes());
        encoded
    };
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

const GET: [(&str, &str); 4] = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];

fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(&GET))
}

/// A connection on which both sides have said their settings.
async fn connect(proxy: &Process) -> TcpStream {
    let mut stream = TcpStream::connect(proxy.address).await.unwrap();
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat();
    stream.write_all(&preface).await.unwrap();
    stream
}

async fn next_frame(stream: &mut TcpStream) -> Option<Frame> {
    let reading = async {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload).await.ok()?;
        Some((head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload))
    };
    timeout(LIMIT, reading).await.expect("no frame in time")
}

/// All frames until one is as wished, or the other side closes.
async fn frames_until(stream: &mut TcpStream, wished: impl Fn(&Frame) -> bool) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some(frame) = next_frame(stream).await {
        let last = wished(&frame);
        frames.push(frame);
        if last {
            break;
        }
    }
    frames
}

/// All frames until the other side closes.
async fn frames(stream: &mut TcpStream) -> Vec<Frame> {
    frames_until(stream, |_| false).await
}

/// The error that the connection was ended with, where it was said.
fn goaway(frames: &[Frame]) -> Option<u32> {
    let (_, _, payload) = frames.iter().find(|(kind, ..)| *kind == GOAWAY)?;
    Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()))
}

#[tokio::test]
async fn a_request_that_is_malformed_never_comes_to_an_application() {
    let app = Application::named("one").await;
    let proxy = proxy_to(&app).await;
    let with = |fields: &[(&'static str, &'static str)]| [&GET[..], fields].concat();
    let without = |name: &str| GET.iter().filter(|(other, _)| *other != name).copied().collect::<Vec<_>>();
    for fields in [
        // Fields of a connection (RFC 9113, 8.2.2).
        with(&[("connection", "close")]),
        with(&[("connection", "upgrade"), ("upgrade", "websocket")]),
        with(&[("keep-alive", "timeout=5")]),
        with(&[("proxy-connection", "keep-alive")]),
        with(&[("transfer-encoding", "chunked")]),
        with(&[("te", "gzip")]),
        // Fields that are none (8.2.1).
        with(&[("", "empty")]),
        with(&[("Upper", "case")]),
        with(&[("na me", "a")]),
        with(&[("na:me", "a")]),
        with(&[("name", "a\r\nsmuggled: b")]),
        with(&[("name", "a\0b")]),
        with(&[("na\nme", "a")]),
        // Pseudo-fields (8.3).
        without(":method"),
        without(":path"),
        without(":scheme"),
        with(&[(":path", "/twice")]),
        with(&[("a", "b"), (":late", "c")]),
        with(&[(":unknown", "a")]),
        with(&[("host", "b")]),
        with(&[("host", "a"), ("host", "a")]),
        [&without(":path")[..], &[(":path", "")]].concat(),
        [&without(":path")[..], &[(":path", "/ HTTP/1.1\r\nsmuggled: a")]].concat(),
        [&without(":method")[..], &[(":method", "GET / HTTP/1.1\r\n")]].concat(),
        [&without(":authority")[..], &[(":authority", "user@a")]].concat(),
        [&without(":authority")[..], &[(":authority", "a b")]].concat(),
        with(&[("content-length", "5")]),
    ] {
        let mut stream = connect(&proxy).await;
        let asked = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&fields));
        stream.write_all(&asked).await.unwrap();
        let is_answer = |(kind, of, _): &Frame| *of == 1 && [HEADERS, RST_STREAM].contains(kind);
        let answered = frames_until(&mut stream, is_answer).await;
        // `:status: 400` as it stands in the static table (RFC 7541, A).
        let refuses = |(kind, _, payload): &Frame| *kind == RST_STREAM || payload.first() == Some(&0x8c);
        let refused = match answered.iter().find(|frame| is_answer(frame)) {
            Some(answer) => refuses(answer),
            None => goaway(&answered).is_some_and(|error| error != 0),
        };
        assert!(refused, "{fields:?} got {answered:?}");
    }
    assert_eq!(app.requests(), 0);
    serves(&proxy).await;
}

#[tokio::test]
async fn a_frame_that_breaks_the_rules_ends_the_connection() {
    let app = Application::named("one").await;
    let proxy = proxy_to(&app).await;
    let most = 0x7fff_ffff_u32.to_be_bytes();
    for sent in [
        frame(WINDOW_UPDATE, 0, 0, &most),
        frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
        frame(SETTINGS, 0, 0, &[&[0, 4][..], &[0xff; 4]].concat()),
        frame(SETTINGS, 0, 0, &[0; 5]),
        frame(PING, 0, 0, &[0; 7]),
        frame(DATA, 0, 0, b"x"),
        frame(DATA, 0, 1, &[0; 17_000]),
        frame(CONTINUATION, END_HEADERS, 1, &block(&GET)),
        frame(HEADERS, END_HEADERS, 2, &block(&GET)),
    ] {
        let mut stream = connect(&proxy).await;
        stream.write_all(&sent).await.unwrap();
        let answered = frames(&mut stream).await;
        assert!(goaway(&answered).is_some_and(|error| error != 0), "{:?} got {answered:?}", &sent[..9]);
    }
    serves(&proxy).await;
}

#[tokio::test]
async fn requests_that_are_taken_back_at_once_end_the_connection() {
    let (app, _asks, _gate) = Application::patient("never").await;
    let proxy = proxy_to(&app).await;
    let before = proxy.memory();
    let mut stream = connect(&proxy).await;
    let cancel = 8_u32.to_be_bytes();
    for number in 0..20_000 {
        let of = number * 2 + 1;
        if stream.write_all(&[get(of), frame(RST_STREAM, 0, of, &cancel)].concat()).await.is_err() {
            break;
        }
    }
    let answered = frames(&mut stream).await;
    assert!(goaway(&answered).is_none_or(|error| error == ENHANCE_YOUR_CALM), "{:?}", goaway(&answered));
    assert!(proxy.memory() < before + ROOM);
    let other = Application::named("other").await;
    proxy.switch(2, &[other.target()]).await;
    serves(&proxy).await;
}

#[tokio::test]
async fn a_head_without_end_ends_the_connection() {
    let app = Application::named("one").await;
    let proxy = proxy_to(&app).await;
    serves(&proxy).await;
    let before = (proxy.memory(), app.requests());
    let long = "x".repeat(16_000);
    let filler = block(&[("filler", &long)]);
    for piece in [frame(CONTINUATION, 0, 1, &filler), frame(CONTINUATION, 0, 1, &[])] {
        let mut stream = connect(&proxy).await;
        stream.write_all(&frame(HEADERS, END_STREAM, 1, &block(&GET))).await.unwrap();
        assert!(flood(&mut stream, &piece.repeat(100), 20_000).await < 20_000);
    }
    // One that ends, and is larger than what may be sent.
    let mut stream = connect(&proxy).await;
    stream.write_all(&frame(HEADERS, END_STREAM, 1, &block(&GET))).await.unwrap();
    stream.write_all(&frame(CONTINUATION, 0, 1, &filler).repeat(5)).await.unwrap();
    stream.write_all(&frame(CONTINUATION, END_HEADERS, 1, &filler)).await.ok();
    let is_answer = |(kind, of, _): &Frame| *of == 1 && [HEADERS, RST_STREAM].contains(kind);
    frames_until(&mut stream, is_answer).await;
    assert_eq!(app.requests(), before.1);
    assert!(proxy.memory() < before.0 + ROOM);
    serves(&proxy).await;
}

#[tokio::test]
async fn frames_that_want_an_answer_are_not_answered_to_one_who_reads_none() {
    let app = Application::named("one").await;
    let proxy = proxy_to(&app).await;
    serves(&proxy).await;
    let before = proxy.memory();
    for piece in
        [frame(PING, 0, 0, &[7; 8]), frame(SETTINGS, 0, 0, &[]), frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1])]
    {
        let mut stream = connect(&proxy).await;
        let sent = flood(&mut stream, &piece.repeat(1_000), 3_000).await;
        assert!(proxy.memory() < before + ROOM, "{sent}");
        serves(&proxy).await;
    }
}

#[tokio::test]
async fn a_client_has_no_more_requests_at_once_than_it_may() {
    const ASKED: u32 = 600;
    let (app, _asks, _gate) = Application::patient("never").await;
    let proxy = proxy_to(&app).await;
    let before = proxy.memory();
    let mut stream = connect(&proxy).await;
    let all: Vec<u8> = (0..ASKED).flat_map(|number| get(number * 2 + 1)).collect();
    stream.write_all(&all).await.ok();
    let answered = frames_until(&mut stream, |(kind, ..)| *kind == RST_STREAM).await;
    assert!(answered.iter().any(|(kind, ..)| [RST_STREAM, GOAWAY].contains(kind)), "{answered:?}");
    assert!(app.requests() <= 250, "{}", app.requests());
    assert!(proxy.memory() < before + ROOM);
}
