use std::mem::MaybeUninit;
use std::ops::Range;

use tokio::time::Instant;

use super::body::Body;
use super::request_head::{Arrived, MAX_FIELDS, RequestHead};
use crate::clients::Client;
use crate::exchange::{Exchange, Rejection};
use crate::targets::Lease;
use crate::tls::Challenges;

/// A request on its way to an application that was chosen for it.
#[derive(Debug)]
pub(crate) struct Errand {
    pub(crate) lease: Lease,
    /// The head that the application is sent.
    pub(crate) forwarded: Vec<u8>,
    id: Range<usize>,
    /// Bytes that the client has sent for it.
    pub(crate) length: usize,
    /// The answer has no body.
    pub(crate) head_only: bool,
    /// The client wants its connection closed after the answer.
    pub(crate) close: bool,
    pub(crate) began: Instant,
}

/// What a client wants next.
#[derive(Debug)]
pub(crate) enum Next {
    Errand(Errand),
    /// Something that the complete way is for.
    Other(Unanswered),
    /// What nobody may carry.
    Refused(Rejection),
    /// Another version of HTTP.
    Http2,
    /// Nothing any more.
    Nothing,
}

/// A request that the complete way is for.
#[derive(Debug)]
pub(crate) struct Unanswered {
    /// Bytes of its head.
    pub(crate) head: usize,
    pub(crate) body: Body,
    /// It asks for another protocol.
    pub(crate) upgrades: bool,
    /// An application has been sent it, and has closed the connection.
    pub(crate) seen: bool,
}

impl Errand {
    /// Reads what a client has sent, and chooses the application; none: more of it has to come.
    pub(crate) fn read(bytes: &[u8], client: &Client, exchange: &Exchange) -> Option<Next> {
        let mut room = [const { MaybeUninit::uninit() }; MAX_FIELDS];
        let head = match RequestHead::read(bytes, &mut room, client) {
            Arrived::Partial => return None,
            Arrived::Refused(rejection) => return Some(Next::Refused(rejection)),
            Arrived::Whole(head) => head,
        };
        let Some(lease) = choose(&head, client, exchange) else {
            let RequestHead { length, body, upgrades, .. } = head;
            return Some(Next::Other(Unanswered { head: length, body, upgrades, seen: false }));
        };
        let (forwarded, id) = head.forward(client, exchange.ids(), lease.stripped());
        let (length, head_only, close) = (head.length, head.is_head(), head.close);
        Some(Next::Errand(Self { lease, forwarded, id, length, head_only, close, began: Instant::now() }))
    }

    /// The same for the complete way.
    pub(crate) fn unanswered(&self, seen: bool) -> Unanswered {
        Unanswered { head: self.length, body: Body::Length(0), upgrades: false, seen }
    }

    /// The id that it carries.
    pub(crate) fn id(&self) -> &str {
        let id = self.forwarded.get(self.id.clone()).unwrap_or_default();
        std::str::from_utf8(id).unwrap_or_default()
    }
}

/// The application for a request that needs nothing but to be copied; whoever wants to know all about each request gets it
/// from the complete way.
fn choose(head: &RequestHead<'_, '_>, client: &Client, exchange: &Exchange) -> Option<Lease> {
    let may = head.is_simple
        && exchange.log().is_none()
        && client.may_ask_for(head.host)
        && !Challenges::is_path(head.path());
    let lease = if may { exchange.plain_lease(head.host, head.path())? } else { return None };
    let insists = lease.set().tls.as_ref().is_some_and(|tls| tls.concerns(client));
    (!insists).then_some(lease)
}
