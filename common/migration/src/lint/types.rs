//! Which changes of a column's type PostgreSQL makes without looking at the rows.

/// A type as it is compared: its name, and the numbers in its parentheses.
#[derive(Debug, PartialEq, Eq)]
struct Type {
    name: String,
    limits: Vec<u32>,
}

/// Whether a column of type `old` becomes `new` by a change of the catalog alone (manual, ALTER TABLE, notes; the casts are
/// those of `pg_cast` that are binary coercible, and the length coercions that do nothing when a limit grows).
pub(super) fn is_harmless(old: &str, new: &str) -> bool {
    let (Some(old), Some(new)) = (read(old), read(new)) else { return false };
    let wider = |least: usize| match (old.limits.get(least), new.limits.get(least)) {
        (_, None) => true,
        (Some(old), Some(new)) => new >= old,
        (None, Some(_)) => false,
    };
    match (old.name.as_str(), new.name.as_str()) {
        ("varchar", "varchar") | ("varbit", "varbit") => wider(0),
        ("varchar", "text") | ("cidr", "inet") => true,
        ("text", "varchar") => new.limits.is_empty(),
        ("numeric", "numeric") => {
            let scale = |limits: &[u32]| limits.get(1).copied().unwrap_or(0);
            new.limits.is_empty() || wider(0) && scale(&old.limits) == scale(&new.limits)
        }
        ("timestamp" | "timestamptz" | "time" | "timetz" | "interval", same) => same == old.name && wider(0),
        (name, same) => name == same && old.limits == new.limits,
    }
}

/// Reads a type. None: it is an array or something else that isn't compared.
fn read(text: &str) -> Option<Type> {
    let text = text.trim().to_ascii_lowercase();
    let (before, limits, after) = match text.split_once('(') {
        None => (text.as_str(), "", ""),
        Some((before, rest)) => {
            let (limits, after) = rest.split_once(')')?;
            (before, limits, after)
        }
    };
    let limits = limits.split(',').map(str::trim).filter(|limit| !limit.is_empty());
    let limits = limits.map(|limit| limit.parse().ok()).collect::<Option<Vec<u32>>>()?;
    let words: Vec<&str> = before.split_whitespace().chain(after.split_whitespace()).collect();
    let name = words.join(" ");
    let name = match name.strip_prefix("pg_catalog.").unwrap_or(&name) {
        "character varying" | "varchar" => "varchar",
        "bit varying" | "varbit" => "varbit",
        "numeric" | "decimal" => "numeric",
        "timestamp" | "timestamp without time zone" => "timestamp",
        "timestamptz" | "timestamp with time zone" => "timestamptz",
        "time" | "time without time zone" => "time",
        "timetz" | "time with time zone" => "timetz",
        "int" | "int4" | "integer" => "integer",
        "int8" | "bigint" => "bigint",
        other if other.contains('[') => return None,
        other => other,
    };
    Some(Type { name: name.to_owned(), limits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widening_is_harmless() {
        for (old, new) in [
            ("varchar(20)", "character varying(30)"),
            ("varchar(20)", "text"),
            ("varchar(20)", "varchar"),
            ("text", "varchar"),
            ("numeric(10,2)", "numeric(12, 2)"),
            ("numeric(10,2)", "numeric"),
            ("timestamp(3)", "timestamp(6) without time zone"),
            ("cidr", "inet"),
            ("int", "integer"),
        ] {
            assert!(is_harmless(old, new), "{old} -> {new}");
        }
    }

    #[test]
    fn everything_else_is_not() {
        for (old, new) in [
            ("varchar(20)", "varchar(10)"),
            ("varchar", "varchar(10)"),
            ("text", "varchar(10)"),
            ("char(10)", "text"),
            ("numeric(10,2)", "numeric(12,3)"),
            ("integer", "bigint"),
            ("timestamp", "timestamptz"),
            ("json", "jsonb"),
            ("text[]", "text[]"),
        ] {
            assert!(!is_harmless(old, new), "{old} -> {new}");
        }
    }
}
