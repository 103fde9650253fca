//! The server's redo log, which a backfill must not fill: once it is full, all who write wait until data is written.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cutover_migration::Migration;

use super::super::run::Run;
use crate::{Error, Progress};

/// From this share on it waits. The server itself begins to hold writers up at seven eighths.
const MARK: f64 = 0.75;

/// From one look to the next.
const LOOKS: Duration = Duration::from_millis(100);

/// How long the log may stand as it is before waiting is of no use: the server writes no data unless it must.
const STUCK: Duration = Duration::from_secs(5);

/// From one report to the next.
const REPORTS: Duration = Duration::from_secs(10);

/// What says how full it is: on MariaDB the first two, on MySQL from 8.0.30 on the others. Elsewhere nothing does.
const STATUS: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Innodb_checkpoint_age', 'Innodb_checkpoint_max_age', \
    'Innodb_redo_log_logical_size', 'Innodb_redo_log_capacity_resized')";

/// What a backfill knows of the log.
#[derive(Debug, Default)]
pub(super) struct Redo {
    looked: Option<Instant>,
    told: Option<Instant>,
}

impl Redo {
    /// Waits until there is room. Answers whether there was any need to.
    pub(super) async fn wait(&mut self, run: &mut Run<'_>, migration: &Migration) -> Result<bool, Error> {
        if self.looked.is_some_and(|at| at.elapsed() < LOOKS) {
            return Ok(false);
        }
        let (mut least, mut fell, mut waited) = (f64::INFINITY, Instant::now(), false);
        loop {
            let asked = run.session.query::<(String, String)>(STATUS).await;
            let status = asked.map_err(run.session.error("see how full the redo log is"))?;
            self.looked = Some(Instant::now());
            let filled = filled(&status.into_iter().collect());
            if filled < least {
                (least, fell) = (filled, Instant::now());
            }
            if filled < MARK || fell.elapsed() >= STUCK {
                return Ok(waited);
            }
            waited = true;
            if self.told.is_none_or(|at| at.elapsed() >= REPORTS) {
                self.told = Some(Instant::now());
                let percent = (filled * 100.0).round() as u32;
                run.tell(Progress::Flushing { version: migration.version(), percent });
            }
            tokio::time::sleep(LOOKS).await;
        }
    }
}

/// How full the log is, as far as the server says.
fn filled(status: &BTreeMap<String, String>) -> f64 {
    let number = |name: &str| status.get(name)?.parse::<f64>().ok();
    let share = |used, most| Some((number(used)?, number(most).filter(|most| *most > 0.0)?));
    let found = share("Innodb_checkpoint_age", "Innodb_checkpoint_max_age")
        .or_else(|| share("Innodb_redo_log_logical_size", "Innodb_redo_log_capacity_resized"));
    found.map_or(0.0, |(used, most)| used / most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_full_the_log_is_is_read_as_each_server_says_it() {
        let filled = |status: &[(&str, &str)]| {
            filled(&status.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        assert_eq!(filled(&[("Innodb_checkpoint_age", "750"), ("Innodb_checkpoint_max_age", "1000")]), 0.75);
        let mysql = [("Innodb_redo_log_logical_size", "512"), ("Innodb_redo_log_capacity_resized", "1024")];
        assert_eq!(filled(&mysql), 0.5);
        assert_eq!(filled(&[("Innodb_checkpoint_age", "750")]), 0.0);
        assert_eq!(filled(&[("Innodb_checkpoint_age", "7"), ("Innodb_checkpoint_max_age", "0")]), 0.0);
    }
}
