//! Values of the person who deploys, on their way to the programs that need them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{NeededSecret, Program, Reference};

/// Values of references that belong to the person who deploys, each sealed to the programs that need it: nobody else can
/// read them, whoever reads the journal included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(BTreeMap<Reference, BTreeMap<Program, SealedValue>>);

/// A value that one program alone can read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedValue {
    /// The public key that it was sealed to.
    pub to: String,
    /// What that key opens, in base64.
    pub text: String,
}

impl Sealed {
    /// Nothing.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts in what a program is to have of a reference.
    pub fn put(&mut self, reference: Reference, reader: Program, value: SealedValue) {
        self.0.entry(reference).or_default().insert(reader, value);
    }

    /// What a program has been given of a reference.
    pub fn of(&self, reference: &Reference, reader: Program) -> Option<&SealedValue> {
        self.0.get(reference)?.get(&reader)
    }

    /// How much all of it takes in the journal, in bytes, about.
    pub fn size(&self) -> usize {
        self.0.values().flat_map(BTreeMap::values).map(|value| value.to.len() + value.text.len()).sum()
    }

    /// What of it these need, and nothing else.
    #[must_use]
    pub fn only(&self, needed: &[NeededSecret<'_>]) -> Self {
        let mut only = Self::new();
        for NeededSecret { reference, reader, .. } in needed {
            if let Some(value) = self.of(reference, *reader) {
                only.put((*reference).clone(), *reader, value.clone());
            }
        }
        only
    }

    /// The same, with what `newer` has for the switcher and the migrator: certificates, and the address of the database, are those of
    /// now, whichever version runs.
    #[must_use]
    pub fn renewed_by(&self, newer: &Self) -> Self {
        let mut renewed = self.clone();
        for (reference, values) in &mut renewed.0 {
            for (reader, value) in values {
                if matches!(reader, Program::Switcher | Program::Migrator)
                    && let Some(newer) = newer.of(reference, *reader)
                {
                    *value = newer.clone();
                }
            }
        }
        renewed
    }

    /// What these need of the person who deploys and can't have: it isn't there, or sealed to another key than its reader's.
    pub fn lacks<'a>(
        &self,
        needed: Vec<NeededSecret<'a>>,
        keys: &BTreeMap<Program, String>,
    ) -> Vec<NeededSecret<'a>> {
        let opens = |needed: &NeededSecret<'_>| {
            let value = self.of(needed.reference, needed.reader);
            value.is_some_and(|value| keys.get(&needed.reader) == Some(&value.to))
        };
        needed.into_iter().filter(|needed| needed.reference.is_persons() && !opens(needed)).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn reference(text: &str) -> Reference {
        text.parse().unwrap()
    }

    fn sealed(values: &[(&str, Program, &str)]) -> Sealed {
        let mut sealed = Sealed::new();
        for (text, reader, value) in values {
            let value = SealedValue { to: format!("U{reader}"), text: (*value).to_owned() };
            sealed.put(reference(text), *reader, value);
        }
        sealed
    }

    fn needed(reference: &Reference, reader: Program) -> NeededSecret<'_> {
        NeededSecret { key: reference.to_string(), reference, reader }
    }

    #[test]
    fn it_comes_back_from_json_and_nothing_of_it_is_lost() {
        let sealed = sealed(&[("env://A", Program::Shipper, "a"), ("cmd://b c", Program::Builder, "b")]);
        let text = serde_json::to_string(&sealed).unwrap();
        assert_eq!(serde_json::from_str::<Sealed>(&text).unwrap(), sealed);
        assert_eq!(sealed.size(), "UshipperaUbuilderb".len());
    }

    #[test]
    fn a_release_keeps_what_it_needs_and_not_what_made_it() {
        let given = sealed(&[
            ("env://A", Program::Shipper, "a"),
            ("env://A", Program::Builder, "b"),
            ("env://B", Program::Builder, "c"),
        ]);
        let a = reference("env://A");
        let kept = given.only(&[needed(&a, Program::Shipper), needed(&a, Program::Migrator)]);
        assert_eq!(kept, sealed(&[("env://A", Program::Shipper, "a")]));
    }

    #[test]
    fn whoever_goes_back_keeps_the_certificate_of_now_and_the_containers_of_then() {
        let then = sealed(&[
            ("env://A", Program::Shipper, "then"),
            ("env://A", Program::Migrator, "then"),
            ("file:///tls", Program::Switcher, "then"),
            ("env://GONE", Program::Switcher, "then"),
        ]);
        let now = sealed(&[
            ("env://A", Program::Shipper, "now"),
            ("env://A", Program::Migrator, "now"),
            ("file:///tls", Program::Switcher, "now"),
            ("env://NEW", Program::Switcher, "now"),
        ]);
        let expected = sealed(&[
            ("env://A", Program::Shipper, "then"),
            ("env://A", Program::Migrator, "now"),
            ("file:///tls", Program::Switcher, "now"),
            ("env://GONE", Program::Switcher, "then"),
        ]);
        assert_eq!(then.renewed_by(&now), expected);
    }

    #[test]
    fn what_is_missing_or_for_another_key_is_known_before() {
        let keys: BTreeMap<Program, String> =
            [Program::Shipper, Program::Switcher].map(|program| (program, format!("U{program}"))).into();
        let given = sealed(&[("env://A", Program::Shipper, "a"), ("env://A", Program::Builder, "b")]);
        let [a, b, vault] = ["env://A", "env://B", "vault://kv/shop#key"].map(reference);
        let all = vec![
            needed(&a, Program::Shipper),
            needed(&a, Program::Builder),
            needed(&b, Program::Shipper),
            needed(&vault, Program::Shipper),
        ];
        let lacking: Vec<_> =
            given.lacks(all, &keys).into_iter().map(|needed| (needed.key, needed.reader)).collect();
        assert_eq!(
            lacking,
            [("env://A".to_owned(), Program::Builder), ("env://B".to_owned(), Program::Shipper)]
        );
    }
}
