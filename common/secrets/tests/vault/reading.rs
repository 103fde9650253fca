//! What is read.

use cutover_secrets::{Error, Reference};

use crate::support::{Server, find, refusal, stores, value};

#[tokio::test]
async fn both_versions_of_the_store_are_read_wherever_they_are_mounted() {
    let server = Server::start().with_shop();
    server.ask("POST", "sys/mounts/old", r#"{"type": "kv", "options": {"version": "1"}}"#);
    server.ask("POST", "old/shop", r#"{"password": "hunter3"}"#);
    server.ask("POST", "sys/mounts/team/shop", r#"{"type": "kv", "options": {"version": "2"}}"#);
    server.ask("POST", "team/shop/data/db/main", r#"{"data": {"pass-word.1": "hunter4"}}"#);
    let stores = server.stores();
    assert_eq!(value(&stores, "vault://kv/shop/db#password").await, "hunter2");
    assert_eq!(value(&stores, "vault://kv/shop/db#port").await, "5432");
    assert_eq!(value(&stores, "vault://old/shop#password").await, "hunter3");
    assert_eq!(value(&stores, "vault://team/shop/db/main#pass-word.1").await, "hunter4");
    let found = find(&stores, "vault://old/shop#password").await.unwrap();
    assert_eq!(found.version, None);
}

#[tokio::test]
async fn a_version_is_the_one_that_is_named() {
    let server = Server::start().with_shop();
    let references: Vec<Reference> = [
        "vault://kv/shop/db#password",
        "vault://kv/shop/db?version=1#password",
        "vault://kv/shop/db#port",
        "vault://kv/shop/db?version=9#password",
    ]
    .map(|text| text.parse().unwrap())
    .into();
    let stores = server.stores_with(&[("VAULT_TOKEN", &server.root)]);
    let found: Vec<_> = stores.find(&references).await.into_iter().collect();
    let shown: Vec<_> = found
        .iter()
        .map(|found| found.as_ref().ok().map(|found| (found.value.expose(), found.version.as_deref())))
        .collect();
    let expected =
        [Some(("hunter2", Some("2"))), Some(("hunter1", Some("1"))), Some(("5432", Some("2"))), None];
    assert_eq!(shown, expected);
    assert!(!format!("{found:?} {stores:?}").contains("hunter"));
    assert!(!format!("{stores:?}").contains(&server.root));
}

#[tokio::test]
async fn a_namespace_has_secrets_of_its_own() {
    let server = Server::start().with_shop();
    server.ask("POST", "sys/namespaces/team", "{}");
    server.ask_in("team", "POST", "sys/mounts/kv", r#"{"type": "kv", "options": {"version": "2"}}"#);
    server.ask_in("team", "POST", "kv/data/shop/db", r#"{"data": {"password": "hunter5"}}"#);
    let inside = server.stores_with(&[("VAULT_TOKEN", &server.root), ("VAULT_NAMESPACE", "team")]);
    assert_eq!(value(&inside, "vault://kv/shop/db#password").await, "hunter5");
    assert_eq!(value(&server.stores(), "vault://kv/shop/db#password").await, "hunter2");
}

#[tokio::test]
async fn what_the_operator_has_not_allowed_is_not_asked_for() {
    // Nothing answers there.
    let server = ("VAULT_ADDR", "http://127.0.0.1:9");
    let token = ("VAULT_TOKEN", "none");
    for allowed in [None, Some(""), Some("vault://kv/other/*,aws-sm://*")] {
        let list = allowed.map(|list| ("CUTOVER_SECRETS_ALLOW", list));
        let variables: Vec<_> = [server, token].into_iter().chain(list).collect();
        let error = find(&stores(&variables), "vault://kv/shop/db#password").await.unwrap_err();
        assert!(matches!(error, Error::NotAllowed(_)) && !error.retryable(), "{error}");
        let text = error.to_string();
        assert!(
            text.contains("vault://kv/shop/db#password") && text.contains("CUTOVER_SECRETS_ALLOW"),
            "{text}"
        );
    }
    let misspelt = stores(&[server, token, ("CUTOVER_SECRETS_ALLOW", "kv/shop")]);
    let error = find(&misspelt, "vault://kv/shop/db#password").await.unwrap_err();
    assert!(matches!(error, Error::Allowance(_)), "{error}");
    let allowed = stores(&[server, token, ("CUTOVER_SECRETS_ALLOW", "vault://kv/shop/*")]);
    let error = refusal(&allowed, "vault://kv/shop/db#password").await;
    assert!(error.retryable() && error.to_string().contains("can't be reached"), "{error}");
}
