use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use cutover_control::Challenge;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::ServerConfig;
use thiserror::Error;

use super::Terms;
use crate::exchange::ResponseBody;
use crate::routes::route;

/// Where an authority asks for the answer to a token (RFC 8555, 8.3).
const PATH: &str = "/.well-known/acme-challenge/";

/// The protocol in which an authority asks by a handshake (RFC 8737, 3).
pub(crate) const PROTOCOL: &[u8] = b"acme-tls/1";

/// How long a challenge is answered. An order that takes longer is begun anew.
const LIFE: Duration = Duration::from_secs(60 * 60);

/// Challenges of each kind that are answered at once; the oldest goes first.
const MOST: usize = 100;

/// Bytes of an answer, which is a token and a hash.
const MAX_ANSWER: usize = 1024;

/// What is answered to a certificate authority.
#[derive(Debug, Default)]
pub(crate) struct Challenges(ArcSwap<Vec<Standing>>);

#[derive(Clone, Debug)]
struct Standing {
    challenge: Challenge,
    until: Instant,
    /// The handshake that answers it.
    config: Option<Arc<ServerConfig>>,
}

/// Why a challenge can't be answered.
#[derive(Debug, Error)]
pub(crate) enum Unanswerable {
    #[error("{0:?} is no token, or the answer is no key authorization of it (RFC 8555, 8.1 and 8.3)")]
    Token(String),
    #[error("{0:?} is no host name")]
    Host(String),
    #[error("{0:?} is not SHA-256 in hexadecimal")]
    Digest(String),
    #[error("making the certificate of the answer: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("showing the certificate of the answer: {0}")]
    Config(#[from] rustls::Error),
}

impl Challenges {
    /// Answers a challenge from now on. To be called by one at a time.
    ///
    /// # Errors
    ///
    /// [`Unanswerable`].
    pub(super) fn answer(&self, challenge: Challenge, terms: &Terms) -> Result<(), Unanswerable> {
        let now = Instant::now();
        let fresh = Standing { config: config(&challenge, terms)?, challenge, until: now + LIFE };
        let mut all: Vec<Standing> = self.0.load().to_vec();
        all.retain(|standing| standing.until > now && !standing.asks_the_same(&fresh));
        let alike = all.iter().filter(|standing| standing.is_like(&fresh)).count();
        if alike >= MOST
            && let Some(oldest) = all.iter().position(|standing| standing.is_like(&fresh))
        {
            all.remove(oldest);
        }
        all.push(fresh);
        self.0.store(Arc::new(all));
        Ok(())
    }

    /// Those that are answered, for another proxy to go on with.
    pub(crate) fn standing(&self) -> Vec<Challenge> {
        self.0.load().iter().map(|standing| standing.challenge.clone()).collect()
    }

    /// Whether a path may be one that an authority asks for.
    pub(crate) fn is_path(path: &str) -> bool {
        path.starts_with(PATH)
    }

    /// The answer to a request of an authority; none: it is no such request, or nobody here knows its token.
    pub(crate) fn http(&self, request: &Request<Incoming>) -> Option<Response<ResponseBody>> {
        let asked = request.uri().path().strip_prefix(PATH)?;
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            return None;
        }
        let answer = self.find(|challenge| match challenge {
            Challenge::Http01 { token, answer } if token == asked => Some(answer.clone()),
            _ => None,
        })?;
        let mut response = Response::new(ResponseBody::text(answer.0));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        Some(response)
    }

    /// The handshake that answers an authority that asks for a name.
    pub(super) fn tls(&self, name: &str) -> Option<Arc<ServerConfig>> {
        let asks = |challenge: &Challenge| match challenge {
            Challenge::TlsAlpn01 { host, .. } if host == name => Some(()),
            _ => None,
        };
        self.find(asks)?.1
    }

    fn find<T>(&self, pick: impl Fn(&Challenge) -> Option<T>) -> Option<(T, Option<Arc<ServerConfig>>)> {
        let now = Instant::now();
        let all = self.0.load();
        let mut standing = all.iter().filter(|standing| standing.until > now);
        standing.find_map(|standing| Some((pick(&standing.challenge)?, standing.config.clone())))
    }
}

impl Standing {
    fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(&self.challenge) == std::mem::discriminant(&other.challenge)
    }

    fn asks_the_same(&self, other: &Self) -> bool {
        match (&self.challenge, &other.challenge) {
            (Challenge::Http01 { token: one, .. }, Challenge::Http01 { token: other, .. }) => one == other,
            (Challenge::TlsAlpn01 { host: one, .. }, Challenge::TlsAlpn01 { host: other, .. }) => {
                one == other
            }
            _ => false,
        }
    }
}

/// Checks a challenge; gives the handshake that answers it, where it is answered by one.
fn config(challenge: &Challenge, terms: &Terms) -> Result<Option<Arc<ServerConfig>>, Unanswerable> {
    match challenge {
        Challenge::Http01 { token, answer } => {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            let is_token = !token.is_empty() && token.bytes().all(fits);
            let authorizes = answer.strip_prefix(token.as_str()).is_some_and(|rest| rest.starts_with('.'));
            if is_token && authorizes && answer.len() <= MAX_ANSWER {
                Ok(None)
            } else {
                Err(Unanswerable::Token(token.clone()))
            }
        }
        Challenge::TlsAlpn01 { host, digest } => {
            if !route::is_host(host) || route::wildcard(host).is_some() || *host != host.to_ascii_lowercase()
            {
                return Err(Unanswerable::Host(host.clone()));
            }
            let mut sha256 = [0; 32];
            hex::decode_to_slice(digest, &mut sha256).map_err(|_| Unanswerable::Digest(digest.clone()))?;
            let mut params = CertificateParams::new([host.clone()])?;
            params.custom_extensions.push(CustomExtension::new_acme_identifier(&sha256));
            let key = KeyPair::generate()?;
            let certificate = params.self_signed(&key)?.der().clone();
            Ok(Some(terms.config(terms.made(certificate, key.into())?, &[PROTOCOL])?))
        }
    }
}
