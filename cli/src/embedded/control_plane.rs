use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use cutover_bus::{Access, Present};
use cutover_core::{BusUser, Program};
use serde::{Deserialize, Serialize};

use super::home::write_private;
use super::nats_server::NatsServer;
use super::run::Run;
use super::{Error, Home, Keyring, executable};

/// A control plane on this machine: what its supervisor runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ControlPlane {
    /// The version of the programs.
    pub(crate) version: String,
    /// Where its NATS server answers. It holds the password.
    pub(crate) url: String,
    /// The folder of its keys. One that an earlier version has started had none, and can still be stopped.
    #[serde(default)]
    pub(super) keyring: PathBuf,
    /// Whether its bus tells its users apart by them.
    #[serde(default)]
    pub(super) secure: bool,
    /// The folder of its artifact store.
    pub(crate) store: PathBuf,
    pub(super) run: Run,
    pub(super) nats: NatsServer,
    pub(super) programs: Vec<Crew>,
}

/// All processes of one program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Crew {
    pub(super) program: Program,
    pub(super) binary: PathBuf,
    pub(super) instances: usize,
}

/// A control plane and the pid of its supervisor: the content of `supervisor.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) supervisor: u32,
    pub(super) control_plane: ControlPlane,
}

impl ControlPlane {
    /// How many of each program it runs.
    pub(crate) fn scale(&self) -> BTreeMap<Program, usize> {
        self.programs.iter().map(|crew| (crew.program, crew.instances)).collect()
    }

    /// Its keys.
    pub(super) fn keyring(&self) -> Result<Keyring, Error> {
        Keyring::of(&self.keyring, &[])
    }

    /// The public keys.
    ///
    /// # Errors
    /// A key that can't be read.
    pub(crate) fn public_keys(&self) -> Result<BTreeMap<BusUser, String>, Error> {
        Ok(self.keyring()?.public())
    }

    /// How its bus is entered by a user.
    ///
    /// # Errors
    /// A key that can't be read.
    pub(crate) fn access(&self, user: BusUser) -> Result<Access, Error> {
        if self.secure { Ok(self.keyring()?.access(&self.url, user)) } else { Ok(Access::open(&self.url)) }
    }

    /// What it runs, in a few words: `nats-server 2.15.1, builder, shipper ×2, …`.
    pub(crate) fn summary(&self) -> String {
        let nats = format!("nats-server {}", self.nats.version);
        let crews = self.programs.iter().filter_map(|crew| match crew.instances {
            0 => None,
            1 => Some(crew.program.to_string()),
            many => Some(format!("{} ×{many}", crew.program)),
        });
        [nats].into_iter().chain(crews).collect::<Vec<_>>().join(", ")
    }

    /// The programs of which fewer are present than run here.
    pub(super) fn absent(&self, present: &[Present]) -> Vec<Program> {
        let count = |program| present.iter().filter(|one| one.program == program).count();
        self.programs
            .iter()
            .filter(|crew| count(crew.program) < crew.instances)
            .map(|crew| crew.program)
            .collect()
    }
}

impl Crew {
    /// Every program in the wanted number, from binaries beside `cutover` or in `PATH`.
    ///
    /// # Errors
    /// A binary that is missing.
    pub(super) fn muster(scale: &BTreeMap<Program, usize>) -> Result<Vec<Self>, Error> {
        let cutover = std::env::current_exe().map_err(Error::file("find", "the executable of cutover"))?;
        let crew = |program: Program| {
            let instances = scale.get(&program).copied().unwrap_or(1);
            let name = program.binary();
            let found = executable::beside(&cutover, &name).or_else(|| executable::in_path(&name));
            match found {
                Some(binary) => Ok(Self { program, binary, instances }),
                // What is not to run need not be there.
                None if instances == 0 => Ok(Self { program, binary: PathBuf::from(name), instances }),
                None => Err(Error::NoProgram { binary: name, cutover: cutover.clone() }),
            }
        };
        Program::ALL.into_iter().map(crew).collect()
    }

    /// The names of its processes, which are those of their logs.
    pub(super) fn processes(&self) -> impl Iterator<Item = String> {
        (1..=self.instances).map(|number| format!("{}-{number}", self.program))
    }
}

impl Record {
    /// What a home has recorded: that a supervisor runs, or that one was killed.
    pub(super) fn read(home: &Home) -> Result<Option<Self>, Error> {
        let path = home.record();
        match fs::read(&path) {
            Ok(text) => {
                serde_json::from_slice(&text).map(Some).map_err(|source| Error::Malformed { path, source })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::File { doing: "read", path, source }),
        }
    }

    /// Records it.
    pub(super) fn write(&self, home: &Home) -> Result<(), Error> {
        let path = home.record();
        let text = serde_json::to_vec_pretty(self)
            .map_err(|source| Error::Malformed { path: path.clone(), source })?;
        write_private(&path, &text)
    }

    /// Forgets it: nothing of the run is left.
    pub(super) fn remove(home: &Home) -> Result<(), Error> {
        let path = home.record();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::File { doing: "remove", path, source: error })
            }
            _ => Ok(()),
        }
    }

    /// Whether the supervisor is alive.
    pub(super) fn is_running(&self) -> bool {
        self.control_plane.run.owns(self.supervisor)
    }
}
