//! `cutover secrets check`: whether the secrets of the deploy file have values. What is the person's who deploys is looked for here; for
//! what is in a store the programs that need it are asked, as nobody else may read it. What is found is dropped at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use cutover_bus::Sightings;
use cutover_core::{Failure, NeededSecret, Program, Reference, Sighting, Target};
use futures_util::future::try_join_all;
use serde::Serialize;

use crate::args::{Global, Secrets, SecretsAction};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::project;
use crate::session::Session;

/// How long programs have for an answer: a store may take 15 s until it counts as away, a login comes before, and questions wait for
/// each other.
const LIMIT: Duration = Duration::from_secs(60);

pub(super) async fn run(options: &Global, args: Secrets, console: Console) -> anyhow::Result<Exit> {
    let SecretsAction::Check { place } = args.action;
    let options = options.at(place);
    let targets = project::targets(&options)?;
    let session = Session::open(&options, console).await?;
    let rows = rows(&session, &targets).await?;
    if rows.is_empty() {
        console.note("the deploy file names no secrets");
        return Ok(Exit::Ok);
    }
    let mut last = None;
    for row in &rows {
        if console.json {
            console.object(row)?;
            continue;
        }
        if last.replace(row.destination) != Some(row.destination) {
            console.line(row.destination)?;
        }
        console.line(row)?;
    }
    let missing: Vec<&Row<'_>> = rows.iter().filter(|row| !row.is_found()).collect();
    if missing.is_empty() {
        return Ok(Exit::Ok);
    }
    let passing = missing.iter().all(|row| row.is_passing());
    Err(Error::SecretsMissing { missing: missing.len(), all: rows.len(), passing }.into())
}

/// The same for who looks at more than that: of each, its destination, what is told, and whether it is found.
pub(super) async fn found<'a>(
    session: &Session,
    targets: &'a [Target],
) -> anyhow::Result<Vec<(&'a str, String, bool)>> {
    let rows = rows(session, targets).await?;
    Ok(rows.into_iter().map(|row| (row.destination, row.sentence(), row.is_found())).collect())
}

/// Every reference of these destinations, with what is told of it.
async fn rows<'a>(session: &Session, targets: &'a [Target]) -> anyhow::Result<Vec<Row<'a>>> {
    let mut rows = Vec::new();
    for target in targets {
        let destination = target.key.destination.as_str();
        let needed = target.needed_secrets();
        rows.extend(needed.into_iter().map(|NeededSecret { key, reference, reader }| Row {
            destination,
            key,
            reference,
            reader,
            told: Vec::new(),
        }));
    }
    if !rows.is_empty() {
        look(session, &mut rows).await?;
        ask(session, &mut rows).await?;
    }
    Ok(rows)
}

/// Looks here for what is the person's who deploys, and for whether it could be sealed.
async fn look(session: &Session, rows: &mut [Row<'_>]) -> anyhow::Result<()> {
    let keys = session.sealing_keys().await?;
    let mut looked_at: BTreeMap<&Reference, Sighting> = BTreeMap::new();
    for row in rows.iter_mut().filter(|row| row.reference.is_persons()) {
        let sighting = match looked_at.get(row.reference) {
            Some(sighting) => sighting.clone(),
            None => looked_at.entry(row.reference).or_insert(sighting(row.reference).await).clone(),
        };
        let sighting = match sighting {
            Sighting::Found { .. } if !keys.contains_key(&row.reader) => {
                let why =
                    format!("found here, and the bus names no key to seal it to {}", row.reader.as_str());
                Sighting::Missing { why, retry: false }
            }
            sighting => sighting,
        };
        row.told.push(Told { worker: None, sighting });
    }
    Ok(())
}

/// Whether a reference has a value here.
async fn sighting(reference: &Reference) -> Sighting {
    match cutover_secrets::read(reference).await {
        Ok(_) => Sighting::Found { version: None },
        Err(error) => Sighting::Missing { why: Failure::of(&error, false).message, retry: false },
    }
}

/// Asks all instances of the programs that need them.
async fn ask(session: &Session, rows: &mut [Row<'_>]) -> anyhow::Result<()> {
    let mut wanted: BTreeMap<Program, BTreeSet<&Reference>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.reference.is_remote()) {
        wanted.entry(row.reader).or_default().insert(row.reference);
    }
    let present = session.present().await?;
    let count = |program| present.iter().filter(|there| there.program == program).count();
    let asked = wanted.into_iter().map(async |(program, references)| {
        let references: Vec<&Reference> = references.into_iter().collect();
        let expected = count(program);
        let answers = session.bus.ask_for_secrets(program, &references, expected, LIMIT).await?;
        Ok::<_, cutover_bus::Error>((program, (references, expected, answers)))
    });
    let asked: BTreeMap<_, _> = try_join_all(asked).await?.into_iter().collect();
    for row in rows.iter_mut().filter(|row| row.reference.is_remote()) {
        let Some((references, expected, answers)) = asked.get(&row.reader) else { continue };
        let Some(place) = references.iter().position(|reference| *reference == row.reference) else {
            continue;
        };
        row.told = told(row.reader, *expected, answers, place);
    }
    Ok(())
}

/// What there is to tell of one reference, the place of which in the question is given.
fn told(program: Program, expected: usize, answers: &[Sightings], place: usize) -> Vec<Told> {
    let of = |Sightings { worker, sightings }: &Sightings| {
        let sighting = sightings.get(place)?.clone();
        Some(Told { worker: Some(worker.clone()), sighting })
    };
    let mut told: Vec<Told> = answers.iter().filter_map(of).collect();
    let nobody = |why: String| Told { worker: None, sighting: Sighting::Missing { why, retry: true } };
    if expected == 0 {
        told.push(nobody(format!("no {} is running", program.as_str())));
    } else if told.len() < expected {
        let (silent, name) = (expected - told.len(), program.as_str());
        told.push(nobody(format!(
            "{silent} of {expected} running as {name} didn't answer: of another version than this command, or too busy"
        )));
    }
    told
}

/// A reference and what is told of it, as `--json` has it.
#[derive(Serialize)]
struct Row<'a> {
    destination: &'a str,
    key: String,
    reference: &'a Reference,
    reader: Program,
    told: Vec<Told>,
}

/// What one instance of a program says.
#[derive(Clone, Serialize)]
struct Told {
    /// Its name, as in claims; none of those who didn't say anything.
    worker: Option<String>,
    #[serde(flatten)]
    sighting: Sighting,
}

impl Row<'_> {
    fn is_found(&self) -> bool {
        let all = self.told.iter().all(|told| matches!(told.sighting, Sighting::Found { .. }));
        all && !self.told.is_empty()
    }

    /// Whether all that is wrong may be gone later, with nobody mending anything here.
    fn is_passing(&self) -> bool {
        let lasts = |told: &Told| matches!(told.sighting, Sighting::Missing { retry: false, .. });
        !self.told.iter().any(lasts)
    }

    /// What a sighting says, without the reference, which stands before it.
    fn words(&self, sighting: &Sighting) -> String {
        match sighting {
            Sighting::Found { version: None } => "found".to_owned(),
            Sighting::Found { version: Some(version) } => format!("found, version {version}"),
            Sighting::Missing { why, .. } => {
                why.strip_prefix(&format!("{}: ", self.reference)).unwrap_or(why).to_owned()
            }
        }
    }
}

impl Row<'_> {
    /// Who needs it, and what is told of it.
    fn sentence(&self) -> String {
        let Self { key, reference, reader, .. } = self;
        let place = if reference.is_persons() { "here" } else { reader.as_str() };
        let all: Vec<String> = self.told.iter().map(|told| self.words(&told.sighting)).collect();
        let mut others = all.iter().skip(1);
        let told = match all.first() {
            Some(first) if others.all(|other| other == first) => first.clone(),
            _ => {
                let each = self.told.iter().zip(&all).map(|(Told { worker, .. }, words)| match worker {
                    Some(worker) => format!("{worker}: {words}"),
                    None => words.clone(),
                });
                each.collect::<Vec<_>>().join("; ")
            }
        };
        format!("{key}  {reference}  {place}: {told}")
    }
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.is_found() { "ok" } else { "--" };
        write!(f, "  {mark}  {}", self.sentence())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn missing(why: &str, retry: bool) -> Sighting {
        Sighting::Missing { why: why.to_owned(), retry }
    }

    fn found(version: Option<&str>) -> Sighting {
        Sighting::Found { version: version.map(str::to_owned) }
    }

    fn answer(worker: &str, sighting: Sighting) -> Sightings {
        Sightings { worker: worker.to_owned(), sightings: vec![found(None), sighting] }
    }

    #[test]
    fn each_line_says_who_needs_it_and_why_it_is_not_there() {
        let reference = "vault://kv/shop/db#password".parse().unwrap();
        let refused = "vault://kv/shop/db#password: the secret is there, and has no field of that name";
        let away = "vault://kv/shop/db#password: no connection to https://vault.example.com";
        let (found, version) = (answer("a:1", found(None)), answer("a:1", found(Some("3"))));
        let (refused, away) = (answer("b:2", missing(refused, false)), answer("b:2", missing(away, true)));
        for (expected, answers, line, is_found, is_passing) in [
            (1, vec![found.clone()], "ok  shipper: found", true, true),
            (2, vec![version.clone(), version.clone()], "ok  shipper: found, version 3", true, true),
            (
                1,
                vec![refused.clone()],
                "--  shipper: the secret is there, and has no field of that name",
                false,
                false,
            ),
            (
                2,
                vec![version, refused],
                "--  shipper: a:1: found, version 3; b:2: the secret is there, and has no field of that name",
                false,
                false,
            ),
            (1, vec![away], "--  shipper: no connection to https://vault.example.com", false, true),
            (0, Vec::new(), "--  shipper: no shipper is running", false, true),
            (
                2,
                vec![found],
                "--  shipper: a:1: found; 1 of 2 running as shipper didn't answer: of another version than this command, or too busy",
                false,
                true,
            ),
        ] {
            let told = told(Program::Shipper, expected, &answers, 1);
            let key = "env.secret.PASSWORD".to_owned();
            let row =
                Row { destination: "production", key, reference: &reference, reader: Program::Shipper, told };
            let (mark, rest) = line.split_once("  ").unwrap();
            let whole = format!("  {mark}  env.secret.PASSWORD  vault://kv/shop/db#password  {rest}");
            assert_eq!((row.to_string(), row.is_found(), row.is_passing()), (whole, is_found, is_passing));
        }
    }

    #[tokio::test]
    async fn what_is_the_persons_is_looked_for_here() {
        // Set by cargo for every test.
        let reference = "env://CARGO_PKG_NAME".parse().unwrap();
        let sighting = sighting(&reference).await;
        let row = Row {
            destination: "production",
            key: "env.secret.PASSWORD".to_owned(),
            reference: &reference,
            reader: Program::Shipper,
            told: vec![Told { worker: None, sighting }],
        };
        assert_eq!(row.to_string(), "  ok  env.secret.PASSWORD  env://CARGO_PKG_NAME  here: found");
        assert_eq!(
            serde_json::to_value(&row).unwrap(),
            serde_json::json!({
                "destination": "production",
                "key": "env.secret.PASSWORD",
                "reference": "env://CARGO_PKG_NAME",
                "reader": "shipper",
                "told": [{"worker": null, "found": {}}],
            })
        );
    }
}
