//! The deploy file of a project, in whichever dialect it is written, with the files beside it that count.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cutover_context::git_settings;
use cutover_core::{DeployFile, DeployFileError};
use cutover_dialect::{Dialect, Fate, File, Line, Surroundings, Translation};

use crate::error::Error;
use crate::serve::leads_out;

/// The file that is meant unless another one is named, and what is taken in its place where there is none.
pub(crate) const USUAL: &str = "cutover.yaml";
const OTHERS: [&str; 2] = ["config/deploy.yml", "kamal.yml"];
const COMPOSE: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];

/// A deploy file that was read.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The file.
    pub(crate) path: PathBuf,
    /// The folder that paths in it are relative to.
    pub(crate) folder: PathBuf,
    /// What stands in it.
    pub(crate) file: DeployFile,
    /// What of a file in another dialect is not carried out, in front of people; first of all, that it is one.
    pub(crate) notes: Vec<String>,
}

/// The file that is meant: the one that is named, or where that is the usual one and isn't there, one that another tool reads.
pub(crate) fn chosen(named: &Path) -> PathBuf {
    if named != Path::new(USUAL) || named.exists() {
        return named.to_owned();
    }
    other().unwrap_or(named).to_owned()
}

/// A file that another tool reads.
pub(crate) fn other() -> Option<&'static Path> {
    OTHERS.iter().map(Path::new).find(|other| other.is_file())
}

/// The same, or a Compose file.
pub(crate) fn to_import() -> Option<&'static Path> {
    other().or_else(|| COMPOSE.iter().map(Path::new).find(|file| file.is_file()))
}

/// Reads the deploy file.
///
/// # Errors
/// No file, or one that is wrong.
pub(crate) fn read(named: &Path) -> anyhow::Result<Found> {
    read_by(
        named,
        &Around { variable: &|name| std::env::var(name).ok(), commit: &commit, only_inside: false },
    )
}

/// The same of a file that somebody has written who isn't present: variables that it names have no value, and Git isn't asked
/// which commit it is of.
///
/// # Errors
/// The same.
pub(crate) fn read_unattended(named: &Path, commit: &str) -> anyhow::Result<Found> {
    read_by(named, &Around { variable: &|_| None, commit: &|_| Some(commit.to_owned()), only_inside: true })
}

/// What a file in another dialect may ask for that doesn't lie beside it.
struct Around<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    commit: &'a dyn Fn(&Path) -> Option<String>,
    /// Whether no file is read that the file names outside of its folder.
    only_inside: bool,
}

fn read_by(named: &Path, around: &Around<'_>) -> anyhow::Result<Found> {
    let path = chosen(named);
    let text = text_of(&path)?;
    match dialect(&path, &text) {
        Dialect::Native => {
            let file = DeployFile::parse(&text, &path.display().to_string())?;
            Ok(Found { folder: parent(&path).to_owned(), path, file, notes: Vec::new() })
        }
        Dialect::Compose => Err(Error::Compose(path).into()),
        dialect => {
            translated_by(&path, text, dialect, &Wanted::default(), around, |mut translation, folder| {
                let file = translation.deploy_file()?;
                let whose =
                    if dialect == Dialect::Kamal { "a file of Kamal" } else { "in the shape of kamal.yml" };
                let mut notes = vec![format!("{} is {whose}, and read as it is", path.display())];
                let left = |line: &Line| matches!(line.fate, Fate::Left { .. }).then(|| line.to_string());
                notes.extend(translation.report().iter().filter_map(left));
                Ok(Found { path: path.clone(), folder: folder.to_owned(), file, notes })
            })
        }
    }
}

/// Of a Compose file, what isn't in it.
pub(crate) use cutover_dialect::Wanted;

/// Hands the translation of a file in another dialect on, with the project's folder.
///
/// # Errors
/// A file beside it that can't be read; what is wrong in one of them; what `then` says.
pub(crate) fn translated<T>(
    path: &Path,
    text: String,
    dialect: Dialect,
    wanted: &Wanted,
    then: impl FnOnce(Translation<'_>, &Path) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let around = Around { variable: &|name| std::env::var(name).ok(), commit: &commit, only_inside: false };
    translated_by(path, text, dialect, wanted, &around, then)
}

fn translated_by<T>(
    path: &Path,
    text: String,
    dialect: Dialect,
    wanted: &Wanted,
    Around { variable, commit, only_inside }: &Around<'_>,
    then: impl FnOnce(Translation<'_>, &Path) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let folder = folder(path, dialect);
    let outside = RefCell::new(None);
    let inside = |path: &str| {
        if *only_inside && leads_out(path) {
            outside.replace(Some(path.to_owned()));
            return None;
        }
        fs::read_to_string(folder.join(path)).ok()
    };
    let around = Surroundings { text_of: &inside, variable: *variable, commit: commit(&folder) };
    let file = File { name: path.display().to_string(), text };
    let translation = match dialect {
        Dialect::App => cutover_dialect::app(&file, &around),
        Dialect::Compose => cutover_dialect::compose(&file, wanted, &around),
        Dialect::Kamal | Dialect::Native => cutover_dialect::kamal(&file, &overlays(path)?, &around),
    };
    let read = translation.map_err(Into::into).and_then(|translation| then(translation, &folder));
    match outside.take() {
        Some(path) => Err(Error::Unattended(format!(
            "'{path}', which the deploy file has read, leads out of the repository, and nobody is present"
        ))
        .into()),
        None => read,
    }
}

/// The dialect of a file. One that is called as ours is ours, so that what is wrong with it is told in our words; one that is called as
/// Kamal's is Kamal's.
pub(crate) fn dialect(path: &Path, text: &str) -> Dialect {
    let name = path.file_name().unwrap_or_default();
    match Dialect::of(text) {
        _ if name == USUAL || name == "cutover.yml" => Dialect::Native,
        // Where only the files of destinations have servers, nothing else tells.
        Dialect::Native
            if name == "deploy.yml" && !text.lines().any(|line| line.starts_with("destinations:")) =>
        {
            Dialect::Kamal
        }
        dialect => dialect,
    }
}

/// The text of a deploy file.
///
/// # Errors
/// A file that isn't there, or can't be read.
pub(crate) fn text_of(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::NoDeployFile(path.to_owned()),
        _ => Error::io("read", path)(error),
    })
}

/// Kamal's own lies in `config`, and its paths are relative to the folder around that.
fn folder(path: &Path, dialect: Dialect) -> PathBuf {
    let folder = parent(path);
    let is_below = dialect == Dialect::Kamal && folder.file_name().is_some_and(|name| name == "config");
    if is_below { parent(folder) } else { folder }.to_owned()
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The files of destinations beside one of Kamal, `deploy.staging.yml` beside `deploy.yml`, by the names of the destinations.
fn overlays(path: &Path) -> Result<Vec<(String, File)>, Error> {
    let folder = parent(path);
    let (Some(stem), Some(extension)) = (path.file_stem(), path.extension()) else { return Ok(Vec::new()) };
    let (before, behind) =
        (format!("{}.", stem.to_string_lossy()), format!(".{}", extension.to_string_lossy()));
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let entry = entry.map_err(Error::io("read", folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let destination = name.strip_prefix(&before).and_then(|rest| rest.strip_suffix(&behind));
        // Another dot is of another file, such as deploy.yml.bak.yml.
        let Some(destination) = destination.filter(|name| !name.is_empty() && !name.contains('.')) else {
            continue;
        };
        let path = path.with_file_name(&name);
        let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        all.push((destination.to_owned(), File { name: path.display().to_string(), text }));
    }
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(all)
}

/// The commit that is checked out in a folder; none outside of Git, and where there is no Git.
fn commit(folder: &Path) -> Option<String> {
    let mut command = Command::new("git");
    command.arg("--no-optional-locks").args(git_settings());
    command.arg("-C").arg(folder).args(["rev-parse", "--verify", "HEAD"]);
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Whether nothing is wrong with a text as a native deploy file: what `import` has written is one.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(text: &str, path: &Path) -> Result<DeployFile, DeployFileError> {
    DeployFile::parse(text, &path.display().to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const KAMAL: &str = "service: shop\nimage: acme/shop\nservers: [203.0.113.7]\nenv:\n  secret: [TOKEN]\n";

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    #[test]
    fn a_file_of_kamal_is_read_with_what_lies_beside_it() {
        let folder = project(&[
            ("config/deploy.yml", KAMAL),
            ("config/deploy.staging.yml", "servers: [203.0.113.9]\n"),
            ("config/deploy.yml.bak.yml", "]["),
            (".kamal/secrets", "TOKEN=$TOKEN\n"),
            (".kamal/secrets.staging", "TOKEN=$(cat token)\n"),
            (".kamal/hooks/pre-deploy", "#!/bin/sh\n"),
            (".kamal/hooks/pre-connect", "#!/bin/sh\n"),
        ]);
        let found = read(&folder.path().join("config/deploy.yml")).unwrap();
        assert_eq!(found.folder, folder.path());
        let secret = |name: &str| {
            let target = found.file.destination(Some(name)).unwrap();
            target.settings.secrets.values().next().unwrap().to_string()
        };
        assert_eq!(
            (secret("production").as_str(), secret("staging").as_str()),
            ("env://TOKEN", "cmd://cat token")
        );
        let hooks = found.file.destination(Some("staging")).unwrap().hooks;
        assert_eq!(hooks.before_deploy, [".kamal/hooks/pre-deploy"]);
        let [first, hook] = found.notes.as_slice() else { unreachable!("{:?}", found.notes) };
        assert!(first.contains("Kamal") && hook.starts_with(".kamal/hooks/pre-connect: "), "{first} {hook}");
    }

    #[test]
    fn servers_may_stand_in_the_files_of_destinations_alone() {
        let folder = project(&[
            ("config/deploy.yml", "service: shop\nimage: acme/shop\n"),
            ("config/deploy.eu.yml", "servers: [203.0.113.7]\n"),
        ]);
        let found = read(&folder.path().join("config/deploy.yml")).unwrap();
        assert_eq!(found.file.destination(None).unwrap().key.to_string(), "eu/shop");
    }

    #[test]
    fn a_file_of_somebody_absent_has_nothing_of_this_environment() {
        // Set by cargo for every test.
        let host = "\"<%= ENV['CARGO_PKG_NAME'] %>\"";
        let file = KAMAL.replace("203.0.113.7", host);
        let folder = project(&[("config/deploy.yml", &file), (".kamal/secrets", "TOKEN=$TOKEN\n")]);
        let file = folder.path().join("config/deploy.yml");
        let shows = |found: anyhow::Result<Found>| format!("{found:?}").contains("cutover-cli");
        assert!(shows(read(&file)));
        assert!(!shows(read_unattended(&file, "0a")));
    }

    #[test]
    fn a_file_of_somebody_absent_reads_nothing_outside_of_its_folder() {
        let all = project(&[
            ("secrets", "TOKEN=hunter2\n"),
            ("hooks/pre-deploy", "#!/bin/sh\n"),
            ("shop/.kamal/secrets", "TOKEN=$TOKEN\n"),
        ]);
        let file = all.path().join("shop/config/deploy.yml");
        fs::create_dir(file.parent().unwrap()).unwrap();
        let whole = format!("hooks_path: {}\n", all.path().join("hooks").display());
        for more in ["secrets_path: ../secrets\n", "hooks_path: ../hooks\n", &whole] {
            fs::write(&file, format!("{KAMAL}{more}")).unwrap();
            read(&file).unwrap();
            let told = read_unattended(&file, "0a").unwrap_err().to_string();
            assert!(told.contains("leads out of the repository"), "{more}: {told}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_in_its_own_file() {
        let folder = project(&[
            ("config/deploy.yml", "service: shop\nservers: [203.0.113.7]\n"),
            ("config/deploy.staging.yml", "prxy: {}\n"),
        ]);
        let error = read(&folder.path().join("config/deploy.yml")).unwrap_err().to_string();
        let file = folder.path().join("config/deploy.staging.yml");
        assert!(error.starts_with(&format!("{}:1:1: prxy: unknown key", file.display())), "{error}");
    }

    #[test]
    fn a_file_that_is_called_as_ours_is_ours() {
        let folder = project(&[("cutover.yaml", KAMAL), ("other.yml", KAMAL)]);
        let error = read(&folder.path().join("cutover.yaml")).unwrap_err().to_string();
        assert!(error.contains("hosts stand in `destinations:"), "{error}");
        read(&folder.path().join("other.yml")).unwrap_err();
        fs::create_dir(folder.path().join(".kamal")).unwrap();
        fs::write(folder.path().join(".kamal/secrets"), "TOKEN=$TOKEN").unwrap();
        assert_eq!(read(&folder.path().join("other.yml")).unwrap().folder, folder.path());
    }
}
