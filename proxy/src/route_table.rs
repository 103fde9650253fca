use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::head::host_name;
use crate::lease::Lease;
use crate::rejection::Rejection;
use crate::target_set::TargetSet;

/// How long [`RouteTable::install`] waits for readers of the old routes; each reads for less than a microsecond.
const READERS_LIMIT: Duration = Duration::from_secs(5);

/// Which requests go where; read without a lock, replaced as a whole.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    current: ArcSwap<Routes>,
}

/// One state of the table. A service without targets is routed, and answers 503.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    hosts: HashMap<String, Option<Arc<TargetSet>>>,
    default: Option<Option<Arc<TargetSet>>>,
}

impl Routes {
    /// Routes hosts (lower case), or with none all that no other service claims.
    pub(crate) fn add(&mut self, hosts: &[String], set: Option<&Arc<TargetSet>>) {
        if hosts.is_empty() {
            self.default = Some(set.cloned());
        }
        self.hosts.extend(hosts.iter().map(|host| (host.clone(), set.cloned())));
    }

    fn find(&self, host: &str) -> Option<&Option<Arc<TargetSet>>> {
        let name = host_name(host);
        let exact = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            self.hosts.get(&name.to_ascii_lowercase())
        } else {
            self.hosts.get(name)
        };
        exact.or(self.default.as_ref())
    }
}

impl RouteTable {
    /// A target for a request to a host, other than the ones already tried.
    ///
    /// # Errors
    ///
    /// [`Rejection::NoRoute`] or [`Rejection::NoTarget`].
    pub(crate) fn lease(&self, host: &str, tried: &[SocketAddr]) -> Result<Lease, Rejection> {
        let routes = self.current.load();
        let set = routes.find(host).ok_or(Rejection::NoRoute)?;
        set.as_ref().and_then(|set| set.lease(tried)).ok_or(Rejection::NoTarget)
    }

    /// Replaces the routes. When this returns, no request can begin on the old ones any more, and every request that
    /// has begun on them is counted as in flight: a target that shows none may be stopped.
    pub(crate) async fn install(&self, routes: Routes) {
        let old = self.current.swap(Arc::new(routes));
        // A reader that has loaded the old routes and not yet taken its lease holds a reference to them.
        let read = async {
            while Arc::strong_count(&old) > 1 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        if tokio::time::timeout(READERS_LIMIT, read).await.is_err() {
            tracing::error!("requests still read the old routes after {READERS_LIMIT:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn set(deployment: &str) -> Arc<TargetSet> {
        Arc::new(TargetSet::new(deployment, "r", Vec::new(), Arc::default(), Duration::from_secs(1)))
    }

    #[test]
    fn a_host_is_found_without_case_and_port_and_else_the_default_serves() {
        let mut routes = Routes::default();
        routes.add(&["a.example".to_owned()], Some(&set("a")));
        assert!(routes.find("b.example").is_none());
        routes.add(&[], Some(&set("default")));
        let found = |host| routes.find(host).unwrap().as_ref().unwrap().deployment.clone();
        assert_eq!(found("A.Example:8080"), "a");
        assert_eq!(found("a.example."), "a");
        assert_eq!(found("b.example"), "default");
        assert_eq!(found(""), "default");
    }
}
