//! The key-value stores of Vault and OpenBao, over their HTTP API (<https://developer.hashicorp.com/vault/api-docs>).

mod answer;
mod credential;
mod error;
mod http;
mod kv;
mod renewal;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;

use cutover_core::VaultSecret;
use futures_util::StreamExt;

pub use self::error::Error;
pub(crate) use self::kv::Entry;
pub(crate) use self::renewal::renew;
pub(crate) use self::settings::Settings;

/// How many secrets are read at once.
const AT_ONCE: usize = 8;

/// A secret, and which version of it.
pub(crate) type Address = (String, Option<NonZeroU32>);

pub(crate) fn address(secret: &VaultSecret) -> Address {
    (secret.path.clone(), secret.version)
}

/// Reads secrets, each once, with one login for all of them.
pub(crate) async fn read_all(
    settings: Result<Settings, Error>,
    addresses: BTreeSet<Address>,
) -> BTreeMap<Address, Result<Entry, Arc<Error>>> {
    let session = async { http::Http::new(settings?)?.enter().await };
    let session = match Box::pin(session).await {
        Ok(session) => session,
        Err(error) => {
            let error = Arc::new(error);
            return addresses.into_iter().map(|address| (address, Err(Arc::clone(&error)))).collect();
        }
    };
    let reads = addresses.into_iter().map(async |(path, version)| {
        let entry = kv::read(&session, &path, version).await.map_err(Arc::new);
        ((path, version), entry)
    });
    let entries = futures_util::stream::iter(reads).buffer_unordered(AT_ONCE).collect().await;
    session.leave().await;
    entries
}
