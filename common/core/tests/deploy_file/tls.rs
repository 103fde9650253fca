//! What a deploy file says of TLS.

use cutover_core::{Acme, CertificateSource, Proof, Span, Tls};

use super::{ordered, own, parse, with};

#[test]
fn a_certificate_is_ordered_or_ones_own() {
    let tls = |value: &str| with(&format!("proxy: {{host: a.example, tls: {value}}}")).settings.proxy.tls;
    assert_eq!(tls("true"), Some(ordered(None)));
    assert_eq!(tls("{}"), Some(ordered(None)));
    assert_eq!(tls("false"), None);
    assert_eq!(
        tls(
            "{redirect: false, hsts: 365d, acme: {directory: 'https://ca.example/dir', challenge: tls-alpn}}"
        ),
        Some(Tls {
            certificate: CertificateSource::Acme(Acme {
                directory: "https://ca.example/dir".into(),
                email: None,
                proof: Proof::Handshake,
            }),
            redirect: false,
            hsts: Span::seconds(365 * 24 * 3600),
        })
    );
    let wildcard = with("proxy: {host: '*.a.example', tls: {certificate: env://A, key: env://B}}");
    assert_eq!(wildcard.settings.proxy.tls, Some(own("env://A", "env://B")));
}

#[test]
fn a_destination_lays_its_tls_over_that_of_the_file() {
    let file = parse(
        "service: hello
proxy: {host: a.example, tls: {hsts: 60, acme: {email: ops@a.example}}}
destinations:
  same: {hosts: [a], proxy: {tls: true}}
  none: {hosts: [a], proxy: {tls: false}}
  own: {hosts: [a], proxy: {tls: {certificate: env://A, key: env://B}}}
  other: {hosts: [a], proxy: {tls: {redirect: false, acme: {directory: 'https://ca.example/dir'}}}}",
    )
    .unwrap();
    let tls = |name| file.destination(Some(name)).unwrap().settings.proxy.tls;
    let same = Tls { hsts: Span::seconds(60), ..ordered(Some("ops@a.example")) };
    assert_eq!(tls("same"), Some(same.clone()));
    assert_eq!(tls("none"), None);
    assert_eq!(tls("own"), Some(Tls { hsts: Span::seconds(60), ..own("env://A", "env://B") }));
    let other = Acme { directory: "https://ca.example/dir".into(), ..same.acme().unwrap().clone() };
    let other = Tls { certificate: CertificateSource::Acme(other), redirect: false, ..same };
    assert_eq!(tls("other"), Some(other));
}
