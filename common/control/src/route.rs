use serde::{Deserialize, Serialize};

/// Which requests are a service's: those to one of its hosts whose path begins with one of its prefixes.
///
/// The host decides first: a service that has it by name comes before one that has it by a wildcard, of those the longer
/// name first, and before the default service. Among the services of one host the longest prefix decides. What none of
/// them takes goes to the next in that order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Host names, compared without case and port; `*.example.com` stands for every name below `example.com`, at any
    /// depth. Empty: the default service, for what no other takes.
    pub hosts: Vec<String>,
    /// Absolute paths, compared by whole segments and as they are sent: `/api` stands for `/api` and all below it, not for
    /// `/apiary`. Empty: every path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path_prefixes: Vec<String>,
    /// Whether the application is asked for the path without the prefix, which it then finds in `X-Forwarded-Prefix`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub strip_path_prefix: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}
