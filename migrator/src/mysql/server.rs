//! What a server is, and whether it can be changed.

use std::collections::BTreeMap;

use cutover_core::Engine;

use crate::Error;

/// What is asked of a server. Each kind lacks some of them.
pub(super) const VARIABLES: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
    ('version', 'version_comment', 'read_only', 'super_read_only', 'innodb_read_only', 'wsrep_on', 'log_bin', 'binlog_format', \
    'group_replication_group_name', 'group_replication_single_primary_mode')";

/// From these versions on a change of the schema is done or not done, whatever ends the server (MySQL's manual, 15.1.1;
/// MariaDB's knowledge base, Atomic DDL).
const MYSQL: (u32, u32) = (8, 0);
const MARIADB: (u32, u32) = (10, 6);

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// MySQL or MariaDB.
    pub(super) engine: Engine,
    /// Whether what is done to rows is written to the log as statements, which InnoDB refuses below REPEATABLE READ.
    pub(super) logs_statements: bool,
    /// Whether it is a member of a group of which others are written to as well (MySQL's manual, 20.1.3).
    pub(super) shares_writes: bool,
}

impl Server {
    /// Reads what `name`, of which [`VARIABLES`] were asked, is, and finds it fit for migrations of `engine`.
    pub(super) fn read(
        variables: &BTreeMap<String, String>,
        engine: Engine,
        name: &str,
    ) -> Result<Self, Error> {
        let value = |variable: &str| variables.get(variable).map_or("", String::as_str);
        let is_on = |variable| value(variable).eq_ignore_ascii_case("ON");
        let version = value("version");
        let is_mariadb = version.contains("MariaDB") || value("version_comment").contains("MariaDB");
        let (found, oldest) = if is_mariadb { (Engine::Mariadb, MARIADB) } else { (Engine::Mysql, MYSQL) };
        if found != engine {
            let kind = if is_mariadb { "MariaDB" } else { "MySQL" };
            let found = format!("{kind} server ({version})");
            return Err(Error::OtherServer { server: name.to_owned(), found, engine });
        }
        let unfit = |why| Err(Error::Unfit { server: name.to_owned(), why });
        let mut numbers =
            version.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
        if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < oldest {
            return unfit("it is older than MySQL 8.0 or MariaDB 10.6, where a change may be done by half");
        }
        if is_on("super_read_only") || is_on("read_only") || is_on("innodb_read_only") {
            return unfit("it is read-only, as a replica is; give the address of the primary");
        }
        if is_on("wsrep_on") {
            return unfit(
                "it is a node of a Galera cluster, in which locks hold on one node only and changes stop all of them",
            );
        }
        let logs_statements = is_on("log_bin") && value("binlog_format").eq_ignore_ascii_case("STATEMENT");
        let shares_writes = !value("group_replication_group_name").is_empty()
            && !is_on("group_replication_single_primary_mode");
        Ok(Self { engine, logs_statements, shares_writes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)], engine: Engine) -> Result<Server, String> {
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Server::read(&variables, engine, "db:3306/shop").map_err(|error| error.to_string())
    }

    const MARIADB: (&str, &str) = ("version", "10.11.6-MariaDB-0+deb12u1-log");
    const MYSQL: (&str, &str) = ("version", "8.0.36");

    #[test]
    fn a_server_of_another_kind_is_told_from_the_declared_one() {
        assert!(read(&[MARIADB], Engine::Mariadb).is_ok() && read(&[MYSQL], Engine::Mysql).is_ok());
        let message = read(&[MARIADB], Engine::Mysql).err().unwrap_or_default();
        assert!(
            message.contains("MariaDB server (10.11.6") && message.contains("are for mysql"),
            "{message}"
        );
        assert!(read(&[MYSQL], Engine::Mariadb).is_err());
    }

    #[test]
    fn a_server_that_takes_no_changes_or_does_them_by_half_is_refused_with_the_reason() {
        let why = |variables: &[(&str, &str)]| {
            let all: Vec<_> = [MARIADB].into_iter().chain(variables.iter().copied()).collect();
            read(&all, Engine::Mariadb).err().unwrap_or_default()
        };
        assert!(why(&[("read_only", "ON")]).contains("the primary"));
        assert!(why(&[("wsrep_on", "ON")]).contains("Galera"));
        assert!(why(&[("version", "10.5.23-MariaDB")]).contains("older"));
        assert!(read(&[("version", "5.7.44")], Engine::Mysql).is_err());
    }

    #[test]
    fn a_member_of_a_group_with_several_primaries_is_known() {
        let shares = |mode| {
            let variables = [
                MYSQL,
                ("group_replication_group_name", "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"),
                ("group_replication_single_primary_mode", mode),
            ];
            read(&variables, Engine::Mysql).map(|server| server.shares_writes)
        };
        assert_eq!((shares("ON"), shares("OFF")), (Ok(false), Ok(true)));
        // The plugin alone is no group, and most servers don't have it.
        let loaded = [MYSQL, ("group_replication_group_name", "")];
        assert_eq!(read(&loaded, Engine::Mysql).map(|server| server.shares_writes), Ok(false));
        assert_eq!(read(&[MYSQL], Engine::Mysql).map(|server| server.shares_writes), Ok(false));
    }

    #[test]
    fn whether_rows_are_logged_as_statements_is_known() {
        let logs = |format, log| {
            read(&[MARIADB, ("log_bin", log), ("binlog_format", format)], Engine::Mariadb)
                .map(|server| server.logs_statements)
        };
        assert_eq!(logs("STATEMENT", "ON"), Ok(true));
        assert_eq!((logs("STATEMENT", "OFF"), logs("MIXED", "ON")), (Ok(false), Ok(false)));
    }
}
