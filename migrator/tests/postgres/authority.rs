//! Who may change a schema.

use cutover_migrator::Error;
use cutover_migrator::ledger::Refusal;

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
async fn another_journal_is_refused_until_an_operator_has_adopted_the_schema_for_it() {
    let database = Database::new().await;
    database.expand(&expansion("a", 8, &[TABLE])).await.unwrap();
    let foreign = expansion("b", 3, &[TABLE, "CREATE TABLE tags (id int)"]);
    let error = database.expand(&foreign).await.unwrap_err();
    let Error::Refused(refusal @ Refusal::Foreign { .. }) = error else { panic!("{error}") };

    let adoption = refusal.adoption(&foreign.service, foreign.engine).unwrap();
    assert_eq!(database.session().await.execute(adoption.as_str(), &[]).await.unwrap(), 1);
    assert_eq!(database.expand(&foreign).await.unwrap().applied.len(), 1);
    let again = database.session().await.execute(adoption.as_str(), &[]).await.unwrap();
    assert_eq!(again, 0, "what was adopted already was changed");
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
