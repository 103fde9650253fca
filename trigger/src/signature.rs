//! Whether a delivery is by somebody who knows the secret: HMAC-SHA-256 (RFC 2104), or the secret itself. All is compared in constant
//! time, by the HMAC library.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cutover_core::Timestamp;
use cutover_secrets::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::delivery::Delivery;
use crate::refusal::Refusal;

/// How far a signed time may be away from now, in seconds.
pub(crate) const WINDOW: u64 = 300;
/// What a signing token of the Standard Webhooks begins with; the rest is the key in base 64.
const TOKEN: &str = "whsec_";
/// Signatures of a delivery that are looked at: while a key is replaced, there is one of each.
const SIGNATURES: usize = 5;
/// The shortest secret, in bytes: 128 bits, were they all random.
const SHORTEST: usize = 16;

/// A secret that both know. It doesn't print.
pub(crate) struct Key {
    secret: Secret,
    /// The key that a signing token holds; none: it is no such token.
    token: Option<Secret>,
}

impl Key {
    /// # Errors
    /// Why it isn't used.
    pub(crate) fn new(secret: Secret) -> Result<Self, &'static str> {
        if secret.expose().len() < SHORTEST {
            return Err(
                "it is shorter than 16 bytes: make one with `openssl rand -hex 32`, and give it to both",
            );
        }
        let token = match secret.expose().strip_prefix(TOKEN) {
            // Kept as hex digits, as a secret is text.
            Some(text) => match STANDARD.decode(text) {
                Ok(key) if key.len() >= SHORTEST => Some(Secret::new(hex::encode(key))),
                _ => return Err("what follows whsec_ is no key in base 64 of at least 16 bytes"),
            },
            None => None,
        };
        Ok(Self { secret, token })
    }

    /// Whether it is a signing token of the Standard Webhooks.
    pub(crate) const fn is_token(&self) -> bool {
        self.token.is_some()
    }

    /// A header that has the HMAC of the body in hex digits, after `prefix`.
    pub(crate) fn verify_hex(
        &self,
        delivery: &Delivery<'_>,
        header: &'static str,
        prefix: &str,
    ) -> Result<(), Refusal> {
        self.verify_hex_of(delivery, header, prefix, &[delivery.body])
    }

    /// The same of the HMAC of some parts, one after the other.
    pub(crate) fn verify_hex_of(
        &self,
        delivery: &Delivery<'_>,
        header: &'static str,
        prefix: &str,
        parts: &[&[u8]],
    ) -> Result<(), Refusal> {
        let said = delivery.header(header).ok_or(Refusal::Unsigned(header))?;
        let said = said.strip_prefix(prefix).and_then(|digits| hex::decode(digits).ok());
        verify(self.secret.expose().as_bytes(), parts, &said.ok_or(Refusal::Forged(header))?, header)
    }

    /// A header that is the secret.
    pub(crate) fn verify_plain(&self, delivery: &Delivery<'_>, header: &'static str) -> Result<(), Refusal> {
        let said = delivery.header(header).ok_or(Refusal::Unsigned(header))?;
        self.is_said(said, header)
    }

    /// `Authorization` with the secret, alone or as a bearer's token.
    pub(crate) fn verify_authorization(&self, delivery: &Delivery<'_>) -> Result<(), Refusal> {
        const HEADER: &str = "authorization";
        let said = delivery.header(HEADER).ok_or(Refusal::Unsigned(HEADER))?;
        self.is_said(said.strip_prefix("Bearer ").unwrap_or(said), HEADER)
    }

    /// The headers of the Standard Webhooks: the HMAC of id, time and body, with points between, in base 64.
    pub(crate) fn verify_standard(&self, delivery: &Delivery<'_>, now: Timestamp) -> Result<(), Refusal> {
        const SIGNATURE: &str = "webhook-signature";
        let header = |name| delivery.header(name).ok_or(Refusal::Unsigned(name));
        let (signatures, id, time) =
            (header(SIGNATURE)?, header("webhook-id")?, header("webhook-timestamp")?);
        // It costs nothing, and the code does: whoever sends lacks the secret, for all that is known yet.
        is_now("webhook-timestamp", time, now)?;
        let key = self.token.as_ref().and_then(|token| hex::decode(token.expose()).ok());
        let parts = [id.as_bytes(), b".", time.as_bytes(), b".", delivery.body];
        let code = key.and_then(|key| mac(&key, &parts)).ok_or(Refusal::Forged(SIGNATURE))?;
        let said = signatures.split(' ').filter_map(|text| text.strip_prefix("v1,")).take(SIGNATURES);
        let mut said = said.filter_map(|text| STANDARD.decode(text).ok());
        // What is cloned has the body in it already.
        let is_so = said.any(|said| code.clone().verify_slice(&said).is_ok());
        if is_so { Ok(()) } else { Err(Refusal::Forged(SIGNATURE)) }
    }

    /// Compared by their codes: that takes as long whatever is different, and however long it is.
    fn is_said(&self, said: &str, header: &'static str) -> Result<(), Refusal> {
        let own = self.secret.expose().as_bytes();
        let code = mac(own, &[own]).map(|mac| mac.finalize().into_bytes()).ok_or(Refusal::Forged(header))?;
        verify(own, &[said.as_bytes()], &code, header)
    }
}

/// Whether a time in seconds since 1970, as a header has it, is about now. It has to be signed.
pub(crate) fn is_now(header: &'static str, time: &str, now: Timestamp) -> Result<(), Refusal> {
    let is_near = time.parse::<u64>().is_ok_and(|time| time.abs_diff(now.0 / 1000) <= WINDOW);
    if is_near { Ok(()) } else { Err(Refusal::Stale { header, window: WINDOW }) }
}

fn verify(key: &[u8], parts: &[&[u8]], said: &[u8], header: &'static str) -> Result<(), Refusal> {
    let is_so = mac(key, parts).is_some_and(|mac| mac.verify_slice(said).is_ok());
    if is_so { Ok(()) } else { Err(Refusal::Forged(header)) }
}

/// None never: a key of any length is one (RFC 2104, 3).
fn mac(key: &[u8], parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    for part in parts {
        mac.update(part);
    }
    Some(mac)
}
