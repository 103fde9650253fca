use serde::{Deserialize, Serialize};

use crate::{Ejection, HealthCheck, Port, Span, Tls};

/// What the proxy speaks to the replicas of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplicationProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 without TLS.
    H2c,
}

impl ApplicationProtocol {
    pub(crate) fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// How traffic reaches a service.
///
/// What was not there from the beginning isn't written while it is as usual, so that the release's id is the one that it
/// had before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routing {
    /// Host names that it answers to; `*.example.com` stands for every name below. None: what no other service takes.
    pub hosts: Vec<String>,
    /// Paths below which it answers, without a slash at their end. None: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path_prefixes: Vec<String>,
    /// Whether the application is asked without the prefix.
    #[serde(default = "usual_strip", skip_serializing_if = "is_usual_strip")]
    pub strip_path_prefix: bool,
    /// The limit until a replica accepts a connection.
    #[serde(default = "usual_connect", skip_serializing_if = "is_usual_connect")]
    pub connect_timeout: Span,
    /// The limit until an answer begins.
    pub response_timeout: Span,
    /// The longest silence within an answer or on an upgraded connection. No time at all: any silence is allowed.
    #[serde(default, skip_serializing_if = "Span::is_zero")]
    pub idle_timeout: Span,
    /// The bytes that the body of a request may have; none: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_request_body: Option<u64>,
    /// The limit of a request and its answer as a whole. No time at all: there is none.
    #[serde(default, skip_serializing_if = "Span::is_zero")]
    pub total_timeout: Span,
    /// For how long the share of a replica grows that has joined others or has come back. No time at all: it doesn't.
    #[serde(default, skip_serializing_if = "Span::is_zero")]
    pub slow_start: Span,
    /// Connections of the proxy to one replica at once; none: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u32>,
    /// Connections to one replica that the proxy keeps; none: as many as it likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_idle: Option<u32>,
    /// What is spoken to the replicas.
    #[serde(default, skip_serializing_if = "ApplicationProtocol::is_usual")]
    pub protocol: ApplicationProtocol,
    /// Other ports of the replicas.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// How replicas that serve are watched.
    #[serde(default, skip_serializing_if = "HealthCheck::is_usual")]
    pub health_check: HealthCheck,
    /// When a replica is left out whose requests fail.
    #[serde(default, skip_serializing_if = "Ejection::is_usual")]
    pub ejection: Ejection,
    /// How it is served over TLS; none: it isn't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

impl Routing {
    /// Whether a switcher that knows protocol 2 of the journal would do something else than is said: it leaves out what it
    /// doesn't know.
    pub(crate) fn needs_protocol_3(&self) -> bool {
        !self.ports.is_empty() || !self.health_check.is_usual() || !self.ejection.is_usual()
    }

    /// The host names of all ports, each once.
    pub fn all_hosts(&self) -> Vec<String> {
        let mut all = self.hosts.clone();
        for host in self.ports.iter().flat_map(|port| &port.hosts) {
            if !all.contains(host) {
                all.push(host.clone());
            }
        }
        all
    }
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            path_prefixes: Vec::new(),
            strip_path_prefix: usual_strip(),
            connect_timeout: usual_connect(),
            response_timeout: Span::seconds(30),
            idle_timeout: Span::default(),
            max_request_body: None,
            total_timeout: Span::default(),
            slow_start: Span::default(),
            max_connections: None,
            max_idle: None,
            protocol: ApplicationProtocol::default(),
            ports: Vec::new(),
            health_check: HealthCheck::default(),
            ejection: Ejection::default(),
            tls: None,
        }
    }
}

const fn usual_strip() -> bool {
    true
}

fn is_usual_strip(strip: &bool) -> bool {
    *strip == usual_strip()
}

const fn usual_connect() -> Span {
    Span::seconds(2)
}

fn is_usual_connect(limit: &Span) -> bool {
    *limit == usual_connect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::CertificateSource;

    #[test]
    fn what_is_as_usual_is_written_as_it_was_before_it_could_be_said() {
        let usual = Routing { hosts: vec!["a.example".into()], ..Routing::default() };
        let text = r#"{"hosts":["a.example"],"response_timeout":"30s"}"#;
        assert_eq!(serde_json::to_string(&usual).unwrap(), text);
        assert_eq!(serde_json::from_str::<Routing>(text).unwrap(), usual);
    }

    #[test]
    fn what_is_unusual_is_read_as_it_was_written() {
        let unusual = Routing {
            path_prefixes: vec!["/api".into()],
            strip_path_prefix: false,
            connect_timeout: Span::millis(500),
            idle_timeout: Span::seconds(60),
            max_request_body: Some(0),
            total_timeout: Span::seconds(300),
            slow_start: Span::seconds(20),
            max_connections: Some(5),
            max_idle: Some(0),
            protocol: ApplicationProtocol::H2c,
            ports: vec![Port {
                number: 50_051,
                hosts: vec!["grpc.example".into()],
                path_prefixes: vec!["/a".into()],
                strip_path_prefix: true,
                protocol: ApplicationProtocol::H2c,
            }],
            health_check: HealthCheck {
                period: Some(Span::seconds(2)),
                timeout: Some(Span::seconds(1)),
                successes: 2,
                failures: 5,
            },
            ejection: Ejection { failures: 0, base_time: Span::seconds(1), max_time: Span::seconds(10) },
            tls: Some(Tls {
                certificate: CertificateSource::Own {
                    certificate: "file:///chain.pem".parse().unwrap(),
                    key: "env://KEY".parse().unwrap(),
                },
                redirect: false,
                hsts: Span::seconds(60),
            }),
            ..Routing::default()
        };
        let text = serde_json::to_string(&unusual).unwrap();
        assert_eq!(serde_json::from_str::<Routing>(&text).unwrap(), unusual);
    }
}
