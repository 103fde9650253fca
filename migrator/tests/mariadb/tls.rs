//! A server that has a certificate.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;

use cutover_migrator::{Error, Limits, Step, apply};
use cutover_secrets::Secret;
use pem_rfc7468::{LineEnding, encode_string};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::NamedTempFile;
use tokio::sync::mpsc::unbounded_channel;

use crate::support::{Database, Server, migrations};

/// A server with a certificate of an authority of its own, which is valid for `localhost`.
struct Certified {
    server: Server,
    /// The authority's certificate.
    authority: NamedTempFile,
}

impl Certified {
    fn start() -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = file("CERTIFICATE", names.signed_by(&key, &authority).unwrap().der());
        let key = file("PRIVATE KEY", key.serialized_der());
        let server = Server::start(&[
            &format!("--ssl-cert={}", certificate.path().display()),
            &format!("--ssl-key={}", key.path().display()),
        ]);
        Self { server, authority: file("CERTIFICATE", authority.der()) }
    }

    /// Runs a migration over a connection to `host` with `parameters`; whether it was TLS.
    async fn expand(&self, parameters: &str, host: &str) -> Result<bool, Error> {
        let database = Database::on(&self.server).await;
        let url = format!("{}?{parameters}", database.url.expose().replace("127.0.0.1", host));
        let (progress, _told) = unbounded_channel();
        let seen = "CREATE TABLE seen AS SELECT variable_value <> '' AS tls FROM information_schema.session_status WHERE variable_name = 'ssl_cipher'";
        apply(&Secret::new(url), Step::Expand, &migrations(&[seen]), &Limits::default(), &progress).await?;
        Ok(database.value("SELECT tls FROM seen").await)
    }
}

/// A file that the server, which is another user, can read.
fn file(label: &str, der: &[u8]) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), encode_string(label, LineEnding::LF, der).unwrap()).unwrap();
    set_permissions(file.path(), Permissions::from_mode(0o644)).unwrap();
    file
}

#[tokio::test]
async fn a_server_is_believed_as_far_as_its_certificate_goes() {
    let certified = Certified::start();
    let root = format!("ssl-ca={}", certified.authority.path().display());
    let identity = format!("ssl-mode=VERIFY_IDENTITY&{root}");
    for (parameters, host, tls) in [
        ("ssl-mode=DISABLED", "localhost", false),
        ("ssl-mode=PREFERRED", "localhost", true),
        ("ssl-mode=REQUIRED", "127.0.0.1", true),
        (&identity, "localhost", true),
        (&format!("{identity}&tls-sni-servername=localhost"), "127.0.0.1", true),
    ] {
        assert_eq!(certified.expand(parameters, host).await.unwrap(), tls, "{parameters}");
    }
    // A name that isn't in it; an authority that this machine doesn't know.
    for (parameters, host) in [(identity.as_str(), "127.0.0.1"), ("ssl-mode=VERIFY_IDENTITY", "localhost")] {
        let error = certified.expand(parameters, host).await.unwrap_err();
        assert!(matches!(error, Error::Connect { .. }) && !error.retryable(), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_without_a_certificate_is_not_talked_to_where_tls_is_demanded() {
    let database = Database::new().await;
    let (progress, _told) = unbounded_channel();
    let work = migrations(&["DO 1"]);
    let url = |parameters: &str| Secret::new(format!("{}?{parameters}", database.url.expose()));
    for (parameters, found) in [
        ("ssl-mode=REQUIRED", "NoClientSslFlagFromServer"),
        ("ssl-mode=VERIFY_IDENTITY&ssl-ca=/nowhere.pem", "/nowhere.pem"),
    ] {
        let refused = apply(&url(parameters), Step::Expand, &work, &Limits::default(), &progress).await;
        let error = refused.unwrap_err();
        assert!(format!("{error} {error:?}").contains(found), "{error:?}");
        assert!(!error.retryable(), "{error:?}");
    }
    apply(&url("ssl-mode=PREFERRED"), Step::Expand, &work, &Limits::default(), &progress).await.unwrap();
}
