use std::collections::HashMap;
use std::sync::Arc;

use super::Certified;
use crate::head::host_name;
use crate::routes::route;

/// All certificates by the names that they are for.
#[derive(Debug, Default)]
pub(crate) struct Showcase {
    exact: HashMap<String, Arc<Certified>>,
    /// By the name that they are one label below.
    wildcards: HashMap<String, Arc<Certified>>,
}

impl Showcase {
    /// Of two for one name, the one that its service was certified last is shown; of two services', the one that ends last.
    pub(crate) fn new<'a>(services: impl Iterator<Item = &'a [Arc<Certified>]>) -> Self {
        let mut showcase = Self::default();
        for certificates in services {
            let names =
                certificates.iter().flat_map(|one| one.status().names.iter().map(move |name| (name, one)));
            let of_service: HashMap<&String, &Arc<Certified>> = names.collect();
            for (name, certified) in of_service {
                let (all, name) = match route::wildcard(name) {
                    Some(below) => (&mut showcase.wildcards, below),
                    None => (&mut showcase.exact, name.as_str()),
                };
                let until = |certified: &Certified| certified.status().not_after;
                if all.get(name).is_none_or(|other| until(other) <= until(certified)) {
                    all.insert(name.to_owned(), Arc::clone(certified));
                }
            }
        }
        showcase
    }

    /// What is shown for a name in lower case at a time: the one that has the name itself comes before one that has it by a
    /// wildcard, unless it is over.
    pub(crate) fn find(&self, name: &str, unix_time: u64) -> Option<&Arc<Certified>> {
        let is_valid = |certified: &&Arc<Certified>| unix_time < certified.status().not_after;
        let exact = self.exact.get(name);
        exact
            .filter(is_valid)
            .or_else(|| self.by_wildcard(name).filter(|it| exact.is_none() || is_valid(it)))
            .or(exact)
    }

    /// Whether anything is shown for a host as it stands in a request.
    pub(crate) fn has(&self, host: &str) -> bool {
        let has = |name: &str| self.exact.contains_key(name) || self.by_wildcard(name).is_some();
        let name = host_name(host);
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            has(&name.to_ascii_lowercase())
        } else {
            has(name)
        }
    }

    fn by_wildcard(&self, name: &str) -> Option<&Arc<Certified>> {
        let (label, below) = name.split_once('.')?;
        if label.is_empty() { None } else { self.wildcards.get(below) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cutover_control::{Certificate, SecretText};
    use pem_rfc7468::{LineEnding, encode_string};
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::super::Terms;
    use super::*;

    fn certified(name: &str, until: i32) -> Arc<Certified> {
        let pem = |label, der: &[u8]| encode_string(label, LineEnding::LF, der).unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let chain = pem("CERTIFICATE", params.self_signed(&key).unwrap().der());
        let key = SecretText::new(pem("PRIVATE KEY", key.serialized_der()));
        let certificate = Certificate { chain, key, ordered_from: None };
        Arc::new(Certified::read(&certificate, &Terms::new().unwrap()).unwrap())
    }

    #[test]
    fn a_name_whose_own_certificate_is_over_is_shown_a_wildcard_that_is_not() {
        let (own, wildcard) = (certified("www.a.example", 2030), certified("*.a.example", 2031));
        let services = [vec![Arc::clone(&own)], vec![Arc::clone(&wildcard)]];
        let showcase = Showcase::new(services.iter().map(Vec::as_slice));
        let is_shown = |name: &str, at: u64, shown: &Arc<Certified>| {
            showcase.find(name, at).is_some_and(|found| Arc::ptr_eq(found, shown))
        };
        let [own_ends, wildcard_ends] = [&own, &wildcard].map(|certified| certified.status().not_after);
        assert!(is_shown("www.a.example", own_ends - 1, &own));
        assert!(is_shown("www.a.example", own_ends, &wildcard));
        assert!(is_shown("www.a.example", wildcard_ends, &own));
        assert!(is_shown("other.a.example", own_ends, &wildcard));
        assert!(showcase.has("WWW.a.example:443") && !showcase.has("a.example"));
    }

    #[test]
    fn of_two_for_one_name_the_services_last_one_is_shown_and_of_two_services_the_one_that_ends_last() {
        let [late, early, other] = [2032, 2030, 2031].map(|until| certified("a.example", until));
        let one = [Arc::clone(&late), Arc::clone(&early)];
        let find = |services: &[&[Arc<Certified>]]| {
            Showcase::new(services.iter().copied()).find("a.example", 0).cloned().unwrap()
        };
        assert!(Arc::ptr_eq(&find(&[&one]), &early));
        assert!(Arc::ptr_eq(&find(&[&one, &[Arc::clone(&other)]]), &other));
        assert!(Arc::ptr_eq(&find(&[&[Arc::clone(&late)], &[other]]), &late));
    }
}
