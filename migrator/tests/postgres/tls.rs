//! A server that has a certificate.

use std::hash::{BuildHasher, RandomState};

use cutover_migrator::{Error, Limits, Step, apply};
use cutover_secrets::Secret;
use pem_rfc7468::{LineEnding, encode_string};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::sync::mpsc::unbounded_channel;

use crate::support::{Server, connect, migrations};

/// How the migrator's own session came to the server.
const SEEN: &str = "DROP TABLE IF EXISTS seen; CREATE TABLE seen AS SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

/// A server with a certificate of an authority of its own, which is valid for `localhost`.
struct Certified {
    server: Server,
    /// The authority's certificate, in a file.
    authority: tempfile::NamedTempFile,
}

impl Certified {
    async fn start() -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = names.signed_by(&key, &authority).unwrap();

        let server = Server::start();
        let session = connect(server.url()).await;
        let files = [
            ("server.key", pem("PRIVATE KEY", key.serialized_der())),
            ("server.crt", pem("CERTIFICATE", certificate.der())),
        ];
        for (file, content) in files {
            // By the server itself, as the files must be its own.
            let write = format!(
                "COPY (SELECT unnest(string_to_array('{content}', E'\n'))) TO PROGRAM 'umask 077; cat > {file}'"
            );
            session.batch_execute(&write).await.unwrap();
        }
        session.batch_execute("ALTER SYSTEM SET ssl = on").await.unwrap();
        session.batch_execute("SELECT pg_reload_conf()").await.unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), pem("CERTIFICATE", authority.der())).unwrap();
        let certified = Self { server, authority: file };
        // The server reads its settings again when it gets to it.
        let reloaded = async {
            while certified.expand("sslmode=require", "127.0.0.1").await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(crate::support::LIMIT, reloaded).await.expect("the server never offered TLS");
        certified
    }

    /// The parameter that names the authority.
    fn root(&self) -> String {
        format!("sslrootcert={}", self.authority.path().display())
    }

    /// Runs a migration over a connection to `host` with `parameters`; whether it was TLS.
    async fn expand(&self, parameters: &str, host: &str) -> Result<bool, Error> {
        let url = format!("{}?{parameters}", self.server.url().replace("127.0.0.1", host));
        let (progress, _told) = unbounded_channel();
        let mut work = migrations(&[SEEN]);
        // A service of its own each time, so that nothing is applied already.
        work.service = format!("s{}", number(parameters, host)).parse().unwrap();
        apply(&Secret::new(url), Step::Expand, &work, &Limits::default(), &progress).await?;
        let session = connect(self.server.url()).await;
        Ok(session.query_one("SELECT ssl FROM seen", &[]).await.unwrap().get(0))
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    encode_string(label, LineEnding::LF, der).unwrap()
}

/// A number that differs with the parameters.
fn number(parameters: &str, host: &str) -> u64 {
    RandomState::new().hash_one((parameters, host))
}

#[tokio::test]
async fn a_server_is_believed_as_far_as_its_certificate_goes() {
    let certified = Certified::start().await;
    let (root, full) = (certified.root(), "sslmode=verify-full");
    for (parameters, tls) in [
        ("sslmode=disable".to_owned(), false),
        ("sslmode=prefer".to_owned(), true),
        ("sslmode=require&channel_binding=require".to_owned(), true),
        (format!("sslmode=verify-ca&{root}"), true),
        (format!("{full}&channel_binding=require&{root}"), true),
    ] {
        assert_eq!(certified.expand(&parameters, "localhost").await.unwrap(), tls, "{parameters}");
    }
    // The authority is right, the name isn't.
    assert!(certified.expand(&format!("sslmode=verify-ca&{root}"), "127.0.0.1").await.unwrap());
    for (parameters, host) in [(format!("{full}&{root}"), "127.0.0.1"), (full.to_owned(), "localhost")] {
        let error = certified.expand(&parameters, host).await.unwrap_err();
        assert!(matches!(error, Error::Connect { .. }) && !error.retryable(), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_without_a_certificate_is_not_talked_to_where_tls_is_demanded() {
    let server = Server::start();
    let (progress, _told) = unbounded_channel();
    for (parameters, found) in [
        ("sslmode=require", "does not support TLS"),
        ("sslmode=verify-full&sslrootcert=/nowhere.pem", "/nowhere.pem"),
    ] {
        let url = Secret::new(format!("{}?{parameters}", server.url()));
        let error = apply(&url, Step::Expand, &migrations(&["SELECT 1"]), &Limits::default(), &progress)
            .await
            .unwrap_err();
        assert!(format!("{error} {error:?}").contains(found), "{error:?}");
    }
}
