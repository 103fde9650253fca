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
    assert_eq!(database.count("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'never'").await, 0);
}

#[tokio::test]
async fn another_journal_is_refused_until_an_operator_has_adopted_the_schema_for_it() {
    let database = Database::new().await;
    database.expand(&expansion("a", 8, &[TABLE])).await.unwrap();
    let foreign = expansion("b", 3, &[TABLE, "CREATE TABLE tags (id int)"]);
    let error = database.expand(&foreign).await.unwrap_err();
    let Error::Refused(refusal @ Refusal::Foreign { .. }) = error else { panic!("{error}") };

    let adoption = refusal.adoption(&foreign.service, foreign.engine).unwrap();
    assert_eq!(database.changed(&adoption).await, 1);
    assert_eq!(database.expand(&foreign).await.unwrap().applied.len(), 1);
    assert_eq!(database.changed(&adoption).await, 0, "what was adopted already was changed");
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

/// Of a session that was ended the server says no more than that. Whoever has a later claim has ended it, or anybody else.
#[tokio::test]
async fn whoever_was_overtaken_is_told_apart_from_whoever_has_lost_his_session() {
    for is_overtaken in [true, false] {
        let database = Database::new().await;
        let slow = expansion("a", 8, &["SELECT SLEEP(600)"]);
        let ended = async {
            let at_work =
                "FROM information_schema.processlist WHERE db = DATABASE() AND info = 'SELECT SLEEP(600)'";
            database.until(&format!("SELECT COUNT(*) {at_work}")).await;
            if is_overtaken {
                database.run("UPDATE cutover_ledger_fence SET epoch_sequence = 9").await;
            }
            let id = database.count(&format!("SELECT id {at_work}")).await;
            database.run(&format!("KILL {id}")).await;
        };
        let (outcome, ()) = tokio::join!(Box::pin(database.expand(&slow)), Box::pin(ended));
        let error = outcome.unwrap_err();
        let refused = matches!(error, Error::Refused(Refusal::Stale { highest: 9, given: 8 }));
        assert_eq!(refused, is_overtaken, "{error}");
        assert_eq!(error.retryable(), !is_overtaken, "{error}");
    }
}
