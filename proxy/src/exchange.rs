//! The complete way of a request, on hyper: whatever the short one ([`crate::relay`]) can't carry, and whatever fails on it.
//!
//! A request is [`outgoing`] with its [`request_body`], and is sent again after failures as far as its [`tries`] and its [`replay`]
//! allow. The [`response_body`] goes on until its [`term`] is over or a [`silence`] is too long; a connection that leaves HTTP
//! becomes a [`tunnel()`]. What the proxy answers itself is a [`rejection`].

mod activity;
mod linger;
mod outgoing;
mod rejection;
mod replay;
mod request_body;
mod response_body;
mod silence;
mod term;
mod tries;
mod tunnel;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cutover_control::ApplicationProtocol;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode, Version};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access_log::{AccessLog, Record, Recorded};
use crate::clients::{Client, Trust};
use crate::head::{self, RequestIds};
use crate::relay::Room;
use crate::routes::RouteTable;
use crate::targets::{Connection, Kind, Lease, is_event_stream};
use crate::tls::Tls;
use crate::traffic::Stamp;
use tunnel::tunnel;

pub(crate) use outgoing::Outgoing;
pub(crate) use rejection::Rejection;
pub(crate) use request_body::{RequestBody, Upload};
pub(crate) use response_body::{ResponseBody, Truncated};
pub(crate) use term::Term;
pub(crate) use tries::Tries;

/// Carries requests from clients to applications and the responses back.
#[derive(Debug)]
pub(crate) struct Exchange {
    routes: Arc<RouteTable>,
    /// Cancelled when the proxy is about to end: clients are told to come back on another connection.
    closing: CancellationToken,
    /// Upgraded connections.
    tunnels: TaskTracker,
    ids: RequestIds,
    room: Room,
    /// The worker that it runs on.
    worker: usize,
    trust: Trust,
    tls: Arc<Tls>,
    /// Where requests are written down.
    log: Option<Arc<AccessLog>>,
}

/// An application's response, and the connection it comes on where that can be kept.
struct Answer {
    response: Response<Incoming>,
    lease: Lease,
    connection: Option<Connection>,
    stamp: Option<Stamp>,
}

impl Exchange {
    pub(crate) fn new(
        routes: Arc<RouteTable>,
        closing: CancellationToken,
        tunnels: TaskTracker,
        worker: usize,
        trust: Trust,
        ids: RequestIds,
        tls: Arc<Tls>,
    ) -> Self {
        Self { routes, closing, tunnels, ids, room: Room::default(), worker, trust, tls, log: None }
    }

    /// The same with an access log, where there is one.
    pub(crate) fn logging(mut self, log: Option<Arc<AccessLog>>) -> Self {
        self.log = log;
        self
    }

    pub(crate) fn log(&self) -> Option<&Arc<AccessLog>> {
        self.log.as_ref()
    }

    /// Whom it believes what is said of clients.
    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// As [`RouteTable::plain_lease`].
    pub(crate) fn plain_lease(&self, host: &str, path: &str) -> Option<Lease> {
        self.routes.plain_lease(host, path)
    }

    pub(crate) const fn ids(&self) -> &RequestIds {
        &self.ids
    }

    pub(crate) const fn worker(&self) -> usize {
        self.worker
    }

    pub(crate) const fn room(&self) -> &Room {
        &self.room
    }

    /// How handshakes are answered.
    pub(crate) fn tls(&self) -> &Tls {
        &self.tls
    }

    /// Answers one request of a client; `seen`: an application has been sent it already, and did not answer.
    pub(crate) async fn serve(
        &self,
        client: &Client,
        request: Request<Incoming>,
        seen: bool,
    ) -> Response<Recorded> {
        let mut record = Record::begin(self.log.as_ref(), client, &request);
        // HTTP/2 says it by a frame of its own.
        let says_close = request.version() < Version::HTTP_2;
        let mut response = match self.tls.challenges.http(&request) {
            Some(answer) => answer,
            None => match Outgoing::new(client, &self.ids, request) {
                Ok(outgoing) => self.carry(outgoing.seen_before(seen), &mut record).await,
                Err(rejection) => {
                    record.rejects(&rejection);
                    rejection.into_response()
                }
            },
        };
        if says_close && self.closing.is_cancelled() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        record.answers(&response);
        response.map(|body| Recorded::new(body, record))
    }

    async fn carry(&self, mut outgoing: Outgoing, record: &mut Record) -> Response<ResponseBody> {
        let mut began = Instant::now();
        record.forwards(&outgoing);
        let (rejection, lease) = match self.ask(&mut outgoing, record, &mut began).await {
            Ok(answer) if answer.response.status() != StatusCode::SWITCHING_PROTOCOLS => {
                let deadline = answer.lease.set().limits.total.map(|total| (began + total).into());
                return pass_back(answer, &outgoing, began, deadline);
            }
            Ok(answer) => match outgoing.take_upgrade() {
                Some(client) => return self.upgrade(client, answer, began, record),
                None => (Rejection::UnaskedUpgrade, Some(answer.lease)),
            },
            Err(failed) => failed,
        };
        if let Some(lease) = &lease
            && rejection.status().is_server_error()
        {
            lease.unanswered(&rejection, outgoing.id(), began.elapsed());
        }
        record.rejects(&rejection);
        rejection.into_response()
    }

    /// Sends a request until an application answers it. Each try reads the routes anew, so that one which meets a
    /// set that has just been replaced goes on with the new one.
    async fn ask(
        &self,
        outgoing: &mut Outgoing,
        record: &mut Record,
        began: &mut Instant,
    ) -> Result<Answer, (Rejection, Option<Lease>)> {
        let mut tries = Tries::default();
        let mut failed = None;
        let mut may_reuse = outgoing.is_repeatable();
        loop {
            let mut lease = match tries.lease(&self.routes, outgoing, self.worker).await {
                Ok(lease) => lease,
                Err(rejection) => return Err(failed.unwrap_or((rejection, None))),
            };
            record.asks(&lease);
            if tries.has_waited() {
                *began = Instant::now();
            }
            if let Some(tls) = &lease.set().tls {
                outgoing.check_scheme(tls, &self.tls).map_err(|rejection| (rejection, None))?;
            }
            let limits = &lease.set().limits;
            let protocol = lease.protocol();
            outgoing.check_length(limits).map_err(|rejection| (rejection, None))?;
            let deadline = limits.total.map(|total| (*began + total).into());
            let connect = deadline.map_or(limits.connect, |deadline| until(deadline).min(limits.connect));
            if let Err(rejection) = lease.take_slot(connect).await {
                return Err((rejection, Some(lease)));
            }
            let sent = match protocol {
                ApplicationProtocol::Http1 => self.send(outgoing, &lease, may_reuse, connect, deadline).await,
                // Boxed: the others would carry its size about for nothing.
                ApplicationProtocol::H2c => {
                    let sending = self.send_http2(outgoing, &mut lease, connect, deadline);
                    Box::pin(sending).await.map(|response| (response, None)).map_err(|(rejection, reused)| {
                        let refused = matches!(rejection, Rejection::NoAnswer(_)) && outgoing.is_unseen();
                        (rejection, (refused && tries.may_insist()) || (reused && may_reuse))
                    })
                }
            };
            let (rejection, reused) = match sent {
                Ok((response, connection)) => {
                    lease.target().succeeded();
                    return Ok(Answer { response, lease, connection, stamp: tries.stamp });
                }
                Err(failed) => failed,
            };
            if rejection.speaks_against_target(reused) {
                lease.set().failed(lease.target());
            }
            match rejection {
                // A kept connection that was closed says nothing about the application, nor does one that has refused it.
                Rejection::NoAnswer(_) if reused => {
                    lease.set().counters.retried();
                    may_reuse = false;
                }
                Rejection::Unreachable(_) | Rejection::NoAnswer(_) if outgoing.may_ask_another() => {
                    lease.set().counters.retried();
                    lease.leave_slot();
                    tries.failed(&lease);
                    failed = Some((rejection, Some(lease)));
                }
                _ => return Err((rejection, Some(lease))),
            }
        }
    }

    /// Sends a request over a kept connection, where it may, or a new one; a failure comes with whether it was a kept one.
    async fn send(
        &self,
        outgoing: &mut Outgoing,
        lease: &Lease,
        may_reuse: bool,
        connect: Duration,
        deadline: Option<tokio::time::Instant>,
    ) -> Result<(Response<Incoming>, Option<Connection>), (Rejection, bool)> {
        let kept = if may_reuse { lease.endpoint().pool().reuse(self.worker).await } else { None };
        let connection = match kept {
            Some(connection) => connection,
            None => {
                let connected = lease.connect(self.worker, connect).await;
                connected.map_err(|error| (Rejection::Unreachable(error), false))?
            }
        };
        let reused = connection.reused;
        outgoing.send(lease, connection, deadline).await.map_err(|rejection| (rejection, reused))
    }

    /// The same over one of HTTP/2, which any request may share.
    async fn send_http2(
        &self,
        outgoing: &mut Outgoing,
        lease: &mut Lease,
        connect: Duration,
        deadline: Option<tokio::time::Instant>,
    ) -> Result<Response<Incoming>, (Rejection, bool)> {
        let stream = lease.endpoint().streams().stream(self.worker, connect).await;
        let stream = stream.map_err(|error| (Rejection::Unreachable(error), false))?;
        lease.hold(stream.place);
        let sent = outgoing.send_http2(lease, stream.sender, deadline).await;
        sent.map_err(|rejection| (rejection, stream.reused))
    }

    fn upgrade(
        &self,
        client: OnUpgrade,
        answer: Answer,
        began: Instant,
        record: &mut Record,
    ) -> Response<ResponseBody> {
        let Answer { mut response, mut lease, .. } = answer;
        lease.becomes(Kind::Upgraded);
        lease.set().counters.answered(response.status(), began.elapsed());
        let application = hyper::upgrade::on(&mut response);
        record.answers(&response);
        self.tunnels.spawn(tunnel(client, application, lease, std::mem::take(record)));
        let (mut parts, _) = response.into_parts();
        head::forward_upgrade(&mut parts.headers);
        Response::from_parts(parts, ResponseBody::empty())
    }
}

fn until(deadline: tokio::time::Instant) -> Duration {
    deadline.saturating_duration_since(tokio::time::Instant::now())
}

fn pass_back(
    answer: Answer,
    outgoing: &Outgoing,
    began: Instant,
    deadline: Option<tokio::time::Instant>,
) -> Response<ResponseBody> {
    let Answer { response, mut lease, connection, stamp } = answer;
    let status = response.status();
    lease.set().counters.answered(status, began.elapsed());
    let (mut parts, body) = response.into_parts();
    head::forward_response(&mut parts);
    if let Some(stamp) = stamp {
        stamp.put(&mut parts.headers);
    }
    if let Some(tls) = &lease.set().tls
        && outgoing.is_secure()
    {
        tls.mark(&mut parts.headers);
    }
    // No stream of events has a length.
    if body.size_hint().exact().is_none() && is_event_stream(&parts.headers) {
        lease.becomes(Kind::Stream);
    }
    let counts = !status.is_server_error();
    Response::from_parts(
        parts,
        ResponseBody::application(body, lease, connection, outgoing.upload(), deadline, counts),
    )
}
