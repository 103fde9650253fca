//! The bus, the programs, and the artifact store.

use std::collections::{BTreeMap, BTreeSet};

use cutover_core::{Failure, PROTOCOL, Program};
use cutover_store::Store;

use super::finding::{Finding, Part};
use crate::session::Session;

/// What is put into the store, and read back.
const SAMPLE: &[u8] = b"cutover doctor was here";

/// What is found of the bus and of who works on it.
pub(super) async fn programs(session: &Session) -> Vec<Finding> {
    let mut found = vec![Part::Bus.good(format!("the journal is {}", session.journal.id()))];
    found.extend(session.exposures().into_iter().map(|(text, fix)| Part::Bus.advice(text, fix)));
    let present = match session.present().await {
        Ok(present) => present,
        Err(error) => {
            let retry = error.retryable();
            found.push(Part::Programs.failed(Failure::of(&error, retry)));
            return found;
        }
    };
    let mut by_program: BTreeMap<Program, Vec<(String, u32)>> = BTreeMap::new();
    for there in present {
        by_program.entry(there.program).or_default().push((there.version, there.protocol));
    }
    found.extend(Program::ALL.map(|program| program_found(program, by_program.get(&program))));
    found
}

/// What is found of one, of whose instances the versions and protocols are given.
fn program_found(program: Program, there: Option<&Vec<(String, u32)>>) -> Finding {
    let Some(there) = there else {
        let fix = format!(
            "cutover up --restart on this machine; with a standing NATS server: start {}",
            program.binary()
        );
        return Part::Programs.wrong(format!("no {program} runs"), Some(fix));
    };
    let (own, newest) = (env!("CARGO_PKG_VERSION"), PROTOCOL);
    let versions: BTreeSet<&str> = there.iter().map(|(version, _)| version.as_str()).collect();
    let versions = versions.into_iter().collect::<Vec<_>>().join(" and ");
    let text = format!("{program}: {} of version {versions}", there.len());
    if let Some((_, old)) = there.iter().find(|(_, protocol)| *protocol < newest) {
        let text =
            format!("{text}, one of which knows protocol {old}, and this is cutover {own} with {newest}");
        return Part::Programs.wrong(text, Some(format!("upgrade {}", program.binary())));
    }
    if versions == own {
        Part::Programs.good(text)
    } else {
        Part::Programs.advice(format!("{text}, and this is cutover {own}"), "upgrade what is older")
    }
}

/// Whether the artifact store takes something, and gives it back.
pub(super) async fn store(session: &Session) -> Finding {
    let tried = async {
        let store: Store = session.store().await?;
        let digest = store.put_bytes(SAMPLE).await?;
        let back = store.get_bytes(&digest, SAMPLE.len() as u64).await?;
        anyhow::ensure!(back == SAMPLE, "it gives back something else than it was given");
        Ok(())
    };
    match tried.await {
        Ok(()) => Part::Store.good("takes what it is given, and gives it back".to_owned()),
        Err(error) => {
            Part::Store.wrong(format!("{error:#}"), Some("docs/environment.md: CUTOVER_STORE".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Grade;
    use super::*;

    #[test]
    fn a_program_that_is_missing_or_old_is_told() {
        let own = env!("CARGO_PKG_VERSION");
        let grade = |there: Option<&[(&str, u32)]>| {
            let there = there.map(|all| {
                all.iter().map(|(version, protocol)| ((*version).to_owned(), *protocol)).collect()
            });
            program_found(Program::Shipper, there.as_ref()).grade
        };
        assert_eq!(grade(None), Grade::Wrong);
        assert_eq!(grade(Some(&[(own, PROTOCOL), (own, PROTOCOL)])), Grade::Good);
        assert_eq!(grade(Some(&[(own, PROTOCOL), ("0.0.1", PROTOCOL)])), Grade::Advice);
        assert_eq!(grade(Some(&[(own, PROTOCOL), (own, PROTOCOL - 1)])), Grade::Wrong);
    }
}
