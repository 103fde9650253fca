//! What is dangerous in a migration, why, and what to write in its place.

use cutover_core::Phase;

/// What a statement does to those who use the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Nothing that they notice.
    Safe,
    /// The version that serves may need what it changes.
    NeedsContract,
    /// Writes wait.
    BlocksWrites,
    /// Reads and writes wait.
    BlocksReads,
    /// The whole table is written again, while reads and writes wait.
    RewritesTable,
    /// Something is gone.
    Destructive,
}

impl Class {
    /// The name in front of people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::NeedsContract => "needs contract",
            Self::BlocksWrites => "blocks writes",
            Self::BlocksReads => "blocks reads",
            Self::RewritesTable => "rewrites the table",
            Self::Destructive => "destructive",
        }
    }
}

/// Whether a migration that breaks a rule runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It is told, and runs.
    Warned,
    /// It doesn't, unless an override names the rule.
    Refused,
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rule(&'static Text);

/// What is known of a rule.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Text {
    name: &'static str,
    class: Class,
    scope: Scope,
    why: &'static str,
    instead: &'static str,
}

/// Where a rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Scope {
    /// In every phase.
    Everywhere,
    /// Before the contract: there it is what was meant.
    BeforeContract,
    /// In every phase, as a warning.
    Warning,
}

macro_rules! rules {
    ($($id:ident = $name:literal, $class:ident, $scope:ident, $why:literal, $instead:literal;)*) => {
        impl Rule {
            /// Every rule.
            pub const ALL: &[Self] = &[$(Self::$id),*];
            $(
                #[doc = $why]
                pub const $id: Self =
                    Self(&Text { name: $name, class: Class::$class, scope: Scope::$scope, why: $why, instead: $instead });
            )*
        }
    };
}

rules! {
    INDEX = "index", BlocksWrites, Everywhere, "the index is built while writes to the table wait", "CREATE INDEX CONCURRENTLY, in a part with transaction=off";
    DROP_INDEX = "drop-index", BlocksReads, Everywhere, "reads and writes of the table wait for the lock, and for whoever holds it", "DROP INDEX CONCURRENTLY, in a part with transaction=off";
    REINDEX = "reindex", BlocksWrites, Everywhere, "the index is built again while writes to its table wait", "REINDEX INDEX CONCURRENTLY, in a part with transaction=off";
    UNIQUE = "unique", BlocksReads, Everywhere, "the index behind the constraint is built while reads and writes wait", "CREATE UNIQUE INDEX CONCURRENTLY, then ADD CONSTRAINT … USING INDEX";
    FOREIGN_KEY = "foreign-key", BlocksWrites, Everywhere, "all rows are checked while writes to both tables wait", "ADD CONSTRAINT … NOT VALID, then VALIDATE CONSTRAINT in a part of its own";
    CHECK = "check", BlocksReads, Everywhere, "all rows are checked while reads and writes wait", "ADD CONSTRAINT … NOT VALID, then VALIDATE CONSTRAINT in a part of its own";
    VALIDATE = "validate", BlocksWrites, Everywhere, "the rows are checked under the lock that ADD CONSTRAINT has taken in the same transaction", "put '-- cutover: part' above VALIDATE CONSTRAINT";
    NOT_NULL_SCAN = "not-null-scan", BlocksReads, Everywhere, "all rows are checked while reads and writes wait", "first ADD CONSTRAINT … CHECK (… IS NOT NULL) NOT VALID and VALIDATE it, each in a part of its own: then nothing is left to check";
    NOT_NULL = "not-null", NeedsContract, BeforeContract, "the version that serves may still write NULL", "move it to the contract";
    ADD_REQUIRED = "add-required", NeedsContract, Everywhere, "the rows that are there have no value for it, and the version that serves gives none", "give it a DEFAULT; or add it without NOT NULL, fill it, and set NOT NULL in the contract";
    ADD_COMPUTED = "add-computed", RewritesTable, Everywhere, "each row gets a value of its own, so all of them are written again", "add the column without it, then ALTER COLUMN … SET DEFAULT, then a backfill";
    CHANGE_TYPE = "change-type", RewritesTable, Everywhere, "all rows are written again while reads and writes wait, and prepared statements fail", "change_type: a new column that is written along, and a backfill";
    CHANGE_TYPE_UNKNOWN = "change-type-unknown", RewritesTable, Warning, "what the type was isn't in this folder: unless it is a widening, all rows are written again", "change_type: a new column that is written along, and a backfill";
    RENAME = "rename", NeedsContract, BeforeContract, "the version that serves knows the old name only", "rename_column or rename_table: both names until the contract";
    DROP_COLUMN = "drop-column", Destructive, BeforeContract, "the version that serves may read or write it", "move it to the contract";
    DROP_TABLE = "drop-table", Destructive, BeforeContract, "the version that serves may read or write it", "move it to the contract";
    DROP = "drop", Destructive, BeforeContract, "the version that serves may use it", "move it to the contract";
    DROP_DATABASE = "drop-database", Destructive, Everywhere, "all of it is gone", "do it by hand";
    TRUNCATE = "truncate", Destructive, Everywhere, "all rows are gone, while reads and writes wait", "a DELETE in batches, by the application";
    CHANGE_DEFAULT = "change-default", NeedsContract, BeforeContract, "the version that serves would get the new default", "move it to the contract";
    SET_SCHEMA = "set-schema", NeedsContract, BeforeContract, "the version that serves knows the old place only", "a view in the other schema until the contract";
    REVOKE = "revoke", NeedsContract, BeforeContract, "the version that serves may need the right", "move it to the contract";
    UNBOUNDED = "unbounded", BlocksWrites, Everywhere, "all rows that it writes stay locked until it ends, however many there are", "a backfill: VERSION_name.backfill.sql";
    MIXED = "mixed", BlocksReads, Everywhere, "rows are written under the lock that a change of the schema has taken in the same transaction", "put '-- cutover: part' between them";
    AFTER_LOCK = "after-lock", BlocksReads, Everywhere, "another table's lock is waited for while reads and writes of the first wait", "put '-- cutover: part' between them";
    FOREIGN_KEYS = "foreign-keys", BlocksWrites, Everywhere, "more than one foreign key in a transaction locks three tables or more at once", "put '-- cutover: part' between them";
    VACUUM_FULL = "vacuum-full", RewritesTable, Everywhere, "the table is written again while reads and writes wait", "VACUUM, by hand; or pg_repack";
    CLUSTER = "cluster", RewritesTable, Everywhere, "the table is written again while reads and writes wait", "pg_repack, by hand";
    MOVE = "move", RewritesTable, Everywhere, "the table is written again while reads and writes wait", "a new table, written along, and a backfill";
    LOCK = "lock", BlocksReads, Everywhere, "whoever uses the table waits until the transaction ends", "leave it out: each statement takes the lock that it needs";
    TIMEOUT = "timeout", BlocksReads, Everywhere, "it takes away the limit within which a lock that isn't given is given up", "leave it out: the migrator sets it";
    REFRESH = "refresh", BlocksReads, Everywhere, "reads of the view wait until it is computed", "REFRESH MATERIALIZED VIEW CONCURRENTLY, by the application";
    JSON = "json", NeedsContract, Warning, "json can't be compared: SELECT DISTINCT, GROUP BY and UNION over the table fail", "jsonb";
    ATTACH = "attach", BlocksReads, Everywhere, "all rows of the partition are checked while reads and writes of it wait", "first a CHECK on the partition that says what its bounds say, NOT VALID, and VALIDATE it";
    DETACH = "detach", BlocksReads, Everywhere, "reads and writes of the whole table wait for the lock", "DETACH PARTITION … CONCURRENTLY, by hand";
    TRIGGER = "trigger", BlocksWrites, Warning, "it runs for what the version that serves writes too; and writes wait for its lock", "an operation, where one does what is meant; and drop it in the contract";
    DISABLE_TRIGGER = "disable-trigger", NeedsContract, BeforeContract, "the version that serves may rely on it", "move it to the contract";
    DOMAIN = "domain", BlocksWrites, Everywhere, "all columns of the domain are checked while writes wait", "ADD CONSTRAINT … NOT VALID, then VALIDATE CONSTRAINT in a part of its own";
    CODE = "code", NeedsContract, Everywhere, "what the code in it does can't be seen", "write the statements themselves";
    UNREAD = "unread", NeedsContract, Everywhere, "it couldn't be read, so nothing is known of it", "see whether it is what you mean";
    ALGORITHM = "algorithm", BlocksWrites, Everywhere, "the server may copy the table while writes wait: it isn't told not to", "add ALGORITHM=INSTANT; where that isn't supported, ALGORITHM=INPLACE, LOCK=NONE";
    COPY = "copy", BlocksWrites, Everywhere, "the table is copied, or locked, while writes wait", "ALGORITHM=INSTANT; where that isn't supported, ALGORITHM=INPLACE, LOCK=NONE";
}

impl Rule {
    /// The rule of that name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|rule| rule.name() == name).copied()
    }

    /// Its name, as overrides have it.
    pub const fn name(self) -> &'static str {
        self.0.name
    }

    /// What the statement does to those who use the database.
    pub const fn class(self) -> Class {
        self.0.class
    }

    /// Why.
    pub const fn why(self) -> &'static str {
        self.0.why
    }

    /// What to write in its place.
    pub const fn instead(self) -> &'static str {
        self.0.instead
    }

    /// Whether its statement is fine in the contract.
    pub(super) fn is_for_contract(self) -> bool {
        self.0.instead == "move it to the contract"
    }

    /// Whether a statement of `phase` that breaks it runs; none where it is what the phase is for.
    pub const fn severity(self, phase: Phase) -> Option<Severity> {
        match (self.0.scope, phase) {
            (Scope::BeforeContract, Phase::Contract) => None,
            (Scope::Everywhere | Scope::BeforeContract, _) => Some(Severity::Refused),
            (Scope::Warning, _) => Some(Severity::Warned),
        }
    }
}
