//! The key `proxy.tls`: how the service is served over TLS. `true`, or a section.

use std::net::IpAddr;

use super::error::{Problem, Problems};
use super::node::{Node, Value};
use super::raw::{Acme, Tls};
use super::section::{Section, scalar};
use super::text::{acme_directory, email};
use super::units::{flag, max_age};
use crate::{CertificateSource, LETS_ENCRYPT, Proof};

/// Reads what stands at the key.
pub(super) fn tls(path: String, node: &Node, problems: &mut Problems) -> Tls {
    if !matches!(node.value, Value::Map(_)) {
        let is_on = scalar(&path, node, flag, problems);
        return Tls { place: Some(node.place), is_on, ..Tls::default() };
    }
    let Some(mut section) = Section::of(path, node, problems) else { return Tls::default() };
    let own = ["certificate", "key"].map(|key| {
        section.node(key).inspect(|node| problems.hide(node));
        section.value(key, str::parse, problems)
    });
    let has_own = section.node("certificate").or(section.node("key")).is_some();
    if let Some(node) = section.node("acme").filter(|_| has_own) {
        let both =
            Problem::new(&section.path_of("acme"), node.place, "there is a certificate of your own too");
        problems.add(both.hint("leave out `acme` to use it, or `certificate` and `key` to have one ordered"));
    }
    let acme = section.section("acme", problems).map(|section| acme(section, problems));
    let [certificate, key] = own;
    let tls = Tls {
        place: section.place,
        is_on: Some(true),
        certificate,
        key,
        acme,
        redirect: section.value("redirect", flag, problems),
        hsts: section.value("hsts", max_age, problems),
    };
    section.done(problems);
    tls
}

fn acme(mut section: Section<'_>, problems: &mut Problems) -> Acme {
    let acme = Acme {
        directory: section.value("directory", acme_directory, problems),
        email: section.value("email", email, problems),
        proof: section.value("challenge", proof, problems),
    };
    section.done(problems);
    acme
}

fn proof(text: &str) -> Result<Proof, String> {
    match text {
        "http" => Ok(Proof::Http),
        "tls-alpn" => Ok(Proof::Handshake),
        _ => Err(format!("'{text}' is neither http nor tls-alpn")),
    }
}

/// What a destination makes of it. None where there is no TLS, or something is wrong; the problems say what.
///
/// `path` is where it stands, `destination` says in which one it is so.
pub(super) fn resolved(
    tls: Tls,
    hosts: &[String],
    path: &str,
    destination: &str,
    problems: &mut Problems,
) -> Option<crate::Tls> {
    if !tls.is_on? {
        return None;
    }
    let mut wrong = |message: String, hint: &str| {
        problems.add(Problem::new(path, tls.place, message).hint(hint));
        None
    };
    let certificate = match (tls.certificate, tls.key) {
        (Some(certificate), Some(key)) => CertificateSource::Own { certificate, key },
        (Some(_), None) => {
            let message = format!("no key is given for destination '{destination}'");
            return wrong(message, "add `key: file:///path/to/key.pem`, beside the certificate");
        }
        (None, Some(_)) => {
            let message = format!("no certificate is given for destination '{destination}'");
            return wrong(message, "add `certificate: file:///path/to/chain.pem`, beside the key");
        }
        (None, None) => {
            if hosts.is_empty() {
                let message =
                    format!("a certificate is ordered for hosts, and destination '{destination}' names none");
                return wrong(
                    message,
                    "name them, `hosts: [example.com]`, or give a certificate of your own: `tls: {certificate: …, key: …}`",
                );
            }
            let cannot = |host: &&String| host.starts_with("*.") || host.parse::<IpAddr>().is_ok();
            if let Some(host) = hosts.iter().find(cannot) {
                let message = format!(
                    "a certificate can be ordered for host names alone, and destination '{destination}' answers to {host}"
                );
                return wrong(message, "give a certificate of your own: `tls: {certificate: …, key: …}`");
            }
            let acme = tls.acme.unwrap_or_default();
            CertificateSource::Acme(crate::Acme {
                directory: acme.directory.unwrap_or_else(|| LETS_ENCRYPT.to_owned()),
                email: acme.email,
                proof: acme.proof.unwrap_or_default(),
            })
        }
    };
    Some(crate::Tls {
        certificate,
        redirect: tls.redirect.unwrap_or(true),
        hsts: tls.hsts.unwrap_or_default(),
    })
}
