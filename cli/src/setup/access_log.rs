use std::num::NonZero;

use bollard::models::ContainerInspectResponse;

use super::container::{is_switched_on, options};

const ON: &str = "--access-log";
const QUERY: &str = "--access-log-query";
const HEADER: &str = "--access-log-header";
const RATE: &str = "--access-log-rate";

/// What the proxy is to say of requests; what isn't given stays as it is.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct AccessLog {
    /// The proxy writes one line of JSON for each request to its container's log; =false ends that [default: as it is]
    #[arg(long = "access-log", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    on: Option<bool>,
    /// With the query of each request, which may hold tokens; =false ends that [default: as it is]
    #[arg(long = "access-log-query", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    query: Option<bool>,
    /// With a field of requests and responses, as in user-agent; may be given several times [default: those that it logs]
    #[arg(long = "access-log-header", value_name = "NAME")]
    headers: Vec<String>,
    /// The most lines in a second [default: as it is, and else 1000]
    #[arg(long = "access-log-rate", value_name = "LINES")]
    rate: Option<NonZero<u32>>,
}

impl AccessLog {
    /// The options of the proxy that say so; `found` is the container that is there.
    pub(super) fn words(&self, found: Option<&ContainerInspectResponse>) -> Vec<String> {
        let was = |name| found.is_some_and(|found| is_switched_on(found, name));
        let had = |name| found.into_iter().flat_map(move |found| options(found, name)).map(str::to_owned);
        let asked = self.query == Some(true) || !self.headers.is_empty() || self.rate.is_some();
        if !self.on.unwrap_or(asked || was(ON)) {
            return Vec::new();
        }
        let query = self.query.unwrap_or_else(|| was(QUERY)).then(|| QUERY.to_owned());
        let headers = match self.headers.is_empty() {
            true => had(HEADER).collect(),
            false => self.headers.clone(),
        };
        let rate = self.rate.map(|rate| rate.to_string()).or_else(|| had(RATE).next());
        let pairs = headers.into_iter().map(|name| [HEADER.to_owned(), name]);
        let pairs = pairs.chain(rate.map(|rate| [RATE.to_owned(), rate])).flatten();
        [ON.to_owned()].into_iter().chain(query).chain(pairs).collect()
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::ContainerConfig;

    use super::*;

    fn told(words: &[String]) -> ContainerInspectResponse {
        let config = ContainerConfig { cmd: Some(words.to_vec()), ..ContainerConfig::default() };
        ContainerInspectResponse { config: Some(config), ..ContainerInspectResponse::default() }
    }

    #[test]
    fn what_is_not_given_stays_as_it_is() {
        assert!(AccessLog::default().words(None).is_empty());
        let given = AccessLog {
            on: Some(true),
            query: Some(true),
            headers: vec!["user-agent".to_owned(), "referer".to_owned()],
            rate: NonZero::new(7),
        };
        let words = given.words(None);
        assert_eq!(
            words.join(" "),
            "--access-log --access-log-query --access-log-header user-agent --access-log-header referer \
             --access-log-rate 7"
        );
        assert_eq!(AccessLog::default().words(Some(&told(&words))), words);
        let other =
            AccessLog { query: Some(false), headers: vec!["server".to_owned()], ..AccessLog::default() };
        assert_eq!(
            other.words(Some(&told(&words))).join(" "),
            "--access-log --access-log-header server --access-log-rate 7"
        );
        let off = AccessLog { on: Some(false), ..AccessLog::default() };
        assert!(off.words(Some(&told(&words))).is_empty());
        let rate = AccessLog { rate: NonZero::new(7), ..AccessLog::default() };
        assert_eq!(rate.words(None).join(" "), "--access-log --access-log-rate 7");
    }
}
