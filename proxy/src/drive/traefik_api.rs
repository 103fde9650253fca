use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::drive::question::ask;
use crate::drive::traefik_config::TraefikConfig;

/// What a Traefik says that it does: `/api/rawdata`, as far as it is needed.
#[derive(Debug, Deserialize)]
pub(super) struct RawData {
    #[serde(default)]
    routers: BTreeMap<String, Router>,
    #[serde(default)]
    middlewares: BTreeMap<String, IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Router {
    /// What is wrong with it; then it isn't used.
    #[serde(default)]
    error: Vec<String>,
}

impl RawData {
    /// # Errors
    ///
    /// In words.
    pub(super) async fn ask(api: SocketAddr) -> Result<Self, String> {
        let answer = ask(api, "/api/rawdata").await?;
        serde_json::from_slice(&answer)
            .map_err(|error| format!("http://{api}/api/rawdata answers as no API of a Traefik: {error}"))
    }

    /// Whether a configuration is in force.
    pub(super) fn has(&self, config: &TraefikConfig) -> bool {
        self.middlewares.contains_key(&config.generation)
    }

    /// What Traefik says against a configuration that is in force.
    pub(super) fn complaint(&self, config: &TraefikConfig) -> Option<String> {
        config.routers.iter().find_map(|name| match self.routers.get(name) {
            None => Some(format!("it has no router {name}")),
            Some(router) if router.error.is_empty() => None,
            Some(router) => Some(format!("router {name}: {}", router.error.join(", "))),
        })
    }
}
