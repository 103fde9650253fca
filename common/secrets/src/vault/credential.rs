//! What a program logs in with.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Error;
use crate::variables::Variables;
use crate::{Secret, source};

/// What a program logs in with.
#[derive(Debug)]
pub(super) enum Credential {
    /// A token, which others look after.
    Token(Text),
    /// The role and the secret of a machine (AppRole).
    AppRole { role: Text, secret: Option<Text> },
    /// A signed statement of who the program is (JWT, OIDC, Kubernetes), which somebody renews.
    Jwt { role: Option<String>, file: PathBuf },
    /// The certificate of the program's own that TLS shows.
    Certificate { role: Option<String> },
}

/// A value, or the file that holds it: read when it is needed, as others may renew it.
#[derive(Debug)]
pub(super) enum Text {
    Given(Secret),
    File { variable: &'static str, path: PathBuf },
}

/// What is sent to log in.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Login<'a> {
    AppRole {
        role_id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        secret_id: Option<&'a str>,
    },
    Jwt {
        #[serde(skip_serializing_if = "Option::is_none")]
        role: Option<&'a str>,
        jwt: &'a str,
    },
    Certificate {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
    },
}

impl Credential {
    /// The first that there is: a token, a role, a statement, a certificate, and the token that `vault login` leaves.
    pub(super) fn of(variables: &Variables, has_certificate: bool) -> Result<Self, Error> {
        let text = |name: &str, variable: &'static str| {
            let file = || variables.text(variable).map(|path| Text::File { variable, path: path.into() });
            variables.secret(name).map(Text::Given).or_else(file)
        };
        if let Some(token) = text("VAULT_TOKEN", "VAULT_TOKEN_FILE") {
            return Ok(Self::Token(token));
        }
        if let Some(role) = text("VAULT_ROLE_ID", "VAULT_ROLE_ID_FILE") {
            return Ok(Self::AppRole { role, secret: text("VAULT_SECRET_ID", "VAULT_SECRET_ID_FILE") });
        }
        let role = variables.text("VAULT_ROLE");
        if let Some(file) = variables.text("VAULT_JWT_FILE") {
            return Ok(Self::Jwt { role, file: file.into() });
        }
        if has_certificate {
            return Ok(Self::Certificate { role });
        }
        let left = variables.text("HOME").map(|home| Path::new(&home).join(".vault-token"));
        match left.filter(|path| path.is_file()) {
            Some(path) => Ok(Self::Token(Text::File { variable: "HOME", path })),
            None => Err(Error::NoCredential),
        }
    }

    /// Where the method is mounted, unless somebody has said so.
    pub(super) const fn usual_mount(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::AppRole { .. } => "approle",
            Self::Jwt { .. } => "jwt",
            Self::Certificate { .. } => "cert",
        }
    }
}

impl Text {
    pub(super) async fn value(&self) -> Result<Secret, Error> {
        match self {
            Self::Given(value) => Ok(value.clone()),
            Self::File { variable, path } => file(variable, path).await,
        }
    }
}

/// A secret in a file that a variable names.
pub(super) async fn file(variable: &'static str, path: &Path) -> Result<Secret, Error> {
    let failed = |source| Error::CredentialFile { variable, source: Box::new(source) };
    source::file(path).await.map_err(failed)
}
