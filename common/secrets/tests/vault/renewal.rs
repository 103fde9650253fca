//! A token that is kept alive.

use std::time::Duration;

use cutover_secrets::keep_token;

use crate::support::{Server, text};

#[tokio::test]
async fn a_token_that_was_given_is_renewed() {
    let server = Server::start().with_shop();
    let made = server.ask("POST", "auth/token/create", r#"{"policies": ["default"], "ttl": "1h"}"#);
    let (token, accessor) = (text(&made["auth"]["client_token"]), text(&made["auth"]["accessor"]));
    let stores = server.stores_with(&[("VAULT_TOKEN", &token)]);
    let kept = tokio::spawn(async move { keep_token(&stores).await });
    let renewed = || {
        let about = format!(r#"{{"accessor": "{accessor}"}}"#);
        server.ask("POST", "auth/token/lookup-accessor", &about)["data"].get("last_renewal").is_some()
    };
    while !renewed() {
        assert!(!kept.is_finished());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    kept.abort();
}

#[tokio::test]
async fn where_there_is_no_token_nothing_is_renewed() {
    let server = Server::start();
    keep_token(&server.stores_with(&[("VAULT_ROLE_ID", "role")])).await;
    keep_token(&server.stores_with(&[])).await;
    keep_token(&crate::support::stores(&[("VAULT_ADDR", &server.url), ("VAULT_TOKEN", &server.root)])).await;
}
