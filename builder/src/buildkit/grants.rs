//! What a build is given beside its context: the values of its secrets, keys to sign with, and the password of a registry.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cutover_core::{Recipe, RegistryLogin, SshKeys};
use cutover_host::{KeyAgent, Stream};
use cutover_secrets::{Secret, Values};
use tokio::net::UnixStream;

use crate::{Error, Result};

/// The shortest line of a secret that is hidden where a step prints it; shorter ones would hide words that aren't secret.
const SHORTEST: usize = 6;

/// What stands for a secret in the output.
const HIDDEN: &str = "•••";

/// What one build is given. Read once, before it begins: a secret that is missing is known before the first step runs.
#[derive(Debug, Default)]
pub(super) struct Grants {
    secrets: BTreeMap<String, Secret>,
    agents: BTreeMap<String, Agent>,
    login: Option<(RegistryLogin, Secret)>,
}

/// Who signs for a build.
#[derive(Debug)]
enum Agent {
    Environment(PathBuf),
    Key(KeyAgent),
}

impl Grants {
    /// Reads what the recipe refers to.
    pub(super) async fn of(recipe: &Recipe, values: &Values) -> Result<Self> {
        let mut grants = Self::default();
        for (id, reference) in &recipe.secrets {
            let value = values.resolve(reference).await;
            let value =
                value.map_err(|source| Error::Secret { key: format!("builder.secrets.{id}"), source })?;
            grants.secrets.insert(id.clone(), value);
        }
        for (id, keys) in &recipe.ssh {
            let agent = match keys {
                SshKeys::Agent => match std::env::var_os("SSH_AUTH_SOCK") {
                    Some(socket) => Agent::Environment(socket.into()),
                    None => return Err(Error::NoSshAgent { id: id.clone() }),
                },
                SshKeys::Key(reference) => {
                    let key = format!("builder.ssh.{id}");
                    let value = values.resolve(reference).await;
                    let value = value.map_err(|source| Error::Secret { key: key.clone(), source })?;
                    Agent::Key(KeyAgent::new(&key, value.expose()).await?)
                }
            };
            grants.agents.insert(id.clone(), agent);
        }
        if let Some(login) = &recipe.registry {
            grants.login = Some((login.clone(), password(login, values).await?));
        }
        Ok(grants)
    }

    /// The registry that is entered with a password, and the password.
    pub(super) fn login(&self) -> Option<&(RegistryLogin, Secret)> {
        self.login.as_ref()
    }

    pub(super) fn has_secrets(&self) -> bool {
        !self.secrets.is_empty()
    }

    pub(super) fn has_agents(&self) -> bool {
        !self.agents.is_empty()
    }

    /// The secret of that id.
    pub(super) fn secret(&self, id: &str) -> Option<&Secret> {
        self.secrets.get(id)
    }

    pub(super) fn has_agent(&self, id: &str) -> bool {
        self.agents.contains_key(id)
    }

    /// A connection to the agent of that id; none where the build was given none.
    pub(super) async fn connect(&self, id: &str) -> std::io::Result<Option<Stream>> {
        Ok(match self.agents.get(id) {
            Some(Agent::Environment(socket)) => Some(UnixStream::connect(socket).await?.into()),
            Some(Agent::Key(agent)) => Some(agent.connect().await),
            None => None,
        })
    }

    /// A line of output with dots where a line of a secret stands in it: a step may print what it was given.
    pub(super) fn hide(&self, mut line: String) -> String {
        for secret in self.secrets.values() {
            for part in secret.expose().lines().map(str::trim).filter(|part| part.len() >= SHORTEST) {
                if line.contains(part) {
                    line = line.replace(part, HIDDEN);
                }
            }
        }
        line
    }
}

/// The password of a registry.
pub(crate) async fn password(login: &RegistryLogin, values: &Values) -> Result<Secret> {
    let value = values.resolve(&login.password).await;
    value.map_err(|source| Error::Secret { key: "registry.password".to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_a_step_prints_is_hidden_line_by_line() {
        let value = |text: &str| Secret::new(text.to_owned());
        let secrets = BTreeMap::from([
            ("token".to_owned(), value("hunter2-token")),
            ("short".to_owned(), value("yes")),
            ("key".to_owned(), value("BEGIN KEY\n  abcdefgh\nEND")),
        ]);
        let grants = Grants { secrets, ..Grants::default() };
        let hidden = |line: &str| grants.hide(line.to_owned());
        assert_eq!(hidden("+ curl -H hunter2-token https://x"), "+ curl -H ••• https://x");
        assert_eq!(hidden("yes, abcdefgh, END"), "yes, •••, END");
        assert_eq!(hidden("nothing"), "nothing");
    }
}
