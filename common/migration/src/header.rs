//! What a migration's file says about itself: lines of the form `-- cutover: key=value` before its first statement.

/// The headers of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether the file runs in a transaction (`transaction=on`, the default) or outside one (`transaction=off`).
    pub transaction: bool,
}

/// A header that can't be used, and its line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeader {
    /// It isn't known.
    #[error("line {line}: '{text}' is not a header; the only one is transaction=off")]
    Unknown {
        /// Its line, from 1.
        line: usize,
        /// What stands after `cutover:`.
        text: String,
    },
    /// It stands where it would be overlooked.
    #[error("line {line}: a header must stand before the first statement, in line {statement}")]
    Late {
        /// Its line, from 1.
        line: usize,
        /// The line of the first statement.
        statement: usize,
    },
}

impl Header {
    /// Reads the headers of `sql`, whose first statement starts in line `statement`.
    pub fn read(sql: &str, statement: usize) -> Result<Self, InvalidHeader> {
        let mut header = Self { transaction: true };
        for (line, text) in (1..).zip(sql.lines()) {
            let Some(text) =
                text.trim().strip_prefix("--").and_then(|text| text.trim().strip_prefix("cutover:"))
            else {
                continue;
            };
            if line > statement {
                return Err(InvalidHeader::Late { line, statement });
            }
            header.transaction = match text.trim() {
                "transaction=on" => true,
                "transaction=off" => false,
                text => return Err(InvalidHeader::Unknown { line, text: text.to_owned() }),
            };
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_runs_in_a_transaction_unless_it_says_otherwise() {
        assert_eq!(Header::read("-- Adds a column.\nSELECT 1", 2), Ok(Header { transaction: true }));
        assert_eq!(
            Header::read("-- why\n--cutover: transaction=off\nSELECT 1", 3),
            Ok(Header { transaction: false })
        );
    }

    #[test]
    fn a_header_that_would_be_overlooked_is_refused() {
        let unknown = InvalidHeader::Unknown { line: 1, text: "transaction=no".to_owned() };
        assert_eq!(Header::read("-- cutover: transaction=no\nSELECT 1", 2), Err(unknown));
        let late = InvalidHeader::Late { line: 2, statement: 1 };
        assert_eq!(Header::read("SELECT 1;\n-- cutover: transaction=off", 1), Err(late));
    }
}
