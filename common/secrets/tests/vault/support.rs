//! A real OpenBao, and what its administrator does.

use std::io::{BufRead, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use cutover_secrets::{Error, Found, Secret, Stores, VaultError};
use serde_json::Value;
use tempfile::TempDir;

/// A server of one test's own. It ends with its standard input, which this holds.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) root: String,
    pub(crate) key: String,
    /// Files of the test.
    pub(crate) folder: TempDir,
    _process: Child,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::of(&[], TempDir::new().unwrap())
    }

    /// One that speaks TLS, with a certificate and a key.
    pub(crate) fn with_tls(folder: TempDir, certificate: &Path, key: &Path) -> Self {
        Self::of(&[certificate, key], folder)
    }

    fn of(arguments: &[&Path], folder: TempDir) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/openbao.sh");
        let started =
            Command::new(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut process = started.unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let [url, root, key] = ["server ", "token ", "key "].map(|name| said(&mut lines, name));
        Self { url, root, key, folder, _process: process }
    }

    /// What the API answers to the administrator.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        self.ask_in("", method, path, body)
    }

    /// The same in a namespace.
    pub(crate) fn ask_in(&self, namespace: &str, method: &str, path: &str, body: &str) -> Value {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail-with-body", "--insecure", "--max-time", "20"]);
        curl.args(["--header", &format!("X-Vault-Token: {}", self.root)]);
        curl.args(["--header", &format!("X-Vault-Namespace: {namespace}")]);
        curl.args(["--request", method, "--data", body, &format!("{}/v1/{path}", self.url)]);
        let output = curl.output().unwrap();
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stdout));
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// A store of version 2 at `kv`, with two versions of a secret.
    pub(crate) fn with_shop(self) -> Self {
        self.ask("POST", "sys/mounts/kv", r#"{"type": "kv", "options": {"version": "2"}}"#);
        self.ask("POST", "kv/data/shop/db", r#"{"data": {"password": "hunter1"}}"#);
        let second = r#"{"data": {"password": "hunter2", "port": 5432, "old": null, "none": ""}}"#;
        self.ask("POST", "kv/data/shop/db", second);
        self
    }

    /// A policy that allows to read the secrets of one service, and nothing else.
    pub(crate) fn allow_shop(&self) {
        let policy = r#"{"policy": "path \"kv/data/shop/*\" { capabilities = [\"read\"] }"}"#;
        self.ask("PUT", "sys/policies/acl/shop", policy);
    }

    /// A token with that policy.
    pub(crate) fn token(&self) -> String {
        let made = self.ask("POST", "auth/token/create", r#"{"policies": ["shop"], "ttl": "1h"}"#);
        text(&made["auth"]["client_token"])
    }

    /// How many tokens there are.
    pub(crate) fn tokens(&self) -> usize {
        self.ask("LIST", "auth/token/accessors", "")["data"]["keys"].as_array().unwrap().len()
    }

    /// What a program sees that is given the token of the administrator.
    pub(crate) fn stores(&self) -> Stores {
        self.stores_with(&[("VAULT_TOKEN", &self.root)])
    }

    /// What a program sees that is given these variables.
    pub(crate) fn stores_with(&self, variables: &[(&str, &str)]) -> Stores {
        stores(
            &[&[("VAULT_ADDR", self.url.as_str()), ("CUTOVER_SECRETS_ALLOW", "vault://*")], variables]
                .concat(),
        )
    }

    /// A file with this content.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

fn said(lines: &mut Lines<BufReader<ChildStdout>>, name: &str) -> String {
    let line = lines.next().unwrap().unwrap();
    line.strip_prefix(name).unwrap().to_owned()
}

/// The text of a value.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// What a program sees that has these variables.
pub(crate) fn stores(variables: &[(&str, &str)]) -> Stores {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), Secret::new((*value).to_owned()));
    Stores::with(variables.iter().map(own))
}

/// Looks for one reference.
pub(crate) async fn find(stores: &Stores, reference: &str) -> Result<Found, Error> {
    stores.find([&reference.parse().unwrap()]).await.pop().unwrap()
}

/// The value of one.
pub(crate) async fn value(stores: &Stores, reference: &str) -> String {
    find(stores, reference).await.unwrap().value.expose().to_owned()
}

/// Why a server doesn't give one.
pub(crate) async fn refusal(stores: &Stores, reference: &str) -> std::sync::Arc<VaultError> {
    match find(stores, reference).await.unwrap_err() {
        Error::Vault { source, .. } => source,
        other => unreachable!("{other}"),
    }
}
