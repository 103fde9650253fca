//! One question to the health service of gRPC (grpc.health.v1, <https://grpc.io/docs/guides/health-checking/>), over HTTP/2
//! without TLS. Its two messages have one field each, so they are written and read by hand.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::header::{CONTENT_TYPE, HeaderMap, TE, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::check::Checked;
use crate::question::driven;
use crate::{Machine, NoAnswer};

/// Bytes of an answer that are read: a whole one has 7.
const BODY_LIMIT: usize = 1 << 10;

/// What an answer says.
struct Reply {
    status: u16,
    headers: HeaderMap,
    trailers: HeaderMap,
    body: Bytes,
}

impl Machine {
    /// Asks whether `service` serves; the empty one is the server as a whole.
    pub(crate) async fn check_grpc(
        &self,
        address: SocketAddr,
        service: &str,
        limit: Duration,
    ) -> Result<Checked, NoAnswer> {
        let request = Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .header(USER_AGENT, "cutover-probe")
            .body(Full::<Bytes>::from(question(service)))
            .map_err(|source| NoAnswer::Question { question: format!("Check of {service}"), source })?;
        let http = |source| NoAnswer::Http { address, source };
        let ask = async {
            let stream = TokioIo::new(self.host().connect_tcp(address, limit).await?);
            let handshake = http2::handshake(TokioExecutor::new(), stream);
            let (mut sender, connection) = handshake.await.map_err(http)?;
            driven(connection, read(sender.send_request(request))).await.map_err(http)
        };
        let reply = self.within(address, limit, ask).await?;
        judged(&reply).map_err(|found| NoAnswer::Grpc { address, found })
    }
}

async fn read(response: impl Future<Output = hyper::Result<Response<Incoming>>>) -> hyper::Result<Reply> {
    let (head, body) = response.await?.into_parts();
    let collected = Limited::new(body, BODY_LIMIT).collect().await.ok();
    let trailers = collected.as_ref().and_then(|body| body.trailers().cloned()).unwrap_or_default();
    let body = collected.map(|body| body.to_bytes()).unwrap_or_default();
    Ok(Reply { status: head.status.as_u16(), headers: head.headers, trailers, body })
}

/// A `HealthCheckRequest` in its frame: not compressed, its length, and field 1, `service`, as text.
fn question(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        varint(service.len() as u64, &mut message);
        message.extend_from_slice(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], length.to_be_bytes().as_slice(), message.as_slice()].concat()
}

fn varint(mut number: u64, to: &mut Vec<u8>) {
    while number > 0x7f {
        to.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// What an answer says of the service.
///
/// # Errors
/// It is none of gRPC: what it is instead.
fn judged(reply: &Reply) -> Result<Checked, String> {
    if reply.status != 200 {
        return Err(format!("status {}", reply.status));
    }
    // An answer without a message has its status in the headers.
    let of = |name: &str| reply.trailers.get(name).or_else(|| reply.headers.get(name));
    let code = of("grpc-status").ok_or("there is no grpc-status")?.to_str().unwrap_or_default();
    if code != "0" {
        let message = of("grpc-message").and_then(|message| message.to_str().ok()).unwrap_or_default();
        return Ok(Checked::new(false, format!("grpc-status {code} \"{message}\"")));
    }
    let status = serving_status(&reply.body).ok_or("the message is no HealthCheckResponse")?;
    let name = match status {
        0 => "UNKNOWN",
        1 => "SERVING",
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "a status that isn't known",
    };
    Ok(Checked::new(status == 1, name.to_owned()))
}

/// Field 1 of a `HealthCheckResponse` in its frame; a status of 0 isn't written.
fn serving_status(frame: &[u8]) -> Option<u64> {
    let (head, message) = frame.split_at_checked(5)?;
    let length = u32::from_be_bytes(head.get(1..)?.try_into().ok()?);
    if head.first() != Some(&0) || usize::try_from(length).ok()? != message.len() {
        return None;
    }
    match message {
        [] => Some(0),
        [0x08, status] if *status < 0x80 => Some((*status).into()),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_a_frame_with_the_name_of_the_service() {
        assert_eq!(question(""), [0, 0, 0, 0, 0]);
        assert_eq!(question("a.B"), [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B']);
        let long = question(&"x".repeat(300));
        assert_eq!(long.get(..8).unwrap(), [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
    }

    #[test]
    fn an_answer_says_whether_it_serves() {
        let reply = |status: &str, body: &[u8]| {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", status.parse().unwrap());
            Reply { status: 200, headers: HeaderMap::new(), trailers, body: body.to_vec().into() }
        };
        let said = |reply: &Reply| judged(reply).map(|checked| (checked.passed, checked.said));
        let frame = |status: u8| [0, 0, 0, 0, 2, 0x08, status];
        for (status, passed, name) in
            [(1, true, "SERVING"), (2, false, "NOT_SERVING"), (3, false, "SERVICE_UNKNOWN")]
        {
            assert_eq!(said(&reply("0", &frame(status))), Ok((passed, name.to_owned())));
        }
        assert_eq!(said(&reply("0", &[0; 5])), Ok((false, "UNKNOWN".to_owned())));
        assert_eq!(said(&reply("12", &[])), Ok((false, "grpc-status 12 \"\"".to_owned())));
        assert!(said(&reply("0", b"<html>")).is_err());
        assert!(said(&reply("0", &[1, 0, 0, 0, 2, 0x08, 1])).is_err(), "compressed");
        assert!(said(&Reply { status: 404, ..reply("0", &frame(1)) }).is_err());
    }
}
