//! The database that is measured.

use anyhow::Context;
use cutover_e2e::Mariadb;
use mysql_async::{Conn, Opts, OptsBuilder};

/// A server that is gone when this is dropped.
pub(crate) struct Server(Mariadb);

impl Server {
    /// Starts one whose commits are on the disk when they are answered, other than a test's. As most are, it shows nobody who
    /// holds the locks of tables.
    pub(crate) fn start(name: &str) -> anyhow::Result<Self> {
        let durable = ["--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=512M"];
        Ok(Self(Mariadb::start(name, &durable)?))
    }

    /// The address of its database.
    pub(crate) fn url(&self) -> &str {
        &self.0.url
    }

    /// A session of its own.
    pub(crate) async fn session(&self) -> anyhow::Result<Conn> {
        let options = OptsBuilder::from_opts(Opts::from_url(self.url())?).prefer_socket(false);
        Conn::new(options).await.context("no session with the database")
    }
}
