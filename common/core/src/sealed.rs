//! Values of the person who deploys, on their way to the programs that need them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Program, Reference};

/// Values of references that belong to the person who deploys, each sealed to the programs that need it: nobody else can
/// read them, whoever reads the journal included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(BTreeMap<Reference, BTreeMap<Program, String>>);

impl Sealed {
    /// Nothing.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts in what a program is to have of a reference: in base64, what its key alone opens.
    pub fn put(&mut self, reference: Reference, reader: Program, sealed: String) {
        self.0.entry(reference).or_default().insert(reader, sealed);
    }

    /// What a program has been given of a reference.
    pub fn of(&self, reference: &Reference, reader: Program) -> Option<&str> {
        self.0.get(reference)?.get(&reader).map(String::as_str)
    }

    /// How much all of it takes in the journal, in bytes, about.
    pub fn size(&self) -> usize {
        self.0.values().flat_map(BTreeMap::values).map(String::len).sum()
    }
}
