//! `cutover init`: a first deploy file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use cutover_core::{HostName, ServiceName};

use super::schema;
use crate::args::{Global, Init};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;

/// What editors complete and check the deploy file by, beside it.
const SCHEMA: &str = "cutover.schema.json";

/// An address that is nobody's (RFC 5737), to be replaced.
const SOME_HOST: &str = "203.0.113.10";

pub(super) fn run(options: &Global, args: Init, console: Console) -> anyhow::Result<Exit> {
    let path = &options.file;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let service: ServiceName = match args.service {
        Some(name) => name.parse().map_err(Error::Name)?,
        None => name_of(folder),
    };
    let host: HostName = args.host.as_deref().unwrap_or(SOME_HOST).parse().map_err(Error::Name)?;
    let port = fs::read_to_string(folder.join("Dockerfile")).ok().as_deref().and_then(exposed);
    let mut file =
        OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::Exists(path.to_owned()),
            _ => Error::io("write", path)(error),
        })?;
    file.write_all(sample(&service, &host, port).as_bytes()).map_err(Error::io("write", path))?;
    // The first line of the deploy file names it. One that is there may be of another version.
    let schema = folder.join(SCHEMA);
    fs::write(&schema, schema::SCHEMA).map_err(Error::io("write", &schema))?;
    console.line(format_args!("wrote {}, and {SCHEMA} for your editor", path.display()))?;
    let first = if args.host.is_some() { "look at its port and path" } else { "put your host into it" };
    console.note(format_args!("hint: {first}, then: cutover setup --accept-new    cutover deploy"));
    Ok(Exit::Ok)
}

fn sample(service: &ServiceName, host: &HostName, port: Option<u16>) -> String {
    let port = port.map_or_else(|| "# port: 3000".to_owned(), |port| format!("port: {port}"));
    format!(
        "\
# yaml-language-server: $schema={SCHEMA}
# What Cutover deploys, and where: `cutover plan` says what it would do, `cutover deploy` does it.
service: {service}

# The image is built from the Dockerfile in this folder. To run one that exists: image: name:tag
{port:<31} # that the application listens on; 80 if not given
readiness_probe:
  path: /up                     # answers 2xx as soon as requests can be served

# env:
#   clear: {{RAILS_ENV: production}}
#   secret: {{RAILS_MASTER_KEY: env://RAILS_MASTER_KEY}}   # a reference, never the value itself

# migrations: {{folder: db/expand, database: env://DATABASE_URL}}

destinations:
  production:
    hosts: [{host}]
    # replicas: 2               # on each host
"
    )
}

/// The folder's name, as far as it can name a service.
fn name_of(folder: &Path) -> ServiceName {
    let name = fs::canonicalize(folder)
        .ok()
        .and_then(|path| Some(path.file_name()?.to_string_lossy().to_lowercase()));
    let fitting: String = name
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .skip_while(|c| !c.is_ascii_lowercase())
        .take(40)
        .collect();
    let parsed = fitting.trim_end_matches('-').parse();
    parsed.or_else(|_| "app".parse()).unwrap_or_else(|_| unreachable!("a constant name"))
}

/// The first port that a Dockerfile exposes in its last stage (`EXPOSE 3000`, `EXPOSE 3000/tcp`).
fn exposed(dockerfile: &str) -> Option<u16> {
    let mut port = None;
    for line in dockerfile.lines() {
        let mut words = line.split_whitespace();
        match words.next().map(str::to_ascii_uppercase).as_deref() {
            Some("FROM") => port = None,
            Some("EXPOSE") if port.is_none() => {
                port = words.next().and_then(|word| word.trim_end_matches("/tcp").parse().ok());
            }
            _ => {}
        }
    }
    port
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use cutover_core::DeployFile;

    use super::*;

    #[test]
    fn what_it_writes_is_a_deploy_file() {
        for port in [None, Some(3000)] {
            let text = sample(&"shop".parse().unwrap(), &"web-1.example.com".parse().unwrap(), port);
            assert_eq!(text.lines().next(), Some("# yaml-language-server: $schema=cutover.schema.json"));
            assert!(text.lines().count() <= 25, "{} lines", text.lines().count());
            let target = DeployFile::parse(&text, "cutover.yaml").unwrap().destination(None).unwrap();
            assert_eq!(target.key.to_string(), "production/shop");
            assert_eq!(target.hosts.first().unwrap().name.as_str(), "web-1.example.com");
            assert_eq!(target.settings.port, port.unwrap_or(80));
        }
    }

    #[test]
    fn the_port_is_the_one_of_the_last_stage() {
        for (dockerfile, port) in [
            ("FROM a\nEXPOSE 3000", Some(3000)),
            ("FROM a\nexpose 3000/tcp 3001", Some(3000)),
            ("FROM a\nEXPOSE 1\nFROM b\n", None),
            ("FROM a\nEXPOSE $PORT", None),
            ("FROM a", None),
        ] {
            assert_eq!(exposed(dockerfile), port, "{dockerfile}");
        }
    }

    #[test]
    fn any_folder_has_a_name_for_a_service() {
        let parent = tempfile::tempdir().unwrap();
        for (folder, name) in
            [("My App_2", "my-app-2"), ("42", "app"), ("9lives-", "lives"), ("ünder", "nder")]
        {
            let path = parent.path().join(folder);
            fs::create_dir(&path).unwrap();
            assert_eq!(name_of(&path).as_str(), name);
        }
    }
}
