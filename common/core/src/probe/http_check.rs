use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Predicate, StatusSet};

/// A request over HTTP, and what a good answer to it is. Redirects are not followed: one is an answer like any other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub struct HttpCheck {
    /// The path asked for, query included.
    pub path: String,
    /// The method; none: POST where there is a body, else GET.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// Headers of the request, by their names in lower case.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body that is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The statuses of a good answer.
    #[serde(default, skip_serializing_if = "StatusSet::is_usual")]
    pub status: StatusSet,
    /// What stands somewhere in the body of a good answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// What is true of that body, which is JSON.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub json: Vec<Predicate>,
}

/// A method of HTTP (RFC 9110, 9; RFC 5789) that a question may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
    /// OPTIONS
    Options,
}

/// The body of an answer, as far as it was read.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// It was longer than is read, or broke off.
    Part,
}

/// What an answer lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmet {
    /// Its status is another one.
    #[error("its status is none of {0}")]
    Status(StatusSet),
    /// Its body can't be looked at.
    #[error("its body broke off, or is longer than is read")]
    Part,
    /// A text isn't in it.
    #[error("'{0}' is not in it")]
    Contains(String),
    /// It is no JSON.
    #[error("it is no JSON")]
    NotJson,
    /// A predicate isn't true of it.
    #[error("`{predicate}` is not true: {found}")]
    Json {
        /// Which one.
        predicate: Predicate,
        /// What is there.
        found: String,
    },
}

impl HttpCheck {
    /// `GET path` must answer 2xx.
    pub fn get(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            method: None,
            headers: BTreeMap::new(),
            body: None,
            status: StatusSet::default(),
            contains: None,
            json: Vec::new(),
        }
    }

    /// The method that is used.
    pub fn method(&self) -> Method {
        self.method.unwrap_or(if self.body.is_some() { Method::Post } else { Method::Get })
    }

    /// Whether nothing but the path is said: `GET path` must answer 2xx.
    pub fn is_plain(&self) -> bool {
        *self == Self::get(&self.path)
    }

    /// Judges an answer.
    ///
    /// # Errors
    /// What it lacks first.
    pub fn judge(&self, status: u16, body: Body<'_>) -> Result<(), Unmet> {
        if !self.status.contains(status) {
            return Err(Unmet::Status(self.status.clone()));
        }
        if self.contains.is_none() && self.json.is_empty() {
            return Ok(());
        }
        let Body::Whole(bytes) = body else { return Err(Unmet::Part) };
        if let Some(text) = &self.contains
            && !String::from_utf8_lossy(bytes).contains(text.as_str())
        {
            return Err(Unmet::Contains(text.clone()));
        }
        if self.json.is_empty() {
            return Ok(());
        }
        let root = serde_json::from_slice(bytes).map_err(|_| Unmet::NotJson)?;
        self.json.iter().try_for_each(|predicate| {
            let unmet = |found| Unmet::Json { predicate: predicate.clone(), found };
            predicate.check(&root).map_err(unmet)
        })
    }

    /// What a good answer is, as the end of a sentence.
    pub(super) fn wanted(&self) -> String {
        let mut text = if self.status.is_usual() { "2xx".to_owned() } else { self.status.to_string() };
        if let Some(contains) = &self.contains {
            text.push_str(&format!(" with '{contains}' in it"));
        }
        for predicate in &self.json {
            text.push_str(&format!(" with {predicate}"));
        }
        text
    }
}

impl Method {
    /// As it stands in a request.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
        }
    }
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Get, Self::Head, Self::Post, Self::Put, Self::Patch, Self::Delete, Self::Options];
        let known = all.into_iter().find(|method| method.as_str() == text);
        known
            .ok_or_else(|| format!("'{text}' is no method here: one of {}", all.map(Self::as_str).join(", ")))
    }
}

impl fmt::Display for HttpCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method().as_str(), self.path)
    }
}

/// The path alone, where nothing else is said.
impl Serialize for HttpCheck {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_plain() { serializer.serialize_str(&self.path) } else { Self::serialize(self, serializer) }
    }
}

impl<'de> Deserialize<'de> for HttpCheck {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Path(String),
            #[serde(deserialize_with = "HttpCheck::deserialize")]
            Whole(HttpCheck),
        }
        Ok(match Written::deserialize(deserializer)? {
            Written::Path(path) => Self::get(&path),
            Written::Whole(check) => check,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_judged_by_status_text_and_predicates() {
        let check = HttpCheck {
            status: "200".parse().unwrap(),
            contains: Some("loaded".to_owned()),
            json: vec!["$.loaded == true".parse().unwrap(), "length($.heads) == 2".parse().unwrap()],
            ..HttpCheck::get("/up")
        };
        let judge = |status, body: &str| {
            check.judge(status, Body::Whole(body.as_bytes())).map_err(|unmet| unmet.to_string())
        };
        assert_eq!(judge(200, r#"{"loaded":true,"heads":[1,2]}"#), Ok(()));
        for (status, body, told) in [
            (204, "", "its status is none of 200"),
            (200, "{}", "'loaded' is not in it"),
            (200, "loaded", "it is no JSON"),
            (200, r#"{"loaded":false}"#, "`$.loaded == true` is not true: it is false"),
            (200, r#"{"loaded":true,"heads":[]}"#, "`length($.heads) == 2` is not true: it is 0"),
        ] {
            assert_eq!(judge(status, body), Err(told.to_owned()), "{body}");
        }
        assert_eq!(check.judge(200, Body::Part), Err(Unmet::Part));
        assert_eq!(HttpCheck::get("/up").judge(204, Body::Part), Ok(()));
        assert!(HttpCheck::get("/up").judge(302, Body::Part).is_err());
    }

    #[test]
    fn a_body_is_posted_unless_something_else_is_said() {
        let check = HttpCheck { body: Some(String::new()), ..HttpCheck::get("/") };
        assert_eq!(check.method(), Method::Post);
        assert_eq!(HttpCheck { method: Some(Method::Put), ..check }.to_string(), "PUT /");
        assert_eq!(HttpCheck::get("/").method(), Method::Get);
    }
}
