//! The database that is measured.

use anyhow::Context;
use cutover_e2e::Database;
use tokio_postgres::{Client, NoTls};

/// A server that is gone when this is dropped.
pub(crate) struct Server(Database);

impl Server {
    /// Starts one whose commits are on the disk when they are answered, other than a test's.
    pub(crate) async fn start(name: &str) -> anyhow::Result<Self> {
        let server = Self(Database::start(name)?);
        let session = server.session().await?;
        for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
            session.batch_execute(&format!("ALTER SYSTEM SET {setting} = on")).await?;
        }
        session.batch_execute("SELECT pg_reload_conf()").await?;
        Ok(server)
    }

    /// The address of its database.
    pub(crate) fn url(&self) -> &str {
        &self.0.url
    }

    /// A session of its own.
    pub(crate) async fn session(&self) -> anyhow::Result<Client> {
        let (client, connection) =
            tokio_postgres::connect(self.url(), NoTls).await.context("no session with the database")?;
        tokio::spawn(connection);
        Ok(client)
    }
}
