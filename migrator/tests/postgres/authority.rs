//! Who may change a schema.

use cutover_migrator::ledger::Refusal;
use cutover_migrator::{Error, Limits, adopt};
use tokio::sync::mpsc::unbounded_channel;

use crate::support::{Database, expansion};

const TABLE: &str = "CREATE TABLE posts (id int)";

#[tokio::test]
async fn a_stale_claim_is_refused() {
    let database = Database::new().await;
    database.expand(&expansion("a", 8, &[TABLE])).await.unwrap();
    let error =
        database.expand(&expansion("a", 7, &[TABLE, "CREATE TABLE never (id int)"])).await.unwrap_err();
    assert!(matches!(error, Error::Refused(Refusal::Stale { highest: 8, given: 7 })), "{error}");
    assert!(!error.retryable());
    assert_eq!(database.count("SELECT count(*) FROM pg_class WHERE relname = 'never'").await, 0);
}

#[tokio::test]
async fn another_journal_is_refused_until_it_has_adopted_the_schema() {
    let database = Database::new().await;
    database.expand(&expansion("a", 8, &[TABLE])).await.unwrap();
    let foreign = expansion("b", 3, &[TABLE, "CREATE TABLE tags (id int)"]);
    let error = database.expand(&foreign).await.unwrap_err();
    assert!(matches!(error, Error::Refused(Refusal::Foreign { .. })), "{error}");

    let (progress, _told) = unbounded_channel();
    let before =
        adopt(&database.url, &foreign.service, &foreign.epoch, &Limits::default(), &progress).await.unwrap();
    assert_eq!(before, Some(expansion("a", 8, &[]).epoch));
    assert_eq!(database.expand(&foreign).await.unwrap().applied.len(), 1);
    assert!(database.expand(&expansion("a", 9, &[TABLE])).await.is_err());
}

#[tokio::test]
async fn services_that_share_a_database_have_their_own_versions_and_fences() {
    let database = Database::new().await;
    database.expand(&expansion("a", 8, &[TABLE])).await.unwrap();
    let mut other = expansion("b", 3, &["CREATE TABLE invoices (id int)"]);
    other.service = "billing".parse().unwrap();
    assert_eq!(database.expand(&other).await.unwrap().applied.len(), 1);
}
