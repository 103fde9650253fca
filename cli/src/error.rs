//! What can go wrong and is expected to: each with its exit code and, where it is known, what to do next.

use std::io;
use std::path::{Path, PathBuf};

use cutover_core::{
    DeployWindow, DeploymentId, Digest, Hook, HostName, ModelName, ModelSource, Program, ReleaseId,
    ServiceKey, Timestamp,
};

use crate::clock;
use crate::exit::Exit;
use crate::hooks::Ending;
use crate::persons::Unresolved;

/// An expected error of the command line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// There is no deploy file.
    #[error("there is no deploy file {}", .0.display())]
    NoDeployFile(PathBuf),
    /// A file is there that would be overwritten.
    #[error("{} is there already, and is not overwritten", .0.display())]
    Exists(PathBuf),
    /// The same of what `import` would write.
    #[error("{} is there already", .0.display())]
    Imported(PathBuf),
    /// There is no file of another tool.
    #[error("there is neither config/deploy.yml nor kamal.yml nor a Compose file here")]
    NothingToImport,
    /// A Compose file is to be deployed.
    #[error("{} is a Compose file, which doesn't say where to", .0.display())]
    Compose(PathBuf),
    /// A file that is to be imported, and is a native one.
    #[error("{} is a native deploy file already", .0.display())]
    Native(PathBuf),
    /// A name that a deploy file can't be written with.
    #[error("the deploy file can't be written: {0}")]
    Name(#[from] cutover_core::InvalidName),
    /// The deploy file is in no Git repository.
    #[error("{} is in no Git repository with a commit, and `builder.git` says to build one of it", .0.display())]
    NoRepository(PathBuf),
    /// The image would run as root, and the deploy file says that nothing may.
    #[error(
        "{dockerfile}, line {line}: the image runs as {user}, and by policy.require_non_root of the deploy file it has to be a number other than 0"
    )]
    RootImage {
        /// The Dockerfile.
        dockerfile: String,
        /// Its line.
        line: usize,
        /// The user.
        user: String,
    },
    /// A source of a model that is none.
    #[error("models.{model}.source: {reason}")]
    Source {
        /// The model.
        model: ModelName,
        /// Why not.
        reason: String,
    },
    /// A model that is pinned is another one.
    #[error("{place} has version {found} of model {model}, and the deploy file says {wanted}")]
    OtherVersion {
        /// The model.
        model: ModelName,
        /// Where it was looked for.
        place: ModelSource,
        /// What the file says.
        wanted: Digest,
        /// What is there.
        found: Digest,
    },
    /// The file system said no.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What a request asks for isn't done where nobody is present.
    #[error("{0}")]
    Unattended(String),
    /// A deployment runs.
    #[error("deployment {} of {key} runs: asked for by {by} at {}, {} ago", .deployment.short(), clock::time_of_day(*.since), clock::duration(clock::now().since(*.since)))]
    Running {
        /// Which.
        deployment: DeploymentId,
        /// Of what.
        key: ServiceKey,
        /// Who asked for it.
        by: String,
        /// When.
        since: Timestamp,
    },
    /// No deployment begins at this time.
    #[error("no deployment of {key} begins now: `deploy_windows` says {}", .windows.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Closed {
        /// Of what.
        key: ServiceKey,
        /// When they begin.
        windows: Vec<DeployWindow>,
        /// When the next one may.
        next: Timestamp,
    },
    /// A time zone that isn't in this machine's database.
    #[error("deploy_windows: the time zone of '{window}' is not known here")]
    Zone {
        /// The window.
        window: Box<DeployWindow>,
        /// Why not.
        source: Box<jiff::Error>,
    },
    /// Nobody is there to do what the plan needs.
    #[error("no {} is running", .0.iter().map(|program| program.as_str()).collect::<Vec<_>>().join(", no "))]
    NoWorkers(Vec<Program>),
    /// The journal knows nothing of the service.
    #[error("{0} has never been deployed")]
    NeverDeployed(ServiceKey),
    /// The deploy file doesn't name that host.
    #[error("{host} is not a host of this destination: they are {known}")]
    NoSuchHost {
        /// What was asked for.
        host: HostName,
        /// Those that there are.
        known: String,
    },
    /// What is live has no such replica.
    #[error("no live replica of {key} with the role {role} runs on {}", host.as_ref().map_or("any host", HostName::as_str))]
    NoReplica {
        /// The service.
        key: ServiceKey,
        /// The role.
        role: String,
        /// The host that was named.
        host: Option<HostName>,
    },
    /// Nothing runs on this machine, and no NATS server was named.
    #[error("nothing has been deployed from this machine")]
    NothingHere,
    /// An id that is none, or of several.
    #[error("{key} has {} whose id ends in '{text}'", count(*.found, "deployment"))]
    Deployment {
        /// What was given.
        text: String,
        /// Of which service.
        key: ServiceKey,
        /// How many match.
        found: usize,
    },
    /// A release that isn't kept, or one of several.
    #[error("{key} keeps {} called '{text}'", count(*.found, "release"))]
    Release {
        /// What was given.
        text: String,
        /// Of which service.
        key: ServiceKey,
        /// How many match.
        found: usize,
    },
    /// What is live is not on all hosts of the deploy file.
    #[error("release {release} of {key} is not on {}", .hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(", "))]
    NotThere {
        /// What is live.
        release: ReleaseId,
        /// Of which service.
        key: ServiceKey,
        /// The hosts that don't have it.
        hosts: Vec<HostName>,
    },
    /// There is nothing to roll back to.
    #[error("no release of {0} is kept but the one that is live")]
    NothingKept(ServiceKey),
    /// The image of a kept release is gone.
    #[error("the image of release {release} is not in the artifact store any more")]
    ImageGone {
        /// Which release.
        release: String,
    },
    /// Nothing is known of how an image was made.
    #[error(
        "how the image of release {release} was made is not known: nothing was built, or before that was written down"
    )]
    NoProvenance {
        /// Which release.
        release: String,
    },
    /// A canary that was not judged, or whose evidence is gone.
    #[error("the journal has nothing that a canary of deployment {} was judged by: {why}", .deployment.short())]
    NothingJudged {
        /// Which deployment.
        deployment: DeploymentId,
        /// Why not.
        why: &'static str,
    },
    /// References of the person who deploys that have no value here.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Unresolved(Vec<Unresolved>),
    /// Nobody has written down whom values are to be sealed to.
    #[error(
        "values of env://, file:// and cmd:// are sealed to the programs that need them, and this bus names no keys of theirs"
    )]
    NoSealingKeys,
    /// More than a plan can hold.
    #[error(
        "the values of env://, file:// and cmd:// are {size} bytes once they are sealed, more than the {most} that a deployment may bring along"
    )]
    TooMuchSealed {
        /// How much.
        size: usize,
        /// How much there may be.
        most: usize,
    },
    /// What was sealed before can't be opened any more.
    #[error("the programs can't open what was sealed before: {}", .0.join(", "))]
    NotOpened(Vec<String>),
    /// What is live needs values that this deploy file doesn't name.
    #[error("what is live was deployed with {}, which this deploy file doesn't name: nothing that somebody else has written is looked up here", .0.join(", "))]
    NotNamed(Vec<String>),
    /// Secrets that a program which needs them doesn't find. Each one's reason was told.
    #[error("{missing} of {all} secrets have no value where it is needed")]
    SecretsMissing {
        /// How many.
        missing: usize,
        /// Of how many.
        all: usize,
        /// Whether that may mend itself, or is that nobody was there to ask.
        passing: bool,
    },
    /// A service is to be taken over from another control plane, and nobody is there to be asked.
    #[error("{0} belongs to another control plane, which could not deploy it any more")]
    Unconfirmed(ServiceKey),
    /// The answer to whether a service is to be taken over was not yes.
    #[error("{0} was not adopted")]
    Declined(ServiceKey),
    /// Hosts whose proxy doesn't obey this journal yet. Each one's reason was told.
    #[error("{key} is not adopted on {}", .hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(", "))]
    NotAdopted {
        /// The service.
        key: ServiceKey,
        /// The hosts.
        hosts: Vec<HostName>,
    },
    /// Hosts whose proxy was not told. Each one's reason was.
    #[error("{key} is not {what} on {}", .hosts.iter().map(HostName::as_str).collect::<Vec<_>>().join(", "))]
    NotEverywhere {
        /// The service.
        key: ServiceKey,
        /// What was to become of it.
        what: &'static str,
        /// The hosts.
        hosts: Vec<HostName>,
    },
    /// The migrations of Rails lie in a repository that isn't here.
    #[error("the migrations of Rails are read from the build context, and that is in {0}")]
    RailsElsewhere(String),
    /// No contract waits.
    #[error("nothing of {0} waits for approval")]
    NothingToApprove(ServiceKey),
    /// A decision that can't be taken.
    #[error(transparent)]
    Refused(#[from] cutover_core::Refused),
    /// The following of a deployment broke off.
    #[error("deployment {} can't be followed any more; it goes on without", .0.short())]
    Lost(DeploymentId, #[source] cutover_bus::Error),
    /// A hook that runs before.
    #[error("{} {ending}, and nothing was decided", .hook.as_str())]
    Hook {
        /// Which.
        hook: Hook,
        /// How it ended.
        ending: Ending,
    },
    /// What a plan was made for is not what is live any more.
    #[error("another release of {0} went live while `before_deploy` ran, and nothing was decided")]
    Overtaken(ServiceKey),
    /// A signal before anything was decided.
    #[error("interrupted, and nothing was decided")]
    Interrupted(Exit),
    /// Statements of migrations that would disturb whoever uses the database, each with its place.
    #[error("{0}")]
    Dangerous(String),
    /// Whatever stopped a plan from being made: `plan` has 1 for something else.
    #[error("the plan could not be made")]
    Unplanned(#[source] anyhow::Error),
}

/// `no release`, `one release`, `2 releases`.
fn count(found: usize, what: &str) -> String {
    match found {
        0 => format!("no {what}"),
        1 => format!("one {what}"),
        many => format!("{many} {what}s"),
    }
}

impl Error {
    /// Says what was being done to `path` when the file system said no.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// The exit code.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Running { .. } | Self::Overtaken(_) => Exit::Running,
            Self::NoWorkers(_) | Self::Lost(..) | Self::SecretsMissing { passing: true, .. } => {
                Exit::Unreachable
            }
            Self::NotAdopted { .. } | Self::NotEverywhere { .. } => Exit::Host,
            Self::Interrupted(exit) | Self::Hook { ending: Ending::Interrupted(exit), .. } => *exit,
            Self::Hook { .. } => Exit::Hook,
            _ => Exit::Usage,
        }
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoDeployFile(_) => "`cutover init` writes one; -f names another".to_owned(),
            Self::Imported(_) => "cutover import --force writes it anew".to_owned(),
            Self::Compose(path) => {
                format!("cutover import {} --host ADDRESS writes a deploy file of it", path.display())
            }
            Self::NothingToImport => "name it: cutover import FILE".to_owned(),
            Self::RootImage { .. } => {
                "end it with a user of its own by its number, as in USER 1000, or name one: `container: {user: \"1000\"}`".to_owned()
            }
            Self::NoRepository(_) => {
                "leave out `builder.git` to build the files as they are, or give its `url`".to_owned()
            }
            Self::Running { .. } => "watch it: cutover status -w    take it back: cutover abort".to_owned(),
            Self::Closed { next, .. } => {
                let next = clock::date_and_time(*next);
                format!("the next one may from {next} on, by this machine's clock; cutover deploy --force doesn't mind, and says so in the journal")
            }
            Self::NoWorkers(programs) => {
                let binaries: Vec<String> = programs.iter().map(|program| program.binary()).collect();
                format!(
                    "on this machine: cutover up --restart    with a standing NATS server: start {}",
                    binaries.join(", ")
                )
            }
            Self::Unresolved(_) => {
                "env://, file:// and cmd:// are looked up where `cutover` runs; what programs are to look up is vault:// or aws-sm://".to_owned()
            }
            Self::NoSealingKeys => {
                "on this machine: cutover up --restart    with a standing NATS server: `cutover keys`, docs/environment.md".to_owned()
            }
            Self::TooMuchSealed { .. } => "refer to vault:// or aws-sm:// for the large ones".to_owned(),
            Self::NotOpened(_) => {
                "their keys were changed since, or it was deployed by an earlier version: cutover deploy seals anew what the deploy file names".to_owned()
            }
            Self::NotNamed(_) => "cutover deploy reads what this deploy file names".to_owned(),
            Self::SecretsMissing { .. } => {
                "docs/secrets.md says what is looked up where: what is in a store, by the programs, which have the environment that they were started with (`cutover up --restart`)".to_owned()
            }
            Self::Unconfirmed(_) => "if that is meant: cutover adopt --yes".to_owned(),
            Self::NotAdopted { .. } => {
                "mend them, then `cutover adopt` again; or take them out of the deploy file".to_owned()
            }
            Self::NotEverywhere { .. } => {
                "the other hosts were told; mend these, then say it again".to_owned()
            }
            Self::NotThere { .. } => {
                "cutover deploy --force brings it there, and reads all secrets anew".to_owned()
            }
            Self::NoReplica { .. } => "cutover status says what is live; roles are those of the deploy file, and web".to_owned(),
            Self::NeverDeployed(_) | Self::NothingHere => "cutover deploy".to_owned(),
            Self::Deployment { .. } => "cutover history lists them".to_owned(),
            Self::Release { .. } => "cutover rollback --list lists them".to_owned(),
            Self::Hook { ending: Ending::NotRun(_), .. } => {
                "it is run by its words, in the folder of the deploy file, where a script needs to be executable (chmod +x); or --skip-hooks".to_owned()
            }
            Self::Overtaken(_) => "see which: cutover status    then deploy again, if it is still meant".to_owned(),
            Self::Hook { ending: Ending::Failed(_), .. } => "what it says is above; --skip-hooks deploys without it".to_owned(),
            Self::Hook { ending: Ending::TooLong(_), .. } => "give it longer: `hooks: {timeout: 30m}`; or --skip-hooks".to_owned(),
            Self::Dangerous(_) => {
                "what is meant all the same has a line above it: -- cutover: allow=RULE reason=\"…\" (docs/migrations.md)".to_owned()
            }
            Self::ImageGone { .. } => "check out that version and deploy it".to_owned(),
            Self::Refused(cutover_core::Refused::StillRuns(_)) => {
                "watch it: cutover status -w    take it back: cutover abort".to_owned()
            }
            Self::Refused(cutover_core::Refused::Contracted { .. }) => {
                "deploy from a tree that has these migrations; cutover rollback --list shows what can be gone back to"
                    .to_owned()
            }
            Self::RailsElsewhere(_) => {
                "deploy from a clone of it with `builder: {git: {url: .}}`, which builds what is committed there".to_owned()
            }
            Self::NothingToApprove(_) => "cutover migrations says how far each has come".to_owned(),
            Self::Refused(cutover_core::Refused::IsLive(_)) => "to go back: cutover rollback".to_owned(),
            Self::Lost(..) => "see how it stands: cutover status".to_owned(),
            _ => return None,
        };
        Some(hint)
    }
}
