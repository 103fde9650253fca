//! What a server refuses, and what is said of it.

use cutover_secrets::{Error, VaultError};

use crate::support::{Server, find, refusal};

#[tokio::test]
async fn what_is_not_there_is_told_by_its_path() {
    let server = Server::start().with_shop();
    server.ask("POST", "sys/mounts/old", r#"{"type": "kv"}"#);
    server.ask("POST", "old/shop", r#"{"password": "hunter3"}"#);
    server.ask("POST", "sys/mounts/transit", r#"{"type": "transit"}"#);
    server.ask("POST", "kv/delete/shop/db", r#"{"versions": [2]}"#);
    server.ask("POST", "kv/destroy/shop/db", r#"{"versions": [1]}"#);
    let stores = server.stores();
    for (reference, expected) in [
        ("vault://kv/shop/other#password", "there is nothing at kv/data/shop/other"),
        (
            "vault://kv/shop/db?version=7#password",
            "there is nothing at kv/data/shop/db, or not in that version",
        ),
        ("vault://old/other#password", "there is nothing at old/other"),
        (
            "vault://kv/shop/db#password",
            "version 2 of kv/data/shop/db was deleted; `vault kv undelete` brings it back",
        ),
        ("vault://kv/shop/db?version=1#password", "version 1 of kv/data/shop/db was destroyed"),
        ("vault://transit/keys#password", "transit is no key-value store, but of type transit"),
        (
            "vault://old/shop?version=1#password",
            "old is of version 1, which keeps no versions of a secret: leave ?version= out",
        ),
    ] {
        let error = refusal(&stores, reference).await;
        assert_eq!(error.to_string(), expected);
        assert!(!error.retryable(), "{reference}");
    }
}

#[tokio::test]
async fn a_field_that_is_not_there_or_no_text_is_told_without_the_others() {
    let server = Server::start().with_shop();
    let stores = server.stores();
    let error = find(&stores, "vault://kv/shop/db#pass").await.unwrap_err();
    assert!(matches!(error, Error::NoField(_)) && !error.to_string().contains("hunter"), "{error}");
    assert!(matches!(find(&stores, "vault://kv/shop/db#old").await, Err(Error::OtherField(_))));
    assert!(matches!(find(&stores, "vault://kv/shop/db#none").await, Err(Error::Empty(_))));
}

#[tokio::test]
async fn a_policy_that_is_missing_is_told_from_a_token_that_has_ended() {
    let server = Server::start().with_shop();
    server.allow_shop();
    server.ask("POST", "kv/data/other", r#"{"data": {"password": "hunter2"}}"#);
    let token = server.token();
    let stores = server.stores_with(&[("VAULT_TOKEN", &token)]);
    find(&stores, "vault://kv/shop/db#password").await.unwrap();
    let error = refusal(&stores, "vault://kv/other#password").await;
    assert_eq!(error.to_string(), "permission denied: a policy must allow `read` on kv/data/other");
    assert!(!error.retryable());
    server.ask("POST", "auth/token/revoke", &format!(r#"{{"token": "{token}"}}"#));
    let error = refusal(&stores, "vault://kv/shop/db#password").await;
    assert!(matches!(*error, VaultError::InvalidToken { .. }) && !error.retryable(), "{error}");
    let text = format!("{error} {error:?}");
    assert!(!text.contains(&token) && !text.contains("hunter"), "{text}");
}

#[tokio::test]
async fn a_server_that_is_sealed_may_answer_later() {
    let server = Server::start().with_shop();
    server.ask("PUT", "sys/seal", "{}");
    let error = refusal(&server.stores(), "vault://kv/shop/db#password").await;
    assert!(matches!(*error, VaultError::Sealed { .. }) && error.retryable(), "{error}");
    server.ask("PUT", "sys/unseal", &format!(r#"{{"key": "{}"}}"#, server.key));
    find(&server.stores(), "vault://kv/shop/db#password").await.unwrap();
}
