//! The command line.

mod accessory;
mod completion;
mod deploying;
mod exec;
mod requests;
mod setup;
mod traffic;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};
use cutover_bus::{Access, Files, KeyError};
use cutover_core::{Engine, HostName, Program, Span};
use cutover_store::Location;

pub(crate) use accessory::{Accessory, AccessoryAction, Logs as AccessoryLogs, Some as SomeAccessories};
pub(crate) use completion::{Completion, Man};
pub(crate) use deploying::{Abort, Analyze, Deploy, PlanArgs, Promote, Replay, Rollback};
pub(crate) use exec::Exec;
pub(crate) use requests::{Requests, Serve};
pub(crate) use setup::{Proxy, ProxyAction, Setup};
pub(crate) use traffic::{Maintenance, MaintenanceAction, MaintenanceOn, Pause, Resume};

/// Instances of one program that one machine is asked for at most.
const MOST: usize = 100;

/// Puts a new version in front of its users without a failed request, and takes it back by itself when it turns out bad.
#[derive(Parser, Debug)]
#[command(name = "cutover", version, disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Args {
    /// What is the same for every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// The command.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options that every command takes.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The destination, as the deploy file names it; not needed where there is only one
    #[arg(short, long, global = true, value_name = "NAME")]
    pub(crate) destination: Option<String>,
    /// The deploy file, also one of Kamal; without a cutover.yaml, config/deploy.yml or kamal.yml is taken
    #[arg(short, long, global = true, value_name = "PATH", default_value = "cutover.yaml")]
    pub(crate) file: PathBuf,
    /// One JSON object per line instead of words
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Only results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// More: log lines of the command itself (-vv: much more)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// A standing NATS server, nats://user:password@host:port; without one, `cutover up` runs everything on this machine
    #[arg(long, global = true, env = "NATS_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) nats_url: Option<String>,
    /// The file with the key of whoever this is on a standing bus that tells its users apart
    #[arg(long, global = true, env = "CUTOVER_NATS_KEY", value_name = "PATH")]
    pub(crate) nats_key: Option<OsString>,
    /// A PEM file with the certificates that a standing NATS server's is verified by [default: those that the system trusts]
    #[arg(long, global = true, env = "CUTOVER_NATS_CA", value_name = "PATH")]
    pub(crate) nats_ca: Option<OsString>,
    /// A PEM file with a certificate, for a standing NATS server that asks for one
    #[arg(long, global = true, env = "CUTOVER_NATS_CERTIFICATE", value_name = "PATH")]
    pub(crate) nats_certificate: Option<OsString>,
    /// A PEM file with its key
    #[arg(long, global = true, env = "CUTOVER_NATS_CERTIFICATE_KEY", value_name = "PATH")]
    pub(crate) nats_certificate_key: Option<OsString>,
    /// The file with the public keys of the users of a standing bus, as `cutover keys` writes it: the journal takes their signatures
    #[arg(long, global = true, env = "CUTOVER_NATS_USERS", value_name = "PATH")]
    pub(crate) nats_users: Option<OsString>,
    /// The folder of what runs on this machine [default: ~/.cutover]
    #[arg(long, global = true, env = "CUTOVER_HOME", value_name = "PATH")]
    pub(crate) home: Option<PathBuf>,
    /// The artifact store, with a standing NATS server: a folder, or s3://bucket/prefix [default: store in the home folder]
    #[arg(long, global = true, env = "CUTOVER_STORE", value_name = "PLACE")]
    pub(crate) store: Option<Location>,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    /// Write a deploy file for the application in this folder
    Init(Init),
    /// Write a native deploy file that says what one of Kamal or Compose says, and tell what became of each of its keys
    Import(Import),
    /// Start NATS and the programs on this machine; they stay when this command ends
    Up(Up),
    /// Make the keys and certificates of a standing bus that tells its users apart: one key for each program
    Keys(Keys),
    /// Stop what `up` started; deployments go on where they were at the next start
    Down,
    /// Make the hosts of a destination ready: Docker, the network, the proxy
    Setup(Setup),
    /// Upgrade the proxies
    Proxy(Proxy),
    /// Take the service over from another control plane, which can't deploy it any more: the proxies obey this one
    Adopt(Adopt),
    /// Answer all requests with a page that says that the service is away, or serve again
    Maintenance(Maintenance),
    /// Let new requests wait for a while, none of which is lost
    Pause(Pause),
    /// Let those that wait go on, in the order in which they came
    Resume(Resume),
    /// Say what a deployment would do, and do nothing (exit code 0: nothing, 1: something)
    Plan(PlanArgs),
    /// Make the application in this folder live, and take it back if it turns out bad
    Deploy(Deploy),
    /// Show what is live and how the running or last deployment stands
    Status(Status),
    /// List past deployments, the last first
    History(History),
    /// List who asked for what, when, from where, and what came of it, the last first
    Audit(Audit),
    /// List the hosts and what they owe; forget what one owes that is gone for good
    Hosts(Hosts),
    /// Say what migrations would do to those who use the database (exit code 2: something that is refused)
    Lint(Lint),
    /// Show how far the migrations of what is live have come, and what each waits for
    Migrations(Migrations),
    /// Let the contract phase of what is live begin at once: older releases can't be gone back to then
    Approve,
    /// End the hold of the canary that runs: on to its next step, or all the way
    Promote(Promote),
    /// Judge the canary of a past deployment again, by what the journal keeps of it
    Analyze(Analyze),
    /// Show what the replicas write, of all hosts together, or what the tasks of a deployment wrote
    Logs(Logs),
    /// Run a command in a live replica, as in `exec -i -- bin/rails console`
    Exec(Exec),
    /// Boot, stop and look at what the service needs beside it and no deployment touches, such as a database
    Accessory(Accessory),
    /// Go on with a deployment that failed, from where it failed
    Replay(Replay),
    /// Make a kept release live again; without one, the release that was live before
    Rollback(Rollback),
    /// Print how the image of a release was made, as the builder has seen it: an in-toto statement
    Provenance(Provenance),
    /// Ask the programs that need the secrets of the deploy file whether they find them
    Secrets(Secrets),
    /// Carry out what `cutover-trigger` asks for, until it is told to stop; nobody is asked for anything
    Serve(Serve),
    /// List what became of requests of the last week, the last first
    Requests(Requests),
    /// Look at all that a deployment stands on: bus, programs, store, secrets, names and hosts, and say what to mend
    Doctor(Doctor),
    /// Take the running deployment back
    Abort(Abort),
    /// Print the JSON Schema of the deploy file, by which editors complete and check one
    Schema,
    /// Print what a shell runs at its start so that it completes command lines, with the names of the deploy file
    Completion(Completion),
    /// Write the manual pages
    Man(Man),
    /// What `up` starts: runs NATS and the programs until it is told to stop
    #[command(hide = true)]
    Supervise,
}

/// Options of `init`.
#[derive(clap::Args, Debug)]
pub(crate) struct Init {
    /// The service's name [default: the folder's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,
    /// The first host
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host: Option<String>,
}

/// Options of `import`.
#[derive(clap::Args, Debug)]
pub(crate) struct Import {
    /// The file: Kamal's config/deploy.yml, kamal.yml or a Compose file [default: the first of these that is there]
    #[arg(value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// Of a Compose file, the service that has the traffic [default: the one that is built, or the only one]
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,
    /// Of a Compose file, where it is to run; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host: Vec<String>,
    /// Write even if the deploy file is there already
    #[arg(long)]
    pub(crate) force: bool,
}

/// Options of `up`.
#[derive(clap::Args, Debug)]
pub(crate) struct Up {
    /// The nats-server to run [default: the one in PATH, else one that is installed into the home folder]
    #[arg(long, value_name = "PATH")]
    pub(crate) nats_server: Option<PathBuf>,
    /// How many of a program, as in shipper=2; may be given several times
    #[arg(long, value_name = "PROGRAM=NUMBER", value_parser = scale)]
    pub(crate) scale: Vec<(Program, usize)>,
    /// Tell the programs apart: TLS, a key for each, and signed entries. It stays so in this home
    #[arg(long)]
    pub(crate) secure: bool,
    /// Stop first what runs, so that other programs or another scale take effect; deployments wait and go on
    #[arg(long)]
    pub(crate) restart: bool,
}

/// Options of `keys`.
#[derive(clap::Args, Debug)]
pub(crate) struct Keys {
    /// The folder that they are written to; what is there stays
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    /// A name or an address by which the NATS server is reached; may be given several times
    #[arg(long, value_name = "HOST", default_value = "localhost")]
    pub(crate) name: Vec<String>,
    /// Have the journal of a standing server take these keys' signatures from now on, and no more of those that it took before
    #[arg(long)]
    pub(crate) in_force: bool,
}

/// Options of `adopt`.
#[derive(clap::Args, Debug)]
pub(crate) struct Adopt {
    /// The destination
    #[arg(value_name = "DESTINATION", conflicts_with = "destination")]
    pub(crate) place: Option<String>,
    /// Take ports 80 and 443 over from this container on each host, such as kamal-proxy, without a moment in which nobody answers
    #[arg(long, value_name = "CONTAINER")]
    pub(crate) from: Option<String>,
    /// Don't ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Options of `doctor`.
#[derive(clap::Args, Debug)]
pub(crate) struct Doctor {
    /// The destination [default: each]
    #[arg(value_name = "DESTINATION", conflicts_with = "destination")]
    pub(crate) place: Option<String>,
}

/// Options of `lint`.
#[derive(clap::Args, Debug)]
pub(crate) struct Lint {
    /// The folder of migrations [default: the one of the deploy file]
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
    /// What they are for: postgresql, mysql or mariadb [default: as the deploy file says, else postgresql]
    #[arg(long, value_name = "DATABASE")]
    pub(crate) engine: Option<Engine>,
}

/// Options of `status`.
#[derive(clap::Args, Debug)]
pub(crate) struct Status {
    /// Watch until the deployment has ended
    #[arg(short, long)]
    pub(crate) watch: bool,
}

/// Options of `history`.
#[derive(clap::Args, Debug)]
pub(crate) struct History {
    /// At most so many
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 20)]
    pub(crate) limit: usize,
}

/// Options of `audit`.
#[derive(clap::Args, Debug)]
pub(crate) struct Audit {
    /// At most so many
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 100)]
    pub(crate) limit: usize,
}

/// Options of `logs`.
#[derive(clap::Args, Debug)]
pub(crate) struct Logs {
    /// Go on with what is written from now on
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// The last lines of each replica [default: 100; with --since or --grep all]
    #[arg(short = 'n', long, value_name = "LINES")]
    pub(crate) tail: Option<u32>,
    /// Only what was written in the last time of that length, as in 10m
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<Span>,
    /// Only lines in which this text stands, as it is
    #[arg(long, value_name = "TEXT")]
    pub(crate) grep: Option<String>,
    /// Only of this host
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<HostName>,
    /// Only of replicas of this role; `web` has the traffic
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: Option<String>,
    /// What the tasks of a deployment wrote (build steps, containers that failed), instead of the replicas [default: the last one]
    #[arg(long, value_name = "ID", conflicts_with_all = ["tail", "since", "grep", "host", "role"])]
    pub(crate) deployment: Option<Option<String>>,
    /// The deploy file
    // The global option in the place of itself, which takes its value from here: `-f` follows, as with all logs.
    #[arg(id = "file", long = "file", value_name = "PATH", default_value = "cutover.yaml")]
    file: PathBuf,
}

/// Options of `migrations`.
#[derive(clap::Args, Debug)]
pub(crate) struct Migrations {
    /// Also those that are done
    #[arg(short, long)]
    pub(crate) all: bool,
}

/// Options of `provenance`.
#[derive(clap::Args, Debug)]
pub(crate) struct Provenance {
    /// The release: its id, the beginning of it, or its version [default: the one that is live]
    pub(crate) release: Option<String>,
}

/// Options of `secrets`.
#[derive(clap::Args, Debug)]
pub(crate) struct Secrets {
    /// What to do.
    #[command(subcommand)]
    pub(crate) action: SecretsAction,
}

/// What can be done about secrets.
#[derive(Subcommand, Debug)]
pub(crate) enum SecretsAction {
    /// Say of each reference whether who needs it finds a value, and why not; never the value
    Check {
        /// The destination [default: each]
        #[arg(value_name = "DESTINATION", conflicts_with = "destination")]
        place: Option<String>,
    },
}

/// Options of `hosts`.
#[derive(clap::Args, Debug)]
pub(crate) struct Hosts {
    /// What to do instead of listing them.
    #[command(subcommand)]
    pub(crate) action: Option<HostsAction>,
}

/// What can be done about hosts.
#[derive(Subcommand, Debug)]
pub(crate) enum HostsAction {
    /// Forget what a host owes: it is gone for good, or was put right by hand
    Forget {
        /// The host, as the deploy file names it
        #[arg(value_name = "HOST")]
        host: HostName,
    },
}

impl Global {
    /// How a standing bus is entered.
    ///
    /// # Errors
    /// A key that can't be read.
    pub(crate) fn access(&self, url: &str) -> Result<Access, KeyError> {
        let files = Files {
            key: self.nats_key.as_deref(),
            roots: self.nats_ca.as_deref(),
            certificate: self.nats_certificate.as_deref(),
            certificate_key: self.nats_certificate_key.as_deref(),
        };
        Access::by(url, files)
    }

    /// The folder of what runs on this machine.
    pub(crate) fn home(&self) -> PathBuf {
        let default = || std::env::home_dir().unwrap_or_default().join(".cutover");
        self.home.clone().unwrap_or_else(default)
    }

    /// The same with the destination that a command was given in its place.
    pub(crate) fn at(&self, place: Option<String>) -> Self {
        Self { destination: place.or_else(|| self.destination.clone()), ..self.clone() }
    }
}

/// `shipper=2`
fn scale(text: &str) -> Result<(Program, usize), String> {
    let (name, number) = text.split_once('=').ok_or("write PROGRAM=NUMBER, as in shipper=2")?;
    let program = Program::ALL.into_iter().find(|program| program.as_str() == name).ok_or_else(|| {
        let known = Program::ALL.map(Program::as_str).join(", ");
        format!("'{name}' is not a program: one of {known}")
    })?;
    let number = number
        .parse()
        .ok()
        .filter(|number| *number <= MOST)
        .ok_or_else(|| format!("expected 0 to {MOST}"))?;
    Ok((program, number))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_destination_may_stand_in_its_place_or_after_its_flag() {
        for line in [&["cutover", "deploy", "production"][..], &["cutover", "-d", "production", "deploy"]] {
            let args = Args::try_parse_from(line).unwrap();
            let Verb::Deploy(deploy) = args.verb else { unreachable!() };
            assert_eq!(args.global.at(deploy.place).destination.as_deref(), Some("production"));
        }
        assert!(Args::try_parse_from(["cutover", "deploy", "production", "-d", "staging"]).is_err());
    }

    #[test]
    fn a_pause_has_an_end_whatever_is_said() {
        let Verb::Pause(pause) = Args::try_parse_from(["cutover", "pause"]).unwrap().verb else {
            unreachable!()
        };
        assert_eq!((pause.span, pause.waiting), (Span::seconds(30), 1_000));
        for endless in ["ever", "2h", "0s"] {
            assert!(Args::try_parse_from(["cutover", "pause", "--for", endless]).is_err(), "{endless}");
        }
        let on = ["cutover", "maintenance", "on", "production", "--page", "away.html", "--pass", "staff=a=b"];
        let Verb::Maintenance(Maintenance { action: MaintenanceAction::On(on) }) =
            Args::try_parse_from(on).unwrap().verb
        else {
            unreachable!()
        };
        assert_eq!(on.pass, Some(("staff".to_owned(), "a=b".to_owned())));
        assert!(Args::try_parse_from(["cutover", "maintenance"]).is_err());
    }

    #[test]
    fn the_deploy_file_has_a_short_flag_but_where_logs_are_followed() {
        for line in [
            &["cutover", "deploy", "-f", "x"][..],
            &["cutover", "-f", "x", "logs", "-f"],
            &["cutover", "logs", "--file", "x"],
        ] {
            assert_eq!(Args::try_parse_from(line).unwrap().global.file, PathBuf::from("x"), "{line:?}");
        }
        let Verb::Logs(logs) = Args::try_parse_from(["cutover", "logs", "-f"]).unwrap().verb else {
            unreachable!()
        };
        assert!(logs.follow);
    }
}
