//! Real stores of secrets of a test's own.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, bail};

use crate::root;

/// OpenBao, and what stands in for AWS. They end with their standard input, so with this or with the test, however that ends.
#[derive(Debug)]
pub struct SecretStores {
    server: String,
    token: String,
    endpoint: String,
    processes: [Child; 2],
}

/// The region of the secrets in AWS.
const REGION: &str = "eu-west-1";

impl SecretStores {
    /// Starts both. OpenBao has a store of version 2 at `kv`.
    ///
    /// # Errors
    /// A server that isn't installed, or doesn't answer.
    pub fn start() -> anyhow::Result<Self> {
        let (vault, mut said) = start("openbao.sh")?;
        let (server, token) = (value(&mut said, "server ")?, value(&mut said, "token ")?);
        let (aws, mut said) = start("aws-secrets.sh")?;
        let endpoint = value(&mut said, "endpoint ")?;
        let stores = Self { server, token, endpoint, processes: [vault, aws] };
        stores.ask_vault("sys/mounts/kv", r#"{"type": "kv", "options": {"version": "2"}}"#)?;
        Ok(stores)
    }

    /// How programs reach both; they may read what these patterns fit.
    pub fn environment(&self, allowed: &str) -> Vec<(&'static str, String)> {
        let own = |text: &str| text.to_owned();
        vec![
            ("CUTOVER_SECRETS_ALLOW", own(allowed)),
            ("VAULT_ADDR", self.server.clone()),
            ("VAULT_TOKEN", self.token.clone()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", self.endpoint.clone()),
            ("AWS_REGION", own(REGION)),
            ("AWS_ACCESS_KEY_ID", own("any")),
            ("AWS_SECRET_ACCESS_KEY", own("any")),
            ("AWS_EC2_METADATA_DISABLED", own("true")),
        ]
    }

    /// Puts a secret of one field into OpenBao, as its newest version.
    ///
    /// # Errors
    /// What curl says.
    pub fn put_in_vault(&self, path: &str, key: &str, value: &str) -> anyhow::Result<()> {
        let data = serde_json::json!({"data": {key: value}});
        self.ask_vault(&format!("kv/data/{path}"), &data.to_string())
    }

    /// Puts a secret into AWS.
    ///
    /// # Errors
    /// What curl says.
    pub fn put_in_aws(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let mut curl = curl();
        curl.args(["--user", "any:any", "--aws-sigv4", &format!("aws:amz:{REGION}:secretsmanager")]);
        curl.args(["--header", "X-Amz-Target: secretsmanager.CreateSecret"]);
        curl.args(["--header", "Content-Type: application/x-amz-json-1.1"]);
        let id = format!("{:032x}", fastrand::u128(..));
        let body = serde_json::json!({"Name": name, "SecretString": text, "ClientRequestToken": id});
        send(curl, &self.endpoint, &body.to_string())
    }

    fn ask_vault(&self, path: &str, body: &str) -> anyhow::Result<()> {
        let mut curl = curl();
        curl.args(["--header", &format!("X-Vault-Token: {}", self.token)]);
        send(curl, &format!("{}/v1/{path}", self.server), body)
    }
}

fn start(script: &str) -> anyhow::Result<(Child, BufReader<ChildStdout>)> {
    let script = root().join("scripts").join(script);
    let started = Command::new(&script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut process = started.with_context(|| script.display().to_string())?;
    let Some(out) = process.stdout.take() else { bail!("{} says nothing", script.display()) };
    Ok((process, BufReader::new(out)))
}

fn value(said: &mut BufReader<ChildStdout>, name: &str) -> anyhow::Result<String> {
    let mut line = String::new();
    said.read_line(&mut line)?;
    line.trim().strip_prefix(name).map(str::to_owned).with_context(|| format!("no {name}: {line}"))
}

fn curl() -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail-with-body", "--max-time", "20"]);
    curl
}

/// The content goes through standard input: an argument could be seen, and is looked for.
fn send(mut curl: Command, url: &str, body: &str) -> anyhow::Result<()> {
    curl.args(["--data-binary", "@-", url]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = curl.spawn().context("curl")?;
    if let Some(mut into) = process.stdin.take() {
        std::io::Write::write_all(&mut into, body.as_bytes())?;
    }
    let output = process.wait_with_output()?;
    if output.status.success() { Ok(()) } else { bail!("{url}: {}", String::from_utf8_lossy(&output.stdout)) }
}

impl Drop for SecretStores {
    fn drop(&mut self) {
        for process in &mut self.processes {
            drop(process.stdin.take());
            let _ = process.wait();
        }
    }
}
