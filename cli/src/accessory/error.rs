//! What can go wrong with an accessory.

use std::fmt;
use std::io;
use std::path::PathBuf;

use cutover_core::HostName;
use cutover_fleet::{LAST_LINES, Trouble};

/// Why an accessory isn't as it was to be. Every message names it and its host.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The deploy file has none of that name.
    #[error("there is no accessory {name} at this destination{known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The names that there are, as the end of the sentence.
        known: String,
    },
    /// It doesn't run on that host, by the deploy file.
    #[error("{name} has no place on {host}: by the deploy file it runs on {hosts}")]
    Elsewhere {
        /// Its name.
        name: String,
        /// The host.
        host: HostName,
        /// Those that it runs on.
        hosts: String,
    },
    /// It was never booted there, or was removed.
    #[error("{name} isn't on {host}")]
    Absent {
        /// Its name.
        name: String,
        /// The host.
        host: HostName,
    },
    /// It doesn't run there.
    #[error("{name} doesn't run on {host}")]
    Stopped {
        /// Its name.
        name: String,
        /// The host.
        host: HostName,
    },
    /// A file of the project that it is to have.
    #[error("could not read {}, which {name} is to have", path.display())]
    File {
        /// Its name.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file that is too large to be put into a container.
    #[error("{} has more than {} MiB: put what is large into a volume", path.display(), most >> 20)]
    LargeFile {
        /// The file.
        path: PathBuf,
        /// The limit, in bytes.
        most: u64,
    },
    /// The host's Docker can't get its image.
    #[error("{host} can't pull {image}, which {name} is made of")]
    Image {
        /// Its name.
        name: String,
        /// The image.
        image: String,
        /// The host.
        host: HostName,
        /// What Docker says.
        source: Box<cutover_host::Error>,
    },
    /// It exits.
    #[error("{}{}", trouble, last_lines(trouble))]
    Trouble {
        /// What became of it.
        trouble: Box<Trouble>,
    },
    /// The HEALTHCHECK of its image isn't good in time.
    #[error("{name} on {host} is not healthy within {seconds} s{last_line}")]
    Unhealthy {
        /// Its container.
        name: String,
        /// The host.
        host: HostName,
        /// The limit.
        seconds: u64,
        /// What the check wrote last, as the end of the sentence.
        last_line: String,
    },
    /// Its files would be others than it has now.
    #[error("{0}")]
    OtherVolume(Box<OtherVolume>),
    /// Another container writes where it would.
    #[error("{name} would write to {volume} on {host}, and so does {by}, which runs")]
    VolumeInUse {
        /// Its name.
        name: String,
        /// The host.
        host: HostName,
        /// The volume, or the path of the host.
        volume: String,
        /// The other container.
        by: String,
    },
    /// It runs where the deploy file gives it no place.
    #[error(
        "{name} is on {elsewhere}, where the deploy file gives it no place: on {host} it would begin with nothing"
    )]
    RunsElsewhere {
        /// Its name.
        name: String,
        /// The host where it was to be made.
        host: HostName,
        /// Where it is.
        elsewhere: HostName,
    },
    /// A reboot was cut off once the new one had been started, and that one doesn't run well.
    #[error(
        "a reboot of {name} on {host} was cut off: there are {new}, which doesn't run as it should, and {before}, which it was to replace"
    )]
    Both {
        /// Its name.
        name: String,
        /// The host.
        host: HostName,
        /// The container of the new one.
        new: String,
        /// The container of the one before.
        before: String,
    },
    /// The connection was lost while it was made anew.
    #[error("the connection was lost while {name} was made anew on {host}: nobody knows whether it runs")]
    Unseen {
        /// Its name.
        name: String,
        /// The host.
        host: HostName,
        /// Why.
        source: Box<Self>,
    },
    /// The new one failed, and the one before could not be brought back.
    #[error(
        "{name} does NOT run on {host}: the new one failed, and the one before could not be brought back ({back})"
    )]
    NotBack {
        /// Its name.
        name: String,
        /// The host.
        host: HostName,
        /// Why not.
        back: Box<Self>,
        /// Why the new one failed.
        source: Box<Self>,
    },
    /// The new one failed, and the one before is back.
    #[error("{name} is as it was on {host}: the new one failed")]
    AsBefore {
        /// Its name.
        name: String,
        /// The host.
        host: HostName,
        /// Why.
        source: Box<Self>,
    },
    /// Secrets without a value.
    #[error("{0}")]
    Secrets(#[source] Box<crate::error::Error>),
    /// Connecting, Docker.
    #[error(transparent)]
    Fleet(Box<cutover_fleet::Error>),
    /// On some hosts or of some accessories.
    #[error("{}", several(.0))]
    Several(Vec<Self>),
}

/// The files of an accessory that would be others than it has now.
#[derive(Debug)]
pub(crate) struct OtherVolume {
    /// Its name.
    pub(super) name: String,
    /// The host.
    pub(super) host: HostName,
    /// Where it finds them.
    pub(super) place: String,
    /// The volume that it has, or the path of the host.
    pub(super) has: String,
    /// The one that it would have.
    pub(super) wanted: String,
    /// Its image.
    pub(super) image: String,
}

impl OtherVolume {
    fn hint(&self) -> String {
        let Self { name, has, wanted, image, .. } = self;
        format!(
            "stop it, copy there what is to be kept: docker run --rm --user 0 --entrypoint cp -v {has}:/from -v {wanted}:/to {image} -a \
             /from/. /to/; then cutover accessory reboot --other-volumes {name}"
        )
    }
}

impl fmt::Display for OtherVolume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, host, place, has, wanted, .. } = self;
        write!(
            f,
            "{name} on {host} has its {place} in {has}, and would have it in {wanted}, with what is in there"
        )
    }
}

impl Error {
    /// Whether it is a host that said no, and not the command line or the deploy file that is wrong.
    pub(crate) fn is_about_a_host(&self) -> bool {
        match self {
            Self::Unknown { .. } | Self::Elsewhere { .. } | Self::File { .. } | Self::LargeFile { .. } => {
                false
            }
            Self::AsBefore { source, .. } => source.is_about_a_host(),
            Self::Several(all) => all.iter().any(Self::is_about_a_host),
            _ => true,
        }
    }

    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { .. } => Some("declare it: `accessories: {redis: {image: redis:8}}`".to_owned()),
            Self::Absent { name, .. } => Some(format!("cutover accessory boot {name}")),
            Self::Stopped { name, .. } => Some(format!("cutover accessory start {name}")),
            Self::Image { .. } => Some(
                "its registry is entered as `registry` of the accessory, or of the service, says; without one, without a password"
                    .to_owned(),
            ),
            Self::OtherVolume(other) => Some(other.hint()),
            Self::VolumeInUse { by, .. } => Some(format!(
                "two that write to the same files destroy them: give it a volume of another name, or stop {by} first"
            )),
            Self::RunsElsewhere { elsewhere, .. } => Some(format!(
                "`hosts: [{elsewhere}]` keeps it there; to move it, bring what it has to the new host, and remove it with --host {elsewhere}"
            )),
            Self::Both { new, before, .. } => Some(format!(
                "see `docker logs {new}` there, and remove the one that isn't to run: docker rm -f {before}, or {new} and then cutover accessory boot"
            )),
            Self::Unseen { name, .. } | Self::NotBack { name, .. } => {
                Some(format!("cutover accessory boot {name} goes on from what is there"))
            }
            Self::AsBefore { source, .. } => source.hint(),
            Self::Several(all) => all.iter().find_map(Self::hint),
            _ => None,
        }
    }
}

impl From<cutover_fleet::Error> for Error {
    fn from(error: cutover_fleet::Error) -> Self {
        Self::Fleet(Box::new(error))
    }
}

impl From<cutover_host::Error> for Error {
    fn from(error: cutover_host::Error) -> Self {
        cutover_fleet::Error::from(error).into()
    }
}

fn last_lines(trouble: &Trouble) -> String {
    let lines = trouble.last_lines.iter().rev().take(LAST_LINES as usize).rev();
    lines.map(|line| format!("\n  {}", crate::tree::printable(line))).collect()
}

/// Each with its causes, on a line of its own.
fn several(all: &[Error]) -> String {
    let each = all.iter().map(|error| {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(next) = cause {
            let next_text = next.to_string();
            if !text.contains(&next_text) {
                text = format!("{text}: {next_text}");
            }
            cause = next.source();
        }
        text
    });
    each.collect::<Vec<_>>().join("\n")
}
