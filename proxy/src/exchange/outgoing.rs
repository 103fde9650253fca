use std::error::Error;
use std::future::Future;
use std::sync::Arc;

use hyper::body::{Body, Incoming};
use hyper::client::conn::{TrySendError, http2};
use hyper::header::{EXPECT, HeaderMap, HeaderValue};
use hyper::http::request;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Version};
use tokio::time::{Instant, sleep_until};

use super::linger::linger;
use super::rejection::Rejection;
use super::replay::Replay;
use super::request_body::{RequestBody, Unsendable, Upload};
use crate::clients::Client;
use crate::head::{self, Forward, RequestIds, trace_context};
use crate::targets::{Connection, Kind, Lease, Limits};
use crate::tls::{Insistence, Tls};

type Unanswered = TrySendError<Request<RequestBody>>;

/// A request on its way to an application, and what is known of its way so far.
#[derive(Debug)]
pub(crate) struct Outgoing {
    parts: request::Parts,
    host: HeaderValue,
    /// `None` where there is none to send.
    body: Option<Incoming>,
    upload: Option<Arc<Upload>>,
    /// The body, once it has been sent to an application of HTTP/2.
    replay: Option<Replay>,
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

impl Outgoing {
    /// Makes a client's request one of this proxy.
    ///
    /// # Errors
    ///
    /// A rejection with a 4xx where the request can't be forwarded.
    pub(crate) fn new(
        client: &Client,
        ids: &RequestIds,
        mut request: Request<Incoming>,
    ) -> Result<Self, Rejection> {
        let client_half = hyper::upgrade::on(&mut request);
        let (mut parts, body) = request.into_parts();
        head::check(&parts)?;
        let host = head::take_host(&mut parts)?;
        if !client.may_ask_for(host.to_str().unwrap_or_default()) {
            return Err(Rejection::Misdirected);
        }
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
            ids,
        };
        head::forward_request(&mut parts, &forward);
        let upgrade = protocol.map(|_| client_half);
        let upload = body.as_ref().map(|_| Upload::new());
        Ok(Self {
            parts,
            host,
            body,
            upload,
            replay: None,
            expects,
            repeatable,
            repeats: repeatable,
            seen: false,
            upgrade,
        })
    }

    /// The same where an application has been sent it already: then no more than this one may be.
    pub(crate) fn seen_before(self, seen: bool) -> Self {
        Self { repeats: self.repeats && !seen, ..self }
    }

    pub(crate) fn host(&self) -> &str {
        self.host.to_str().unwrap_or_default()
    }

    /// The path as the client has sent it, without the query.
    pub(crate) fn path(&self) -> &str {
        self.parts.uri.path()
    }

    /// Its fields as the application gets them.
    pub(crate) const fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// Its head as the application gets it, but for a prefix that is stripped.
    pub(crate) const fn parts(&self) -> &request::Parts {
        &self.parts
    }

    /// Whether another application may be asked too, for nothing but to see what it does.
    pub(crate) fn may_be_mirrored(&self) -> bool {
        self.repeatable && matches!(self.parts.method, Method::GET | Method::HEAD) && self.upgrade.is_none()
    }

    pub(crate) fn id(&self) -> &str {
        head::request_id(&self.parts.headers)
    }

    /// The trace that it belongs to.
    pub(crate) fn trace_id(&self) -> Option<&str> {
        trace_context::trace_id(&self.parts.headers)
    }

    /// Whether the client, or the client of the operator's own proxy in front, has asked over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        head::is_secure(&self.parts.headers)
    }

    /// Sends the client to the same address with TLS, where a service insists on that and a certificate is there.
    ///
    /// # Errors
    ///
    /// [`Rejection::Insecure`].
    pub(crate) fn check_scheme(&mut self, insistence: &Insistence, tls: &Tls) -> Result<(), Rejection> {
        if !insistence.redirect || self.is_secure() {
            return Ok(());
        }
        let Some(location) = tls.secured(self.host(), &self.parts.uri) else { return Ok(()) };
        self.give_up_body();
        let may_change_method = [Method::GET, Method::HEAD].contains(&self.parts.method);
        Err(Rejection::Insecure { location, may_change_method })
    }

    /// How far the body has come, where there is one.
    pub(crate) fn upload(&self) -> Option<Arc<Upload>> {
        self.upload.clone()
    }

    pub(crate) fn is_repeatable(&self) -> bool {
        self.repeatable
    }

    /// The client's half of an upgraded connection, where it asked for one.
    pub(crate) fn take_upgrade(&mut self) -> Option<OnUpgrade> {
        self.upgrade.take()
    }

    /// Refuses a body that is said to be larger than the service takes.
    ///
    /// # Errors
    ///
    /// [`Rejection::BodyTooLarge`].
    pub(crate) fn check_length(&mut self, limits: &Limits) -> Result<(), Rejection> {
        let length = self.body.as_ref().and_then(|body| body.size_hint().exact());
        if length.is_none_or(|length| limits.request_body.is_none_or(|most| length <= most)) {
            return Ok(());
        }
        self.give_up_body();
        Err(Rejection::BodyTooLarge)
    }

    /// Gets rid of a body that nobody wants, so that the client reads the answer.
    fn give_up_body(&mut self) {
        // A client that waits for 100 has sent nothing yet, and to read would be to ask for it.
        if let Some(body) = self.body.take()
            && !self.expects
        {
            linger(body);
        }
    }

    /// Whether no application can have seen it.
    pub(crate) const fn is_unseen(&self) -> bool {
        !self.seen
    }

    /// Without limit while no application can have seen the request; once more where seeing it twice does no harm
    /// (RFC 9110, 9.2.2).
    pub(crate) fn may_ask_another(&mut self) -> bool {
        !self.seen || std::mem::take(&mut self.repeats)
    }

    /// Sends the request over a connection and waits for the head of the response: as long as the set allows, counted
    /// from the last piece of the request's body that moved, and no longer than until the request's time is `over`. Gives the connection back where it can be kept.
    pub(crate) async fn send(
        &mut self,
        lease: &Lease,
        mut connection: Connection,
        over: Option<Instant>,
    ) -> Result<(Response<Incoming>, Option<Connection>), Rejection> {
        let request = self.request(lease);
        let answer = connection.sender.try_send_request(request);
        // A connection that closes at this very moment may have emptied its queue just before the request was in it.
        // There it would stay unanswered until the last sender is gone; without one, it comes back unsent.
        let connection = (!connection.sender.is_closed()).then_some(connection);
        let response = self.answered(answer, lease, over).await?;
        Ok((response, connection.filter(|_| self.repeatable)))
    }

    /// The same over a connection of HTTP/2.
    pub(crate) async fn send_http2(
        &mut self,
        lease: &Lease,
        mut sender: http2::SendRequest<RequestBody>,
        over: Option<Instant>,
    ) -> Result<Response<Incoming>, Rejection> {
        let request = self.http2_request(lease)?;
        let answer = sender.try_send_request(request);
        drop(sender);
        let response = self.answered(answer, lease, over).await?;
        if let Some(replay) = &self.replay {
            replay.forget();
        }
        Ok(response)
    }

    async fn answered(
        &mut self,
        answer: impl Future<Output = Result<Response<Incoming>, Unanswered>>,
        lease: &Lease,
        over: Option<Instant>,
    ) -> Result<Response<Incoming>, Rejection> {
        let limit = lease.set().limits.response;
        let bounded = |deadline: Instant| over.map_or(deadline, |over| over.min(deadline));
        let mut deadline = bounded(Instant::now() + limit);
        tokio::pin!(answer);
        loop {
            tokio::select! {
                biased;
                answered = &mut answer => {
                    return answered.map_err(|error| self.no_answer(error, lease));
                }
                () = lease.target().cut(Kind::Request).cancelled() => return Err(Rejection::Replaced),
                () = sleep_until(deadline) => match &self.upload {
                    _ if over.is_some_and(|over| over <= deadline) => return Err(Rejection::OutOfTime),
                    Some(upload) if upload.last_moved() + limit > deadline => {
                        deadline = bounded(upload.last_moved() + limit);
                    }
                    Some(upload) if upload.waits_for_client() => return Err(Rejection::BodyTooSlow),
                    _ => return Err(Rejection::TooSlow),
                },
            }
        }
    }

    fn request(&mut self, lease: &Lease) -> Request<RequestBody> {
        let body = match (self.body.take(), &self.upload, &self.replay) {
            (Some(body), Some(upload), _) => {
                RequestBody::streaming(body, Arc::clone(upload), self.expects, lease.set())
            }
            (_, _, Some(replay)) => RequestBody::Again(replay.take()),
            _ => RequestBody::Empty,
        };
        let mut request = Request::from_parts(self.parts_for(lease), body);
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

    fn http2_request(&mut self, lease: &Lease) -> Result<Request<RequestBody>, Rejection> {
        let mut parts = self.parts_for(lease);
        head::forward_http2(&mut parts, lease.address())?;
        if let (Some(body), Some(upload)) = (self.body.take(), &self.upload) {
            // Not held back for 100, of which nothing is heard here.
            let body = RequestBody::streaming(body, Arc::clone(upload), false, lease.set());
            self.replay = Some(Replay::new(body));
        }
        let body =
            self.replay.as_ref().map_or(RequestBody::Empty, |replay| RequestBody::Again(replay.take()));
        self.seen = true;
        Ok(Request::from_parts(parts, body))
    }

    fn parts_for(&self, lease: &Lease) -> request::Parts {
        let mut parts = self.parts.clone();
        if let Some(prefix) = lease.stripped() {
            head::strip_prefix(&mut parts, prefix);
        }
        parts
    }

    /// Takes back what could not be sent.
    fn unsent(&mut self, request: Request<RequestBody>) {
        self.seen = false;
        if let RequestBody::Streaming { body, .. } = request.into_body() {
            self.body = Some(body);
        }
    }

    fn no_answer(&mut self, mut error: Unanswered, lease: &Lease) -> Rejection {
        if let Some(request) = error.take_message() {
            self.unsent(request);
        }
        let error = error.into_error();
        if is_unprocessed(&error) && self.replay.as_ref().is_none_or(Replay::is_whole) {
            self.seen = false;
        }
        match error.source().and_then(|cause| cause.downcast_ref()) {
            Some(Unsendable::TooLarge) => Rejection::BodyTooLarge,
            Some(Unsendable::Client(_)) => Rejection::RequestBody(error),
            // HTTP/2 says of a body that breaks off no more than that.
            None if self.replay.is_some()
                && self.upload.as_ref().is_some_and(|upload| upload.is_broken()) =>
            {
                let taken = self.upload.as_ref().map_or(0, |upload| upload.taken());
                match lease.set().limits.request_body {
                    Some(most) if taken > most => Rejection::BodyTooLarge,
                    _ => Rejection::RequestBody(error),
                }
            }
            Some(Unsendable::Superseded) | None => Rejection::NoAnswer(error),
        }
    }
}

/// Whether an application of HTTP/2 has said that it has not processed a request, nor ever will (RFC 9113, 6.8 and 8.7). A stream
/// that ends by a GOAWAY is one above the last that the application takes.
fn is_unprocessed(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    cause.is_some_and(|cause| {
        let refused = cause.is_reset() && cause.reason() == Some(h2::Reason::REFUSED_STREAM);
        cause.is_remote() && (refused || cause.is_go_away())
    })
}
