//! Amounts of bytes for people.

use cutover_core::Bytes;

/// `512 B`, `3.1 kB`, `20.0 MB`.
pub(crate) fn bytes(amount: u64) -> String {
    Bytes(amount).to_string()
}
