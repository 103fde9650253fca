//! Signing as each kind of sender does.

use base64::Engine;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

fn code(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// In hex digits.
pub(crate) fn hex_of(key: &str, text: &[u8]) -> String {
    hex::encode(code(key.as_bytes(), text))
}

/// As GitHub and Bitbucket write it.
pub(crate) fn sha256_of(key: &str, text: &[u8]) -> String {
    format!("sha256={}", hex_of(key, text))
}

/// As the Standard Webhooks have it, by a key in base 64.
pub(crate) fn standard_of(key: &str, id: &str, time: &str, body: &[u8]) -> String {
    let base64 = base64::engine::general_purpose::STANDARD;
    let text = [id.as_bytes(), b".", time.as_bytes(), b".", body].concat();
    format!("v1,{}", base64.encode(code(&base64.decode(key).unwrap(), &text)))
}

/// Seconds since 1970, some seconds from now.
pub(crate) fn time(away: i64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
    (i64::try_from(now.as_secs()).unwrap() + away).to_string()
}
