//! Deploy files in other dialects, written from Kamal's documentation, each beside the native file that says the same by its
//! documented rules: worked out by hand, so that whoever reviews one needs nothing but that documentation. And bad files, each beside
//! all that is told of it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use cutover_core::{DeployFile, DeployFileError, Target};
use cutover_dialect::{Dialect, Fate, File, Surroundings, Translation, Wanted};
use proptest::prelude::*;

/// The commit that is checked out, where a case doesn't say that there is none.
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What Docker gives each container (docs.docker.com, "Runtime privilege and Linux capabilities"), and what every expected file is
/// to have that doesn't say what its container may.
const DOCKERS: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// A project: its files, and the environment of whoever deploys.
#[derive(Clone, Debug, Default)]
struct Project {
    files: BTreeMap<String, String>,
    environment: BTreeMap<String, String>,
    /// Of `cutover import`.
    options: BTreeMap<String, String>,
    has_no_git: bool,
}

/// A case: what it shows, the project, and what is expected.
struct Case {
    name: String,
    project: Project,
    /// `cutover.yaml`; of a bad one, the message.
    expected: String,
    /// That of a second destination, where one file can't have both.
    second: String,
    /// `file:line: key` of what is left out, in the order of the files.
    left: Vec<String>,
}

fn cases(folder: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut names: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let read = |path: &Path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        case(name, &fs::read_to_string(path).unwrap())
    };
    names.iter().map(|path| read(path)).collect()
}

/// Files stand behind lines `--- path`, `--- environment`, `--- options` and `--- no git`; what is expected behind `=== expected` and `=== left`.
fn case(name: String, text: &str) -> Case {
    let (mut project, mut left) = (Project::default(), Vec::new());
    let (mut expected, mut second) = (String::new(), String::new());
    let mut at = String::new();
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("--- ").or_else(|| line.strip_prefix("=== ")) {
            heading.clone_into(&mut at);
            project.has_no_git |= at == "no git";
            continue;
        }
        match at.as_str() {
            "" | "no git" => {}
            "environment" => {
                project
                    .environment
                    .extend(line.split_once('=').map(|(name, value)| (name.into(), value.into())));
            }
            "options" => {
                project.options.extend(line.split_once(' ').map(|(name, value)| (name.into(), value.into())));
            }
            "expected" => expected += &format!("{line}\n"),
            // Of destinations that are a file each.
            "second" => second += &format!("{line}\n"),
            "left" => left.push(line.to_owned()),
            file => *project.files.entry(file.to_owned()).or_default() += &format!("{line}\n"),
        }
    }
    Case { name, project, expected, second, left }
}

/// Translates the project's file and hands it on.
fn translated<T>(project: &Project, then: impl FnOnce(Result<Translation<'_>, DeployFileError>) -> T) -> T {
    let text_of = |path: &str| project.files.get(path).cloned();
    let variable = |name: &str| project.environment.get(name).cloned();
    let commit = (!project.has_no_git).then(|| COMMIT.to_owned());
    let around = Surroundings { text_of: &text_of, variable: &variable, commit };
    let file = |path: &str, text: &str| File { name: path.to_owned(), text: text.to_owned() };
    if let Some(text) = project.files.get("kamal.yml") {
        return then(cutover_dialect::app(&file("kamal.yml", text), &around));
    }
    if let Some(text) = project.files.get("compose.yaml") {
        let option = |name: &str| project.options.get(name).cloned();
        let wanted = Wanted { service: option("--service"), hosts: option("--host").into_iter().collect() };
        return then(cutover_dialect::compose(&file("compose.yaml", text), &wanted, &around));
    }
    let text = project.files.get("config/deploy.yml").map(String::as_str).unwrap_or_default();
    let of_destination = |(path, text): (&String, &String)| {
        let name = path.strip_prefix("config/deploy.")?.strip_suffix(".yml")?;
        Some((name.to_owned(), file(path, text)))
    };
    let overlays: Vec<_> = project.files.iter().filter_map(of_destination).collect();
    then(cutover_dialect::kamal(&file("config/deploy.yml", text), &overlays, &around))
}

fn targets(file: &DeployFile) -> Vec<Target> {
    file.targets().to_vec()
}

/// What is expected: the native file, with what Docker gives a container unless it says something of that: its capabilities, and the
/// program itself as process 1. Kamal starts each on its own network (its documentation, "How Kamal works").
fn expected(project: &Project, text: &str) -> Vec<Target> {
    let file = DeployFile::parse(text, "expected").unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut targets = targets(&file);
    for target in &mut targets {
        target.settings.container.without_init = !text.contains("init: true");
        for sidecar in &mut target.sidecars {
            sidecar.container.without_init = true;
        }
        if project.files.contains_key("config/deploy.yml") {
            target.settings.container.networks.insert(0, "kamal".to_owned());
        }
    }
    if !text.contains("cap_add") {
        for target in &mut targets {
            target.settings.container.cap_add = DOCKERS.iter().map(|name| (*name).to_owned()).collect();
            target.settings.container.gains_privileges = !text.contains("no_new_privileges: true");
            for sidecar in &mut target.sidecars {
                sidecar.container.cap_add = DOCKERS.iter().map(|name| (*name).to_owned()).collect();
                sidecar.container.gains_privileges = true;
            }
        }
    }
    targets
}

#[test]
fn each_file_is_what_kamals_rules_say() {
    let cases = cases("corpus");
    assert!(cases.len() >= 25, "{}", cases.len());
    for case in cases {
        let name = &case.name;
        translated(&case.project, |translation| {
            let mut translation = translation.unwrap_or_else(|error| panic!("{name}: {error}"));
            let direct = translation.deploy_file().unwrap_or_else(|error| panic!("{name}: {error}"));
            let mut wanted = expected(&case.project, &case.expected);
            if !case.second.is_empty() {
                wanted.extend(expected(&case.project, &case.second));
            }
            pretty_eq(name, &targets(&direct), &wanted);
            let left = translation.report().into_iter().filter(|line| matches!(line.fate, Fate::Left { .. }));
            let left: Vec<String> = left
                .map(|line| match line.line {
                    Some(number) => format!("{}:{number}: {}", line.file, line.key),
                    None => line.file,
                })
                .collect();
            assert_eq!(left, case.left, "{name}: what is left out");
        });
    }
}

fn pretty_eq(name: &str, found: &[Target], expected: &[Target]) {
    let (found, expected) = (format!("{found:#?}"), format!("{expected:#?}"));
    if found != expected {
        let only = |one: &str, other: &str| {
            let lines: Vec<&str> =
                one.lines().filter(|line| !other.lines().any(|there| there == *line)).collect();
            lines.join("\n")
        };
        panic!("{name}: found\n{}\nexpected\n{}", only(&found, &expected), only(&expected, &found));
    }
}

#[test]
fn what_is_imported_is_what_is_read() {
    for case in cases("corpus") {
        let name = &case.name;
        translated(&case.project, |translation| {
            let mut translation = translation.unwrap();
            let direct = translation.deploy_file().unwrap();
            if direct.targets().len() == 1 {
                let text = translation.native(None).unwrap_or_else(|error| panic!("{name}: {error}"));
                let read = DeployFile::parse(&text, "cutover.yaml")
                    .unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
                pretty_eq(name, &targets(&read), &targets(&direct));
                return;
            }
            match translation.native(None) {
                Ok(text) => {
                    let read = DeployFile::parse(&text, "cutover.yaml")
                        .unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
                    pretty_eq(name, &targets(&read), &targets(&direct));
                }
                // Then each has a file of its own.
                Err(error) => {
                    assert!(error.to_string().contains("cutover import -d"), "{name}: {error}");
                    for target in direct.targets() {
                        let text = translated(&case.project, |translation| {
                            translation.unwrap().native(Some(target.key.destination.as_str())).unwrap()
                        });
                        let read = DeployFile::parse(&text, "cutover.yaml").unwrap();
                        pretty_eq(name, &targets(&read), std::slice::from_ref(target));
                    }
                }
            }
        });
    }
}

#[test]
fn nothing_is_dropped_in_silence() {
    for case in cases("corpus") {
        translated(&case.project, |translation| {
            let report = translation.unwrap().report();
            for (file, text) in case
                .project
                .files
                .iter()
                .filter(|(file, _)| file.ends_with(".yml") || file.ends_with(".yaml"))
            {
                // Every line with a key or an item of a list, or one around it or inside of it, is in the report.
                let told: Vec<usize> =
                    report.iter().filter(|line| line.file == *file).filter_map(|line| line.line).collect();
                let depth = |line: &str| line.len() - line.trim_start().len();
                let lines: Vec<&str> = text.lines().collect();
                for (index, line) in lines.iter().enumerate() {
                    let word = line.trim_start();
                    if word.is_empty()
                        || word.starts_with('#')
                        || word.starts_with("<%#")
                        || told.contains(&(index + 1))
                    {
                        continue;
                    }
                    let mut most = depth(line) + usize::from(word.starts_with("- "));
                    let above = (0..index).rev().any(|other| {
                        let outer = !lines[other].trim().is_empty() && depth(lines[other]) < most;
                        most = if outer { depth(lines[other]) } else { most };
                        outer && told.contains(&(other + 1))
                    });
                    let inside = lines.iter().enumerate().skip(index + 1);
                    let inside = inside
                        .take_while(|(_, other)| {
                            depth(other) > depth(line)
                                || other.trim_start().starts_with("- ") && depth(other) >= depth(line)
                        })
                        .any(|(other, _)| told.contains(&(other + 1)));
                    assert!(above || inside, "{}: {file}:{}: {line}", case.name, index + 1);
                }
            }
        });
    }
}

#[test]
fn a_variable_that_another_one_hides_is_told() {
    let mut project = Project::default();
    let text = "service: a\nimage: a\nservers: [203.0.113.7]\nenv:\n  clear: {A: a, B: }\n  secret: [A, C]\n";
    project.files.insert("config/deploy.yml".to_owned(), text.to_owned());
    project.files.insert(".kamal/secrets".to_owned(), "A=$A\nC=$C\n".to_owned());
    let report = translated(&project, |translation| translation.unwrap().report());
    let how = |key: &str| match &report.iter().find(|line| line.key == key).unwrap().fate {
        Fate::Changed { how } => how.clone(),
        fate => format!("{fate:?}"),
    };
    assert_eq!(how("env.clear.A"), "Carried");
    assert!(how("env.clear.B").starts_with("without a value it is not set"));
    assert_eq!(how("env.secret[0]"), "a reference; another one of that name takes its place");
    assert_eq!(how("env.secret[1]"), "a reference");
}

#[test]
fn dialects_are_told_apart() {
    for case in cases("corpus") {
        for (file, text) in &case.project.files {
            match file.as_str() {
                "kamal.yml" => assert_eq!(Dialect::of(text), Dialect::App, "{}", case.name),
                "compose.yaml" => assert_eq!(Dialect::of(text), Dialect::Compose, "{}", case.name),
                "config/deploy.yml" if text.contains("\nservers:") => {
                    assert_eq!(Dialect::of(text), Dialect::Kamal, "{}", case.name);
                }
                _ => {}
            }
        }
        assert_eq!(Dialect::of(&case.expected), Dialect::Native, "{}", case.name);
    }
}

#[test]
fn each_bad_file_is_told_all_that_is_wrong() {
    let cases = cases("refused");
    assert!(cases.len() >= 15, "{}", cases.len());
    let mut wrong = String::new();
    for case in cases {
        let name = &case.name;
        let error = translated(&case.project, |translation| {
            translation.and_then(|mut translation| translation.deploy_file()).map(|file| targets(&file))
        });
        let told =
            error.map_or_else(|error| error.to_string(), |targets| panic!("{name} was taken: {targets:?}"));
        if told.trim_end() != case.expected.trim_end() {
            wrong += &format!("##### {name}\n{told}\n");
        }
    }
    assert!(wrong.is_empty(), "told otherwise:\n{wrong}");
}

#[test]
fn a_value_that_stands_in_a_file_is_never_told() {
    for (path, text) in [
        (
            "config/deploy.yml",
            "service: a\nservers: [203.0.113.7]\nregistry:\n  username: me\n  password: hunter2\n",
        ),
        (".kamal/secrets", "A=hunter2\nB=x\"hunter2\nC=\"hunter2\n"),
        ("config/deploy.yml", "service: a\nservers: [203.0.113.7]\nssh:\n  key_data: [hunter2]\n  usr: a\n"),
    ] {
        let mut project = Project::default();
        let base = "service: a\nservers: [203.0.113.7]\nenv:\n  secret: [A, B, C]\n";
        project.files.insert("config/deploy.yml".to_owned(), base.to_owned());
        project.files.insert(path.to_owned(), text.to_owned());
        let told = translated(&project, |translation| match translation {
            Ok(mut translation) => {
                format!(
                    "{:?} {:?} {:?}",
                    translation.native(None),
                    translation.report(),
                    translation.deploy_file()
                )
            }
            Err(error) => format!("{error}"),
        });
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn values_of_files_beside_it_stay_there() {
    let with_values: Vec<Case> = cases("corpus")
        .into_iter()
        .filter(|case| case.project.files.values().any(|text| text.contains("hunter2")))
        .collect();
    assert!(with_values.len() >= 2, "{}", with_values.len());
    for case in with_values {
        let told = translated(&case.project, |translation| {
            let mut translation = translation.unwrap();
            format!("{:?} {:?}", translation.native(None).unwrap(), translation.report())
        });
        assert!(!told.contains("hunter2"), "{}: {told}", case.name);
    }
}

/// Files of the corpus in which some bytes are others, some lines are gone, and some come twice.
fn mutated() -> impl Strategy<Value = Project> {
    let projects: Vec<Project> =
        ["corpus", "refused"].into_iter().flat_map(cases).map(|case| case.project).collect();
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..5_u8, any::<char>()), 0..6);
    (prop::sample::select(projects), edits).prop_map(|(mut project, edits)| {
        for (index, kind, c) in edits {
            for text in project.files.values_mut() {
                let mut chars: Vec<char> = text.chars().collect();
                let at = index.index(chars.len().max(1)).min(chars.len());
                let special =
                    ['<', '%', '"', '\'', '{', '[', '-', ':', '&', '*', '#', '$', '\n', '\t', '(', '\\'];
                let odd = special[(c as usize) % special.len()];
                match kind {
                    0 => chars.insert(at, c),
                    1 => chars.insert(at, odd),
                    2 => drop(chars.drain(at..(at + 3).min(chars.len()))),
                    3 => chars.truncate(at),
                    _ => {
                        let line: Vec<char> =
                            text.lines().nth(at % 20).unwrap_or_default().chars().chain(['\n']).collect();
                        chars.splice(at..at, line);
                    }
                }
                *text = chars.into_iter().collect();
            }
        }
        project
    })
}

proptest! {
    #[test]
    fn any_file_is_read_or_refused(project in mutated()) {
        for text in project.files.values() {
            Dialect::of(text);
        }
        translated(&project, |translation| {
            let told = match translation {
                Ok(mut translation) => match translation.deploy_file() {
                    Ok(file) => {
                        translation.report();
                        // What is read can be written down, and is the same then.
                        if let Ok(text) = translation.native(None) {
                            let read = DeployFile::parse(&text, "cutover.yaml").map(|file| targets(&file));
                            prop_assert_eq!(read.as_deref(), Ok(file.targets()), "{}", text);
                        }
                        String::new()
                    }
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            };
            let is_masked = told.contains('\u{e000}');
            prop_assert!(!is_masked);
            Ok(())
        })?;
    }

    #[test]
    fn any_text_has_a_dialect(text in "\\PC{0,200}") {
        Dialect::of(&text);
    }
}
