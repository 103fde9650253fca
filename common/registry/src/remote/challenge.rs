//! How a registry asks for a name and a password.

use std::collections::BTreeMap;

use hyper::HeaderMap;
use hyper::header::WWW_AUTHENTICATE;

/// What a registry that doesn't let in wants to see (RFC 9110, section 11.6.1).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// The name and the password.
    Basic,
    /// A token, which is had for them elsewhere (Docker's token authentication specification).
    Token {
        /// The URL of who gives tokens out.
        realm: String,
        /// The registry's name there.
        service: Option<String>,
    },
}

impl Challenge {
    /// The one of an answer that can be met; tokens before passwords, which travel less then.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let all = headers.get_all(WWW_AUTHENTICATE).iter();
        let mut all: Vec<Self> =
            all.filter_map(|value| value.to_str().ok()).filter_map(Self::parse).collect();
        all.sort_by_key(|challenge| *challenge == Self::Basic);
        all.into_iter().next()
    }

    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut parameters = parameters(rest);
        Some(Self::Token { realm: parameters.remove("realm")?, service: parameters.remove("service") })
    }
}

/// `name="value", name=value`; a backslash within quotes makes the next character one like any other.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let (mut all, mut rest) = (BTreeMap::new(), text);
    while let Some((name, after)) = rest.split_once('=') {
        let (mut value, mut quoted, mut escaped, mut end) = (String::new(), false, false, after.len());
        for (at, character) in after.char_indices() {
            match character {
                _ if escaped => {
                    value.push(character);
                    escaped = false;
                }
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                ',' if !quoted => {
                    end = at + 1;
                    break;
                }
                _ => value.push(character),
            }
        }
        all.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        rest = &after[end..];
    }
    all
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<Challenge> {
        Challenge::of(&values.iter().map(|value| (WWW_AUTHENTICATE, value.parse().unwrap())).collect())
    }

    #[test]
    fn what_registries_ask_is_understood() {
        // As Docker Hub and Debian's docker-registry ask it.
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let token = |realm: &str, service: Option<&str>| Challenge::Token {
            realm: realm.to_owned(),
            service: service.map(str::to_owned),
        };
        assert_eq!(of(&[hub]), Some(token("https://auth.docker.io/token", Some("registry.docker.io"))));
        assert_eq!(of(&[r#"Basic realm="test""#]), Some(Challenge::Basic));
        assert_eq!(of(&["basic", hub]), of(&[hub]));
        let odd = r#"bearer Realm="https://a.example/t?x=1,2\"" , service=plain"#;
        assert_eq!(of(&[odd]), Some(token("https://a.example/t?x=1,2\"", Some("plain"))));
    }

    #[test]
    fn what_nobody_can_answer_is_no_question() {
        for value in ["Negotiate", "Bearer", "Bearer service=x", ""] {
            assert_eq!(of(&[value]), None, "{value}");
        }
        assert_eq!(of(&[]), None);
    }
}
