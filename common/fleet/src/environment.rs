//! The environment of a container.

use std::collections::BTreeMap;

use cutover_core::{Reference, Settings};
use cutover_secrets::Values;

use crate::Error;

/// All variables as Docker takes them, `NAME=value`: those in the clear, and the secrets as they are at this moment. What
/// it answers is never shown, nor kept.
///
/// # Errors
/// A secret without a value; a value that no environment can carry.
pub async fn environment(settings: &Settings, values: &Values) -> Result<Vec<String>, Error> {
    variables(&settings.env, &settings.secrets, values).await
}

/// The same of variables that are those of no release.
///
/// # Errors
/// As for [`environment`].
pub async fn variables(
    clear: &BTreeMap<String, String>,
    secret: &BTreeMap<String, Reference>,
    values: &Values,
) -> Result<Vec<String>, Error> {
    let found = values.find(secret.values()).await;
    let mut secrets = Vec::with_capacity(found.len());
    for (name, found) in secret.keys().zip(found) {
        let found = found.map_err(|source| Error::Secret { variable: name.clone(), source })?;
        secrets.push((name, found.value));
    }
    let clear = clear.iter().map(|(name, value)| (name, value.as_str()));
    let secret = secrets.iter().map(|(name, secret)| (*name, secret.expose()));
    let all: BTreeMap<&String, &str> = clear.chain(secret).collect();
    // A value may hold anything but what ends it for the kernel (execve(2)).
    if let Some((name, _)) = all.iter().find(|(_, value)| value.contains('\0')) {
        return Err(Error::Nul { variable: (*name).clone() });
    }
    Ok(all.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::Failure;

    use cutover_secrets::Secret;

    use super::*;
    use crate::fixture;

    fn values() -> Values {
        Values::known([("env://SECRET".parse().unwrap(), Secret::new("hunter2".to_owned()))])
    }

    #[tokio::test]
    async fn values_arrive_as_they_are() {
        let mut settings = fixture::settings();
        let hostile = "a=b c\n\"$(id)\" `id` ${HOME} \\ 'x' é 🚀 %s\t ";
        settings.env.insert("HOSTILE".to_owned(), hostile.to_owned());
        settings.env.insert("NOTHING".to_owned(), String::new());
        settings.secrets.insert("SECRET".to_owned(), "env://SECRET".parse().unwrap());
        let env = environment(&settings, &values()).await.unwrap();
        assert_eq!(env, [format!("HOSTILE={hostile}"), "NOTHING=".to_owned(), "SECRET=hunter2".to_owned()]);
    }

    /// A guard of the dependency's feature that keeps the bodies of requests, and so secrets, out of every log.
    #[test]
    fn the_docker_client_can_not_log_what_it_is_asked_to_create() {
        assert!(log::STATIC_MAX_LEVEL < log::LevelFilter::Debug);
    }

    #[tokio::test]
    async fn what_has_no_value_is_told_by_name() {
        let mut settings = fixture::settings();
        settings.secrets.insert("API_KEY".to_owned(), "env://CUTOVER_SURELY_NOT_SET".parse().unwrap());
        let failure = Failure::from(environment(&settings, &values()).await.unwrap_err());
        assert!(failure.message.contains("API_KEY") && failure.message.contains("CUTOVER_SURELY_NOT_SET"));
        assert!(!failure.retry && failure.hint.is_some());
    }

    #[tokio::test]
    async fn a_value_that_the_kernel_would_cut_is_refused_and_not_shown() {
        let mut settings = fixture::settings();
        settings.env.insert("KEY".to_owned(), "hunter2\0more".to_owned());
        let failure = Failure::from(environment(&settings, &values()).await.unwrap_err());
        assert!(
            failure.message.contains("KEY") && !failure.message.contains("hunter2"),
            "{}",
            failure.message
        );
    }
}
