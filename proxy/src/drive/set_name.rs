//! What a deployment of a service is called in the other proxy's configuration.

use std::fmt::Write;

use cutover_control::ServiceKey;

/// The name of a service: one word of letters, digits, `-`, `_` and `.`; no two services have the same.
pub(super) fn service_name(key: &ServiceKey) -> String {
    format!("{}.{}", word(&key.destination), word(&key.service))
}

/// The name of a deployment of a service, and of nothing else: what is counted is counted by it.
pub(super) fn set_name(key: &ServiceKey, deployment: &str) -> String {
    format!("{}.{}", service_name(key), word(deployment))
}

/// Capitals too are written by their numbers: nginx compares without case.
fn word(text: &str) -> String {
    text.bytes().fold(String::new(), |mut word, byte| {
        if byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' {
            word.push(char::from(byte));
        } else {
            // Writing to a string can't fail.
            let _ = write!(word, "_{byte:02x}");
        }
        word
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_deployments_have_the_same_name() {
        let name = |destination: &str, service: &str, deployment: &str| {
            set_name(&ServiceKey::new(destination, service), deployment)
        };
        assert_eq!(name("production", "shop-2", "01jd"), "production.shop-2.01jd");
        assert_eq!(name("a.b", "c", "D e"), "a_2eb.c._44_20e");
        assert_ne!(name("a", "b.c", "d"), name("a.b", "c", "d"));
        assert_ne!(name("a", "b", "d"), name("a", "b", "D"));
    }
}
