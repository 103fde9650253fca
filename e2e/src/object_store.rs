//! A real S3 server of a test's own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};
use tempfile::NamedTempFile;

use crate::root;

/// SeaweedFS with one bucket. It ends with its standard input, so with this or with the test, however that ends.
#[derive(Debug)]
pub struct ObjectStore {
    endpoint: String,
    credentials: NamedTempFile,
    process: Child,
}

impl ObjectStore {
    /// Starts it.
    ///
    /// # Errors
    /// A server that isn't installed, or doesn't answer.
    pub fn start() -> anyhow::Result<Self> {
        let script = root().join("scripts/object-store.sh");
        let started =
            Command::new(&script).arg("artifacts").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = started.with_context(|| script.display().to_string())?;
        let mut line = String::new();
        if let Some(out) = process.stdout.take() {
            BufReader::new(out).read_line(&mut line)?;
        }
        let Some(endpoint) = line.trim().strip_prefix("endpoint ") else { bail!("no S3 server: {line}") };
        let credentials = NamedTempFile::new()?;
        let text = "[default]\naws_access_key_id = tester\naws_secret_access_key = secret-of-tester\n";
        std::fs::write(credentials.path(), text)?;
        Ok(Self { endpoint: endpoint.to_owned(), credentials, process })
    }

    /// An artifact store in it, as `CUTOVER_STORE` names it.
    pub fn location(&self) -> String {
        let credentials = self.credentials.path().display();
        format!("s3://artifacts/cutover?endpoint={}&credentials={credentials}", self.endpoint)
    }

    /// What is below a prefix of it, as a model's source.
    pub fn source(&self, prefix: &str) -> String {
        let credentials = self.credentials.path().display();
        format!("s3://artifacts/{prefix}?endpoint={}&credentials={credentials}", self.endpoint)
    }

    /// Puts an object there, as somebody else's program does.
    ///
    /// # Errors
    /// What curl says.
    pub fn put(&self, key: &str, content: &[u8]) -> anyhow::Result<()> {
        let file = NamedTempFile::new()?;
        std::fs::write(file.path(), content)?;
        let url = format!("{}/artifacts/{key}", self.endpoint);
        let mut curl = Command::new("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--fail",
            "--max-time",
            "60",
            "--aws-sigv4",
            "aws:amz:us-east-1:s3",
        ]);
        curl.args(["--user", "tester:secret-of-tester", "--upload-file"]).arg(file.path()).arg(&url);
        let output = curl.stdin(Stdio::null()).output().context("curl")?;
        if output.status.success() {
            Ok(())
        } else {
            bail!("{url}: {}", String::from_utf8_lossy(&output.stderr))
        }
    }
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
