use serde::{Deserialize, Serialize};

use super::HttpCheck;

/// What a replica is asked, and what a good answer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// A request over HTTP, to the service's own port and in what it speaks.
    #[serde(rename = "path")]
    Http(Box<HttpCheck>),
    /// A connection over TCP is accepted.
    Tcp {
        /// The port; none: the service's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
    },
    /// The health service of gRPC says that it serves.
    Grpc(GrpcCheck),
    /// A command in its container exits with code 0.
    Command(Vec<String>),
    /// The image's own HEALTHCHECK, which Docker runs, says that it is healthy.
    Image {},
}

/// A question to the health service of gRPC (`grpc.health.v1.Health/Check`), over HTTP/2 without TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrpcCheck {
    /// The service that is asked about; empty: the server as a whole.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// The port; none: the service's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl Check {
    /// The question in words. `own` is the service's own port.
    pub fn question(&self, own: u16) -> String {
        match self {
            Self::Http(http) => format!("{http} on port {own}"),
            Self::Tcp { port } => format!("a connection to port {}", port.unwrap_or(own)),
            Self::Grpc(GrpcCheck { service, port }) => {
                let of = if service.is_empty() { String::new() } else { format!(" of {service}") };
                format!("grpc.health.v1.Health/Check{of} on port {}", port.unwrap_or(own))
            }
            Self::Command(command) => format!("`{}` in the container", command.join(" ")),
            Self::Image {} => "the image's HEALTHCHECK".to_owned(),
        }
    }

    /// What must come of the question, in words that follow it.
    pub fn wanted(&self) -> String {
        match self {
            Self::Http(http) => format!("must answer {}", http.wanted()),
            Self::Tcp { .. } => "must be accepted".to_owned(),
            Self::Grpc(_) => "must answer SERVING".to_owned(),
            Self::Command(_) => "must exit with code 0".to_owned(),
            Self::Image {} => "must say healthy".to_owned(),
        }
    }

    /// The path, where a proxy that can only ask `GET path` for 2xx asks the same question.
    pub fn plain_path(&self) -> Option<&str> {
        match self {
            // What stands in the body, no proxy looks at.
            Self::Http(http) => {
                let asked = HttpCheck { contains: None, json: Vec::new(), ..http.as_ref().clone() };
                asked.is_plain().then_some(http.path.as_str())
            }
            Self::Tcp { .. } | Self::Grpc(_) | Self::Command(_) | Self::Image {} => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_question_and_what_must_come_of_it_make_a_sentence() {
        let json = vec!["$.ok == true".parse().unwrap()];
        let deep = HttpCheck { json, status: "200, 204".parse().unwrap(), ..HttpCheck::get("/up") };
        let grpc = GrpcCheck { service: "a.B".to_owned(), port: Some(50_051) };
        for (check, sentence) in [
            (Check::Http(HttpCheck::get("/up").into()), "GET /up on port 80 must answer 2xx"),
            (Check::Http(deep.into()), "GET /up on port 80 must answer 200, 204 with $.ok == true"),
            (Check::Tcp { port: None }, "a connection to port 80 must be accepted"),
            (Check::Grpc(grpc), "grpc.health.v1.Health/Check of a.B on port 50051 must answer SERVING"),
            (
                Check::Command(vec!["a".to_owned(), "b".to_owned()]),
                "`a b` in the container must exit with code 0",
            ),
            (Check::Image {}, "the image's HEALTHCHECK must say healthy"),
        ] {
            assert_eq!(format!("{} {}", check.question(80), check.wanted()), sentence);
        }
    }

    #[test]
    fn a_proxy_asks_for_a_path_where_it_can() {
        let json = vec!["$.ok".parse().unwrap()];
        let looked_into = HttpCheck { json, ..HttpCheck::get("/up") };
        assert_eq!(Check::Http(looked_into.into()).plain_path(), Some("/up"));
        let posted = HttpCheck { body: Some("{}".to_owned()), ..HttpCheck::get("/up") };
        assert_eq!(Check::Http(posted.into()).plain_path(), None);
        assert_eq!(Check::Image {}.plain_path(), None);
    }
}
