//! Sessions of others, as the server shows them.

use std::fmt;
use std::time::Duration;

/// A session on the server. What we may not see is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    /// Its id on the server, for `pg_terminate_backend`, or MySQL's `KILL`.
    pub id: i64,
    /// The role that it logged in as.
    pub role: Option<String>,
    /// What it calls itself (`application_name`); where it comes from, on MySQL, which knows no such name.
    pub application: Option<String>,
    /// What it is doing: `active`, `idle in transaction`, on MySQL `Query`, `Sleep` …
    pub state: Option<String>,
    /// How long its transaction has been open.
    pub transaction: Option<Duration>,
    /// How long ago its current query, or the last one, was sent.
    pub query: Option<Duration>,
}

impl Backend {
    /// Whether its transaction has been open for longer than `age`, as far as can be seen.
    pub(crate) fn is_older_than(&self, age: Duration) -> bool {
        self.transaction.is_some_and(|open| open > age)
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
        write!(f, "session {} ({}, role {}", self.id, unknown(&self.application), unknown(&self.role))?;
        if let Some(state) = &self.state {
            write!(f, ", {state}")?;
        }
        if let Some(age) = self.transaction {
            write!(f, ", transaction open for {:.1} s", age.as_secs_f64())?;
        }
        if let Some(age) = self.query {
            write!(f, ", query sent {:.1} s ago", age.as_secs_f64())?;
        }
        f.write_str(")")
    }
}

/// Sessions that are in the way.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Backends(pub Vec<Backend>);

impl fmt::Display for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, rest)) = self.0.split_first() else {
            return f.write_str("sessions that could not be seen");
        };
        first.fmt(f)?;
        rest.iter().try_for_each(|backend| write!(f, ", {backend}"))
    }
}
