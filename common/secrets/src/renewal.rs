//! The token of a program that runs for longer than a token lives.

use std::time::Duration;

use crate::Stores;
use crate::vault;

/// Until another try, where one failed.
const AGAIN: Duration = Duration::from_secs(30);

/// Renews the token that this program was given for Vault or OpenBao, again and again, for as long as it is polled. It ends
/// where there is none, or where nothing of Vault is allowed.
pub async fn keep_token(stores: &Stores) {
    let mut has_failed = false;
    loop {
        let Some(settings) = stores.vault() else { return };
        let wait = match vault::renew(settings).await {
            Ok(None) => return,
            Ok(Some(wait)) => {
                has_failed = false;
                wait
            }
            Err(error) => {
                if !has_failed {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "the token of Vault can't be renewed");
                }
                has_failed = true;
                AGAIN
            }
        };
        tokio::time::sleep(wait).await;
    }
}
