//! A real S3 server: SeaweedFS.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use aws_config::BehaviorVersion;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, Credentials, Region};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use cutover_store::BucketAddress;
use tempfile::NamedTempFile;
use ulid::Ulid;

pub(crate) const KEY: &str = "tester";
pub(crate) const SECRET: &str = "secret-of-tester";

/// The server of this test program, and the credentials for it. It ends when the program does, however that ends: its standard input is a pipe that the
/// program holds.
struct Server {
    endpoint: String,
    credentials: NamedTempFile,
    _process: Child,
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let start = || {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/object-store.sh");
        let started = Command::new(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = started.unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let endpoint = line.trim().strip_prefix("endpoint ").unwrap().to_owned();
        Server { endpoint, credentials: credentials(KEY, SECRET), _process: process }
    };
    SERVER.get_or_init(start)
}

/// Where it answers.
pub(crate) fn endpoint() -> &'static str {
    &server().endpoint
}

/// A file with credentials.
pub(crate) fn credentials(key: &str, secret: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    let text = format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n");
    std::fs::write(file.path(), text).unwrap();
    file
}

/// A client of the test's own, to look behind the store.
pub(crate) fn client() -> Client {
    let http =
        aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let config = Builder::new()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .credentials_provider(Credentials::new(KEY, SECRET, None, None, "test"))
        .endpoint_url(endpoint())
        .region(Region::from_static("us-east-1"))
        .force_path_style(true);
    Client::from_conf(config.build())
}

/// A new bucket.
pub(crate) async fn new_bucket() -> BucketAddress {
    let bucket = format!("test-{}", Ulid::generate().to_string().to_lowercase());
    client().create_bucket().bucket(&bucket).send().await.unwrap();
    address(&bucket)
}

/// A bucket that may be there or not.
pub(crate) fn address(bucket: &str) -> BucketAddress {
    let file = server().credentials.path().display();
    let text = format!("s3://{bucket}/cutover?endpoint={}&credentials={file}", endpoint());
    match text.parse().unwrap() {
        cutover_store::Location::Bucket(address) => address,
        cutover_store::Location::Folder { .. } => unreachable!(),
    }
}
