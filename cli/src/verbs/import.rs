//! `cutover import`: writes down what a deploy file of another tool says, as a native one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cutover_dialect::{Dialect, Fate, Line};
use serde::Serialize;

use crate::args::{Global, Import};
use crate::console::Console;
use crate::deploy_file::{self, USUAL, Wanted};
use crate::error::Error;
use crate::exit::Exit;

/// What was written, as `--json` has it.
#[derive(Serialize)]
struct Written<'a> {
    wrote: &'a Path,
    destinations: Vec<&'a str>,
}

pub(super) fn run(options: &Global, args: &Import, console: Console) -> anyhow::Result<Exit> {
    let path = args
        .from
        .clone()
        .or_else(|| deploy_file::to_import().map(Path::to_owned))
        .ok_or(Error::NothingToImport)?;
    let text = deploy_file::text_of(&path)?;
    let dialect = deploy_file::dialect(&path, &text);
    if dialect == Dialect::Native {
        return Err(Error::Native(path).into());
    }
    let wanted = Wanted { service: args.service.clone(), hosts: args.host.clone() };
    let (native, report, folder) =
        deploy_file::translated(&path, text, dialect, &wanted, |mut translation, folder| {
            let native = translation.native(options.destination.as_deref())?;
            Ok((native, translation.report(), folder.to_owned()))
        })?;
    let to = place(&options.file, &folder);
    let file = deploy_file::check(&native, &to)?;
    write(&to, &native, args.force)?;
    for line in &report {
        if console.json {
            console.object(line)?;
        } else {
            console.line(line)?;
        }
    }
    if console.json {
        let destinations = file.targets().iter().map(|target| target.key.destination.as_str()).collect();
        console.object(&Written { wrote: &to, destinations })?;
    } else {
        console.line(format_args!("{}; wrote {}", counted(&report), to.display()))?;
        if dialect == Dialect::Compose && args.host.is_empty() {
            console.note("hint: put your host into it");
        }
        console.note("hint: look at what is not carried, then: cutover plan");
    }
    Ok(Exit::Ok)
}

/// Where the native file goes: beside what it is read from, unless it is named.
fn place(named: &Path, folder: &Path) -> PathBuf {
    let is_here = folder == Path::new(".") || named != Path::new(USUAL);
    if is_here { named.to_owned() } else { folder.join(USUAL) }
}

fn write(to: &Path, text: &str, force: bool) -> Result<(), Error> {
    if force {
        return fs::write(to, text).map_err(Error::io("write", to));
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).open(to).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::Imported(to.to_owned()),
            _ => Error::io("write", to)(error),
        })?;
    file.write_all(text.as_bytes()).map_err(Error::io("write", to))
}

fn counted(report: &[Line]) -> String {
    let count = |is: fn(&Fate) -> bool| report.iter().filter(|line| is(&line.fate)).count();
    format!(
        "{} keys: {} carried, {} changed, {} not needed, {} not carried",
        report.len(),
        count(|fate| matches!(fate, Fate::Carried)),
        count(|fate| matches!(fate, Fate::Changed { .. })),
        count(|fate| matches!(fate, Fate::Idle { .. })),
        count(|fate| matches!(fate, Fate::Left { .. })),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::DeployFile;

    use super::*;

    #[test]
    fn what_it_writes_is_the_same_each_time_and_nothing_is_overwritten_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("config/deploy.yml");
        fs::create_dir(folder.path().join("config")).unwrap();
        fs::write(&from, "service: shop\nimage: acme/shop\nservers: [203.0.113.7]\naliases: {a: b}\n")
            .unwrap();
        let text = fs::read_to_string(&from).unwrap();
        let native = |text: String| {
            deploy_file::translated(
                &from,
                text,
                Dialect::Kamal,
                &Wanted::default(),
                |mut translation, folder| Ok((translation.native(None)?, folder.to_owned())),
            )
            .unwrap()
        };
        let (first, root) = native(text.clone());
        let to = place(Path::new(USUAL), &root);
        assert_eq!(to, folder.path().join(USUAL));
        write(&to, &first, false).unwrap();
        assert!(matches!(write(&to, &first, false), Err(Error::Imported(_))));
        write(&to, &native(text).0, true).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), first);
        let target = DeployFile::parse(&first, "cutover.yaml").unwrap().destination(None).unwrap();
        assert_eq!(target.key.to_string(), "production/shop");
    }
}
