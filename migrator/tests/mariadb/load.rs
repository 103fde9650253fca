//! An application that writes all the time, and writes down what it has written.

use tokio::task::JoinSet;

use crate::killed::Kind;
use crate::support::{Database, run};

/// Sessions that insert, update and delete rows. Each does the same to a table of its own in the same transaction.
pub(crate) struct Load(JoinSet<()>);

impl Load {
    /// Begins to write beside `rows` rows that are there.
    pub(crate) async fn start(database: &Database, kind: Kind, rows: u32) -> Self {
        let mut sessions = JoinSet::new();
        for number in 0..2_u32 {
            let mut session = database.session().await;
            sessions.spawn(async move {
                for turn in 0_u32.. {
                    let fresh = rows + 1 + 2 * turn + number;
                    let known = fastrand::u32(1..fresh);
                    let change = match turn % 4 {
                        0 | 1 => kind.both(&|table| kind.insert(table, fresh, &format!("new {turn}"))),
                        2 => kind.both(&|table| {
                            format!("UPDATE {table} SET old = 'changed {turn}' WHERE {};", kind.is(known))
                        }),
                        _ => kind.both(&|table| format!("DELETE FROM {table} WHERE {};", kind.is(known))),
                    };
                    run(&mut session, &format!("START TRANSACTION; {change} COMMIT")).await;
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                }
            });
        }
        Self(sessions)
    }

    /// Stops after what is being written.
    pub(crate) async fn stop(mut self) {
        // What failed before is told; what is cut off in mid-statement is rolled back on both tables.
        while let Some(ended) = self.0.try_join_next() {
            ended.unwrap();
        }
        self.0.shutdown().await;
    }
}
