//! When there is no connection.

use cutover_migrator::{Error, Limits, Step, apply};
use cutover_secrets::Secret;
use tokio::sync::mpsc::unbounded_channel;

use crate::pooler::{Mode, Pooler};
use crate::support::{Database, migrations};

async fn refused(url: String) -> Error {
    let (progress, _told) = unbounded_channel();
    apply(&Secret::new(url), Step::Expand, &migrations(&["SELECT 1"]), &Limits::default(), &progress)
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_and_tried_again() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = refused(format!("postgres://app:hunter2@127.0.0.1:{free}/app")).await;
    assert!(error.to_string().contains(&format!("127.0.0.1:{free}/app")) && error.retryable(), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_wrong_password_or_database_is_not_tried_again() {
    let database = Database::new().await;
    let (rest, name) = database.url.expose().rsplit_once('/').unwrap();
    let (_, host) = rest.split_once('@').unwrap();
    for url in [format!("postgres://cutover:hunter2@{host}/{name}"), format!("{rest}/nowhere")] {
        let error = refused(url).await;
        assert!(matches!(error, Error::Connect { .. }) && !error.retryable(), "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}

/// What is set for a session, and the turn, would be somebody else's a moment later.
#[tokio::test]
async fn a_pooler_that_gives_each_transaction_a_session_is_refused_and_one_that_keeps_them_is_not() {
    let database = Database::new().await;
    let kept = Pooler::start(&database, Mode::Session);
    let (progress, _told) = unbounded_channel();
    let (work, limits) = (migrations(&["SELECT 1"]), Limits::default());
    let applied = Box::pin(apply(&kept.url, Step::Expand, &work, &limits, &progress)).await.unwrap();
    assert_eq!(applied.applied.len(), 1);

    let shared = Pooler::start(&database, Mode::Transaction);
    for _ in 0..10 {
        let error = refused(shared.url.expose().to_owned()).await;
        assert!(matches!(error, Error::Pooled { .. }) && !error.retryable(), "{error:?}");
    }
}
