use cutover_control::Choice;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::cookie::{cookies, is_plain};

/// Knows the requests of testers.
#[derive(Clone, Debug)]
pub(crate) enum Marker {
    Header(HeaderName, HeaderValue),
    Cookie(String, String),
}

impl Marker {
    /// The error says what is wrong with the choice.
    pub(crate) fn new(choice: &Choice) -> Result<Self, String> {
        match choice {
            Choice::Header { name, value } => match (name.parse(), value.parse()) {
                (Ok(name), Ok(value)) => Ok(Self::Header(name, value)),
                (Err(_), _) => Err(format!("{name:?} is no name of a header field")),
                (_, Err(_)) => Err(format!("the value of the header field {name} can't stand in one")),
            },
            Choice::Cookie { name, value } => {
                if !is_plain(name) || name.contains('=') {
                    return Err(format!("{name:?} is no name of a cookie"));
                }
                if !is_plain(value) {
                    return Err(format!("the value of the cookie {name} can't stand in one"));
                }
                Ok(Self::Cookie(name.clone(), value.clone()))
            }
        }
    }

    pub(crate) fn marks(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Header(name, value) => headers.get_all(name).iter().any(|given| given == value),
            Self::Cookie(name, value) => cookies(headers, name).any(|given| given == value.as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn name_and_value_must_be_right() {
        let (name, value) = ("X-Try".to_owned(), "yes".to_owned());
        let header = Marker::new(&Choice::Header { name: name.clone(), value: value.clone() }).unwrap();
        let cookie = Marker::new(&Choice::Cookie { name: "try".to_owned(), value }).unwrap();
        for (field, given, by_header, by_cookie) in [
            ("x-try", "yes", true, false),
            ("x-try", "no", false, false),
            ("cookie", "a=b; try=yes", false, true),
            ("cookie", "try=yess; Try=yes", false, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_static(field), given.parse().unwrap());
            assert_eq!((header.marks(&headers), cookie.marks(&headers)), (by_header, by_cookie), "{given}");
        }
        for (name, value) in [("", "a"), ("a b", "a"), ("a", "b;c"), ("a=b", "c")] {
            let (name, value) = (name.to_owned(), value.to_owned());
            assert!(Marker::new(&Choice::Cookie { name, value }).is_err());
        }
        let value = "a\nb".to_owned();
        assert!(Marker::new(&Choice::Header { name, value }).is_err());
    }
}
