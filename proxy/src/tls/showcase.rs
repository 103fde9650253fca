use std::collections::HashMap;
use std::sync::Arc;

use super::Certified;
use crate::head::host_name;
use crate::route;

/// All certificates by the names that they are for.
#[derive(Debug, Default)]
pub(crate) struct Showcase {
    exact: HashMap<String, Arc<Certified>>,
    /// By the name that they are one label below.
    wildcards: HashMap<String, Arc<Certified>>,
}

impl Showcase {
    /// Of two for one name, the one that ends last is shown.
    pub(crate) fn new<'a>(certificates: impl Iterator<Item = &'a Arc<Certified>>) -> Self {
        let mut showcase = Self::default();
        let mut certificates: Vec<_> = certificates.collect();
        certificates.sort_by_key(|certified| certified.status().not_after);
        for certified in certificates {
            for name in &certified.status().names {
                match route::wildcard(name) {
                    Some(below) => showcase.wildcards.insert(below.to_owned(), Arc::clone(certified)),
                    None => showcase.exact.insert(name.clone(), Arc::clone(certified)),
                };
            }
        }
        showcase
    }

    /// What is shown for a name in lower case: the one that has the name itself comes before one that has it by a wildcard.
    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Certified>> {
        self.exact.get(name).or_else(|| {
            let (label, below) = name.split_once('.')?;
            if label.is_empty() { None } else { self.wildcards.get(below) }
        })
    }

    /// What is shown for a host as it stands in a request.
    pub(crate) fn find_host(&self, host: &str) -> Option<&Arc<Certified>> {
        let name = host_name(host);
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            self.find(&name.to_ascii_lowercase())
        } else {
            self.find(name)
        }
    }
}
