use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use hyper::body::{Body, Incoming};
use hyper::client::conn::TrySendError;
use hyper::header::{CONNECTION, EXPECT, HeaderValue};
use hyper::http::request;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode, Version};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::head::{self, Forward};
use crate::lease::Lease;
use crate::pool::Connection;
use crate::rejection::Rejection;
use crate::request_body::{RequestBody, Upload};
use crate::request_id::RequestIds;
use crate::response_body::ResponseBody;
use crate::route_table::RouteTable;
use crate::tunnel::tunnel;

/// Carries requests from clients to applications and the responses back.
#[derive(Debug)]
pub(crate) struct Exchange {
    routes: Arc<RouteTable>,
    /// Cancelled when the proxy is about to end: clients are told to come back on another connection.
    closing: CancellationToken,
    /// Upgraded connections.
    tunnels: TaskTracker,
    ids: RequestIds,
}

/// A request ready to be sent.
struct Outgoing {
    parts: request::Parts,
    host: HeaderValue,
    /// `None` where there is none to send.
    body: Option<Incoming>,
    upload: Option<Arc<Upload>>,
    /// Whether the client waits for 100.
    expects: bool,
    /// Whether it can be sent again although an application may have seen it.
    repeatable: bool,
    /// Whether another application may still be asked once one has not answered a repeatable request.
    repeats: bool,
    /// Whether an application may have seen it.
    seen: bool,
    /// The client's half of an upgraded connection, where it asks for one.
    upgrade: Option<OnUpgrade>,
}

/// An application's response, and the connection it comes on where that can be kept.
struct Answer {
    response: Response<Incoming>,
    lease: Lease,
    connection: Option<Connection>,
}

impl Exchange {
    pub(crate) fn new(routes: Arc<RouteTable>, closing: CancellationToken, tunnels: TaskTracker) -> Self {
        Self { routes, closing, tunnels, ids: RequestIds::default() }
    }

    /// Answers one request; `client` is the address it came from.
    pub(crate) async fn serve(
        &self,
        client: &HeaderValue,
        request: Request<Incoming>,
    ) -> Response<ResponseBody> {
        let mut response = match self.prepare(client, request) {
            Ok(outgoing) => self.carry(outgoing).await,
            Err(rejection) => rejection.into_response(),
        };
        if self.closing.is_cancelled() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn prepare(&self, client: &HeaderValue, mut request: Request<Incoming>) -> Result<Outgoing, Rejection> {
        let client_half = hyper::upgrade::on(&mut request);
        let (mut parts, body) = request.into_parts();
        let host = head::take_host(&mut parts)?;
        let protocol = head::wanted_upgrade(&parts);
        let body = (!body.is_end_stream()).then_some(body);
        let expects =
            body.is_some() && parts.version == Version::HTTP_11 && parts.headers.contains_key(EXPECT);
        let repeatable = body.is_none() && parts.method.is_idempotent();
        let forward = Forward {
            client,
            host: &host,
            upgrade: protocol.as_ref(),
            close: !repeatable,
            chunked: body.as_ref().is_some_and(|body| body.size_hint().exact().is_none()),
            expects,
            ids: &self.ids,
        };
        head::forward_request(&mut parts, &forward);
        let upgrade = protocol.map(|_| client_half);
        let upload = body.as_ref().map(|_| Upload::new());
        Ok(Outgoing {
            parts,
            host,
            body,
            upload,
            expects,
            repeatable,
            repeats: repeatable,
            seen: false,
            upgrade,
        })
    }

    async fn carry(&self, mut outgoing: Outgoing) -> Response<ResponseBody> {
        let began = Instant::now();
        let (rejection, lease) = match self.ask(&mut outgoing).await {
            Ok(answer) if answer.response.status() != StatusCode::SWITCHING_PROTOCOLS => {
                return pass_back(answer, began);
            }
            Ok(answer) => match outgoing.upgrade.take() {
                Some(client) => return self.upgrade(client, answer, began),
                None => (Rejection::UnaskedUpgrade, Some(answer.lease)),
            },
            Err(failed) => failed,
        };
        if let Some(lease) = &lease
            && rejection.status().is_server_error()
        {
            lease.set().counters.unanswered(began.elapsed());
            tracing::warn!(
                address = %lease.target().address(),
                deployment = lease.set().deployment,
                request_id = head::request_id(&outgoing.parts.headers),
                cause = rejection.source().map(tracing::field::display),
                "{}: {rejection}",
                rejection.status().as_u16()
            );
        }
        rejection.into_response()
    }

    /// Sends a request until an application answers it. Each try reads the routes anew, so that one which meets a
    /// set that has just been replaced goes on with the new one.
    async fn ask(&self, outgoing: &mut Outgoing) -> Result<Answer, (Rejection, Option<Lease>)> {
        let host = outgoing.host.clone();
        let host = host.to_str().unwrap_or_default();
        let mut tried: Vec<SocketAddr> = Vec::new();
        let mut failed = None;
        let mut may_reuse = outgoing.repeatable;
        loop {
            let lease = match self.routes.lease(host, &tried) {
                Ok(lease) => lease,
                Err(rejection) => return Err(failed.unwrap_or((rejection, None))),
            };
            let kept = if may_reuse { lease.target().pool().reuse().await } else { None };
            let connection = match kept {
                Some(connection) => Ok(connection),
                None => lease.target().pool().connect().await,
            };
            let (rejection, reused) = match connection {
                Ok(connection) => {
                    let reused = connection.reused;
                    match send(outgoing, &lease, connection).await {
                        Ok((response, connection)) => return Ok(Answer { response, lease, connection }),
                        Err(rejection) => (rejection, reused),
                    }
                }
                Err(error) => (Rejection::Unreachable(error), false),
            };
            match rejection {
                // A kept connection that was closed says nothing about the application.
                Rejection::NoAnswer(_) if reused => may_reuse = false,
                Rejection::Unreachable(_) | Rejection::NoAnswer(_) if outgoing.may_ask_another() => {
                    lease.target().rest();
                    tried.push(lease.target().address());
                    failed = Some((rejection, Some(lease)));
                }
                _ => return Err((rejection, Some(lease))),
            }
        }
    }

    fn upgrade(&self, client: OnUpgrade, answer: Answer, began: Instant) -> Response<ResponseBody> {
        let Answer { mut response, lease, .. } = answer;
        lease.set().counters.answered(response.status(), began.elapsed());
        let application = hyper::upgrade::on(&mut response);
        self.tunnels.spawn(tunnel(client, application, lease));
        let (mut parts, _) = response.into_parts();
        head::forward_upgrade(&mut parts.headers);
        Response::from_parts(parts, ResponseBody::empty())
    }
}

impl Outgoing {
    /// Without limit while no application can have seen the request; once more where seeing it twice does no harm
    /// (RFC 9110, 9.2.2).
    fn may_ask_another(&mut self) -> bool {
        !self.seen || std::mem::take(&mut self.repeats)
    }

    fn request(&mut self) -> Request<RequestBody> {
        let body = match (self.body.take(), &self.upload) {
            (Some(body), Some(upload)) => RequestBody::streaming(body, Arc::clone(upload), self.expects),
            _ => RequestBody::Empty,
        };
        let mut request = Request::from_parts(self.parts.clone(), body);
        if let (true, Some(upload)) = (self.expects, &self.upload) {
            let upload = Arc::clone(upload);
            hyper::ext::on_informational(&mut request, move |head| {
                if head.status() == StatusCode::CONTINUE {
                    upload.release();
                }
            });
        }
        self.seen = true;
        request
    }

    /// Takes back what could not be sent.
    fn unsent(&mut self, request: Request<RequestBody>) {
        self.seen = false;
        if let RequestBody::Streaming { body, .. } = request.into_body() {
            self.body = Some(body);
        }
    }

    fn no_answer(&mut self, mut error: TrySendError<Request<RequestBody>>) -> Rejection {
        if let Some(request) = error.take_message() {
            self.unsent(request);
        }
        let error = error.into_error();
        // The body that the client sends is what fails with an error of hyper itself.
        let of_body = error.is_user() && error.source().is_some_and(|cause| cause.is::<hyper::Error>());
        if of_body { Rejection::RequestBody(error) } else { Rejection::NoAnswer(error) }
    }
}

/// Sends a request over a connection and waits for the head of the response: as long as its set allows, counted from
/// the last piece of the request's body that moved.
async fn send(
    outgoing: &mut Outgoing,
    lease: &Lease,
    mut connection: Connection,
) -> Result<(Response<Incoming>, Option<Connection>), Rejection> {
    let request = outgoing.request();
    let limit = lease.set().response_limit;
    let mut deadline = tokio::time::Instant::now() + limit;
    let answer = connection.sender.try_send_request(request);
    // A connection that closes at this very moment may have emptied its queue just before the request was in it, where
    // the request would stay until the last sender is gone; with it, it comes back unsent.
    let connection = (!connection.sender.is_closed()).then_some(connection);
    tokio::pin!(answer);
    loop {
        tokio::select! {
            biased;
            answered = &mut answer => {
                let response = answered.map_err(|error| outgoing.no_answer(error))?;
                return Ok((response, connection.filter(|_| outgoing.repeatable)));
            }
            () = lease.target().cut().cancelled() => return Err(Rejection::Replaced),
            () = sleep_until(deadline) => match &outgoing.upload {
                Some(upload) if upload.last_moved() + limit > deadline => deadline = upload.last_moved() + limit,
                _ => return Err(Rejection::TooSlow),
            },
        }
    }
}

fn pass_back(answer: Answer, began: Instant) -> Response<ResponseBody> {
    let Answer { response, lease, connection } = answer;
    let status = response.status();
    lease.set().counters.answered(status, began.elapsed());
    let (mut parts, body) = response.into_parts();
    head::forward_response(&mut parts);
    Response::from_parts(parts, ResponseBody::application(body, lease, connection, !status.is_server_error()))
}
