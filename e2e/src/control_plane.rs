//! A control plane of a test's own: what `cutover up` starts, in a folder that goes with it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, bail};
use cutover_bus::{Access, Bus, Files, Journal};
use cutover_core::{BusUser, Program, ServiceKey};
use serde::Deserialize;

use crate::{Host, Relay, dist};

/// Where `scripts/install.sh` puts the server that is tested with.
const NATS_SERVER: &str = "/usr/local/lib/cutover/nats-server";

/// The programs that have an artifact store.
const STORING: [Program; 3] = [Program::Builder, Program::Shipper, Program::Migrator];

/// What `cutover up` starts. It is stopped when this is dropped.
#[derive(Debug)]
pub struct ControlPlane {
    home: tempfile::TempDir,
    /// Where its programs are, `cutover` among them.
    programs: PathBuf,
    environment: Vec<(&'static str, String)>,
    /// Programs that `cutover up` has not started.
    beside: Vec<Child>,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; none: a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

/// The part of the embedded control plane's account that a client needs.
#[derive(Deserialize)]
struct Account {
    port: u16,
    user: String,
    password: String,
    secure: bool,
}

impl ControlPlane {
    /// Starts one whose programs reach these hosts, with so many of each.
    ///
    /// # Errors
    /// What `cutover up` says.
    pub fn up(hosts: &[&Host], each: usize) -> anyhow::Result<Self> {
        Self::up_from(&dist(), hosts, each)
    }

    /// The same with the programs of another folder than that of the build.
    ///
    /// # Errors
    /// What `cutover up` says.
    pub fn up_from(programs: &Path, hosts: &[&Host], each: usize) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let environment = environment(hosts, home.path())?;
        Self { home, programs: programs.to_owned(), environment, beside: Vec::new() }.started(|_| each)
    }

    /// Starts one whose programs have these variables too.
    ///
    /// # Errors
    /// What `cutover up` says.
    pub fn up_with(hosts: &[&Host], variables: Vec<(&'static str, String)>) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let mut environment = environment(hosts, home.path())?;
        environment.extend(variables);
        Self { home, programs: dist(), environment, beside: Vec::new() }.started(|_| 1)
    }

    /// Starts one whose bus tells its users apart.
    ///
    /// # Errors
    /// What `cutover up --secure` says.
    pub fn up_secured(hosts: &[&Host]) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let environment = environment(hosts, home.path())?;
        let plane = Self { home, programs: dist(), environment, beside: Vec::new() };
        plane.start_with(|_| 1, &["--secure"])?;
        Ok(plane)
    }

    /// Starts one whose programs reach the first of these hosts through a relay.
    ///
    /// # Errors
    /// What `cutover up` says.
    pub fn up_through(hosts: &[&Host], relay: &Relay) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let environment = environment(hosts, home.path())?;
        let known_hosts = home.path().join("known_hosts");
        let known = std::fs::read_to_string(&known_hosts)?;
        let through = format!("[{}]:{}", relay.address.ip(), relay.address.port());
        std::fs::write(&known_hosts, known.replace(&hosts[0].address, &through))?;
        Self { home, programs: dist(), environment, beside: Vec::new() }.started(|_| 1)
    }

    /// Starts one without a program: the test has some of its own.
    ///
    /// # Errors
    /// What `cutover up` says.
    pub fn up_without(absent: Program, hosts: &[&Host]) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let environment = environment(hosts, home.path())?;
        let plane = Self { home, programs: dist(), environment, beside: Vec::new() };
        plane.started(|program| usize::from(program != absent))
    }

    /// Starts one whose programs have another artifact store than a folder: those that have one run as they do with a standing
    /// NATS server, which the control plane's own is to them, and so do commands.
    ///
    /// # Errors
    /// What `cutover up` says; a program that wasn't built.
    pub fn up_with_store(hosts: &[&Host], store: &str) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let environment = environment(hosts, home.path())?;
        let plane = Self { home, programs: dist(), environment, beside: Vec::new() };
        let mut plane = plane.started(|program| usize::from(!STORING.contains(&program)))?;
        plane.environment.extend([("NATS_URL", plane.url()?), ("CUTOVER_STORE", store.to_owned())]);
        for program in STORING {
            let log = std::fs::File::create(plane.home.path().join(format!("{program}.log")))?;
            let mut command = Command::new(plane.programs.join(program.binary()));
            command.envs(plane.environment.iter().map(|(name, value)| (*name, value.as_str())));
            command.env("CUTOVER_SEALING_KEY", plane.key_file(BusUser::Program(program)));
            plane.beside.push(command.stdin(Stdio::null()).stderr(log).spawn()?);
        }
        Ok(plane)
    }

    fn started(self, scale: impl Fn(Program) -> usize) -> anyhow::Result<Self> {
        self.start(scale)?;
        Ok(self)
    }

    /// Starts so many of each program as are missing.
    ///
    /// # Errors
    /// What `cutover up` says.
    pub fn start(&self, scale: impl Fn(Program) -> usize) -> anyhow::Result<()> {
        self.start_with(scale, &[])
    }

    /// Stops its programs, and starts one of each anew.
    ///
    /// # Errors
    /// What `cutover up` says.
    pub fn restart(&self) -> anyhow::Result<()> {
        self.start_with(|_| 1, &["--restart"])
    }

    fn start_with(&self, scale: impl Fn(Program) -> usize, options: &[&str]) -> anyhow::Result<()> {
        let scale = Program::ALL.map(|program| format!("--scale={program}={}", scale(program)));
        let server = format!("--nats-server={NATS_SERVER}");
        let arguments: Vec<&str> =
            ["up", &server].iter().chain(options).copied().chain(scale.iter().map(String::as_str)).collect();
        let up = self.run(Path::new("/"), &arguments)?;
        if up.code != Some(0) {
            bail!("cutover up: {}{}", up.out, up.err);
        }
        Ok(())
    }

    /// The command `cutover` with these arguments, in this folder, on this control plane.
    pub fn command(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join("cutover"));
        command
            .args(arguments)
            .current_dir(folder)
            .env_remove("NATS_URL")
            .env_remove("SSH_AUTH_SOCK")
            .envs(self.environment.iter().map(|(name, value)| (*name, value.as_str())))
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// A program that wasn't built.
    pub fn run(&self, folder: &Path, arguments: &[&str]) -> anyhow::Result<Ended> {
        let output = self.command(folder, arguments).output().context("no cutover: run scripts/build.sh")?;
        Ok(Ended {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs it to its end before the eyes of whoever watches.
    ///
    /// # Errors
    /// A program that wasn't built.
    pub fn show(&self, folder: &Path, arguments: &[&str]) -> anyhow::Result<ExitStatus> {
        self.command(folder, arguments).status().context("no cutover: run scripts/build.sh")
    }

    /// Its journal.
    ///
    /// # Errors
    /// A server that doesn't answer.
    pub async fn journal(&self) -> anyhow::Result<Journal> {
        self.journal_as(BusUser::Operator).await
    }

    /// Its journal as a user sees it, where its bus tells users apart.
    ///
    /// # Errors
    /// A server that doesn't answer.
    pub async fn journal_as(&self, user: BusUser) -> anyhow::Result<Journal> {
        let url = self.url()?;
        let access = match self.key_of(user) {
            Some(key) => {
                let files = Files { key: Some(key.as_os_str()), ..Files::default() };
                Access { roots: Some(self.roots()), ..Access::by(&url, files)? }
            }
            None => Access::open(&url),
        };
        Ok(Bus::enter(&access, "e2e").await?.open().await?)
    }

    /// The file of a user's key; none, where its bus doesn't tell users apart.
    pub fn key_of(&self, user: BusUser) -> Option<PathBuf> {
        let is_secure = self.account().is_ok_and(|account| account.secure);
        is_secure.then(|| self.key_file(user))
    }

    fn key_file(&self, user: BusUser) -> PathBuf {
        self.home.path().join(format!("home/bus/{user}.key"))
    }

    fn account(&self) -> anyhow::Result<Account> {
        Ok(serde_json::from_slice(&std::fs::read(self.home.path().join("home/nats.json"))?)?)
    }

    /// The certificate that its server's is verified by.
    pub fn roots(&self) -> PathBuf {
        self.home.path().join("home/bus/ca.pem")
    }

    /// Where its NATS server answers.
    ///
    /// # Errors
    /// A home without a control plane.
    pub fn url(&self) -> anyhow::Result<String> {
        let Account { port, user, password, secure } = self.account()?;
        if secure {
            return Ok(format!("tls://127.0.0.1:{port}"));
        }
        Ok(format!("nats://{user}:{password}@127.0.0.1:{port}"))
    }

    /// The service that every project of the tests deploys.
    ///
    /// # Errors
    /// Never: the names are good.
    pub fn key() -> anyhow::Result<ServiceKey> {
        Ok(ServiceKey { destination: "production".parse()?, service: "hello".parse()? })
    }

    /// Where its programs are.
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// How its programs reach hosts.
    pub(crate) fn environment(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.environment.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// The folder of its artifact store.
    pub fn store(&self) -> PathBuf {
        self.home.path().join("home/store")
    }

    /// Where a fault is ordered: `<stage> <point> <kill|stop>`.
    pub fn fault(&self) -> PathBuf {
        self.home.path().join("fault")
    }

    /// Its folder.
    pub fn home(&self) -> &Path {
        self.home.path()
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        for program in &mut self.beside {
            let _ = program.kill();
            let _ = program.wait();
        }
        match self.run(Path::new("/"), &["down"]) {
            Ok(ended) if ended.code == Some(0) => {}
            Ok(ended) => eprintln!("cutover down: {}{}", ended.out, ended.err),
            Err(error) => eprintln!("cutover down: {error:#}"),
        }
    }
}

/// One key for all hosts: each has its own, and a client offers only one. Their known_hosts become one file.
fn environment(hosts: &[&Host], home: &Path) -> anyhow::Result<Vec<(&'static str, String)>> {
    let mut known = String::new();
    for host in hosts {
        known.push_str(&std::fs::read_to_string(&host.known_hosts)?);
    }
    let known_hosts = home.join("known_hosts");
    std::fs::write(&known_hosts, known)?;
    let Some(first) = hosts.first() else { bail!("a control plane needs a host") };
    for host in hosts.iter().skip(1) {
        host.admit(first)?;
    }
    Ok(vec![
        ("CUTOVER_HOME", home.join("home").to_string_lossy().into_owned()),
        ("CUTOVER_KNOWN_HOSTS", known_hosts.to_string_lossy().into_owned()),
        ("CUTOVER_SSH_KEY", first.key.to_string_lossy().into_owned()),
        ("HOME", home.to_string_lossy().into_owned()),
        ("CUTOVER_FAULT", home.join("fault").to_string_lossy().into_owned()),
    ])
}
