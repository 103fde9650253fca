//! SECURITY.md, held to the tests that it names.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const PAGE: &str = include_str!("../../../SECURITY.md");
/// How many ways in the page must show.
const LEAST: usize = 40;

/// One row of the table of threats.
struct Row<'a> {
    attempt: &'a str,
    file: &'a str,
    test: &'a str,
}

fn rows() -> Vec<Row<'static>> {
    let (_, threats) = PAGE.split_once("\n## Threats\n").unwrap();
    let table = threats.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| attempt |"));
    let row = |line: &'static str| {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [attempt, stops, test] = cells[..] else { panic!("not three cells: {line}") };
        assert!(!stops.is_empty(), "nothing stops {attempt}");
        let (file, test) = test.trim_matches('`').split_once("` `").unwrap_or_else(|| panic!("{line}"));
        Row { attempt, file, test }
    };
    table.map(row).collect()
}

/// Whether a text has a test of that name that is run.
fn has_test(text: &str, name: &str) -> bool {
    let head = format!("fn {name}(");
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let is_head = |line: &str| line.starts_with(&head) || line.starts_with(&format!("async {head}"));
    lines.iter().position(|line| is_head(line)).is_some_and(|at| {
        let attributes = || lines.iter().take(at).rev().take_while(|line| line.starts_with("#["));
        attributes().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
            && !attributes().any(|line| line.starts_with("#[ignore"))
    })
}

#[test]
fn every_threat_names_a_test_that_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for Row { attempt, file, test } in rows() {
        let text = fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(has_test(&text, test), "{attempt}: no test {test} in {file}");
    }
}

#[test]
fn no_threat_and_no_test_stands_there_twice() {
    let rows = rows();
    let attempts: BTreeSet<_> = rows.iter().map(|row| row.attempt).collect();
    let tests: BTreeSet<_> = rows.iter().map(|row| (row.file, row.test)).collect();
    for row in &rows {
        let same = rows.iter().filter(|other| (other.file, other.test) == (row.file, row.test)).count();
        assert_eq!(same, 1, "{} {}", row.file, row.test);
    }
    assert_eq!((attempts.len(), tests.len()), (rows.len(), rows.len()));
    assert!(rows.len() >= LEAST, "{} rows", rows.len());
}

#[test]
fn what_is_no_test_is_not_taken_for_one() {
    let text = "#[test]\nfn a() {}\nfn b() {}\n#[test]\n#[ignore]\nfn c() {}\n    #[tokio::test]\n    async fn d() {}\n";
    let found = ["a", "b", "c", "d", "e"].map(|name| has_test(text, name));
    assert_eq!(found, [true, false, false, true, false]);
}
