//! A folder with an application and its deploy file, as a user of Cutover has it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::dist;

/// A folder with the example application, its Dockerfile and its deploy file.
#[derive(Debug)]
pub struct Project {
    folder: tempfile::TempDir,
}

/// One state of the application: what its next release is made of.
#[derive(Clone, Debug)]
pub struct App {
    /// Its service.
    pub service: &'static str,
    /// Its version, built into the image.
    pub version: String,
    /// Its environment; what it means stands in `examples/hello/README.md`.
    pub env: Vec<(&'static str, String)>,
    /// Replicas on each host.
    pub replicas: u32,
    /// Mebibytes of random bytes in a layer of their own.
    pub payload: u32,
    /// Hosts.
    pub hosts: Vec<String>,
    /// Where the migrations run, if it has any.
    pub database: Option<String>,
    /// Whether it is reached through the hosts alone.
    pub via_host: bool,
    /// What kind of database that is; none: the usual.
    pub engine: Option<&'static str>,
    /// The copy of it that they are rehearsed on, if they are.
    pub rehearse: Option<String>,
    /// Migrations: file name and SQL.
    pub migrations: Vec<(&'static str, &'static str)>,
    /// When their last phase may begin, in one line; none: the usual.
    pub contract: Option<&'static str>,
    /// What the deploy file says under `canary:`, in one line.
    pub canary: Option<String>,
    /// How long it is watched once it has the traffic.
    pub soak: &'static str,
    /// How long it may take until it is ready.
    pub ready: &'static str,
    /// How long what it replaces goes on running, without traffic; none: it is stopped.
    pub warm: Option<&'static str>,
    /// What the deploy file says under `proxy:`, in one line.
    pub proxy: Option<String>,
    /// What it says under `roles:`, in one line.
    pub roles: Option<String>,
    /// What it says under `readiness_probe:`, in one line; none: the usual.
    pub readiness: Option<&'static str>,
    /// Lines of it as they are, with the probes beside that.
    pub probes: Vec<&'static str>,
}

impl App {
    /// A healthy one, on these hosts.
    pub fn new(version: &str, hosts: &[&str]) -> Self {
        Self {
            service: "hello",
            version: version.to_owned(),
            env: Vec::new(),
            replicas: 2,
            payload: 0,
            hosts: hosts.iter().map(ToString::to_string).collect(),
            database: None,
            via_host: false,
            engine: None,
            rehearse: None,
            migrations: Vec::new(),
            contract: None,
            canary: None,
            soak: "3s",
            ready: "5s",
            warm: None,
            proxy: None,
            roles: None,
            readiness: None,
            probes: Vec::new(),
        }
    }

    fn deploy_file(&self) -> String {
        let mut text = format!(
            "service: {service}\n\
             builder: {{context: ., args: {{VERSION: {version}, PAYLOAD: \"{payload}\"}}}}\n\
             port: 3000\n\
             replicas: {replicas}\n\
             readiness_probe: {readiness}\n\
             resources: {{memory: 64m, pids: 64}}\n\
             container: {{read_only: true}}\n\
             soak: {{time: {soak}, max_errors: 5%, min_requests: 20}}\n\
             timeouts: {{ready: {ready}, drain: 10s}}\n",
            service = self.service,
            version = self.version,
            payload = self.payload,
            replicas = self.replicas,
            soak = self.soak,
            ready = self.ready,
            readiness = self.readiness.unwrap_or("{path: /up, period: 250ms, timeout: 1s}"),
        );
        for probe in &self.probes {
            let _ = writeln!(text, "{probe}");
        }
        if !self.env.is_empty() {
            let env: Vec<String> =
                self.env.iter().map(|(name, value)| format!("{name}: \"{value}\"")).collect();
            let _ = writeln!(text, "env: {{clear: {{{}}}}}", env.join(", "));
        }
        if let Some(canary) = &self.canary {
            let _ = writeln!(text, "canary: {canary}");
        }
        if let Some(warm) = self.warm {
            let _ = writeln!(text, "warm: {warm}");
        }
        if let Some(proxy) = &self.proxy {
            let _ = writeln!(text, "proxy: {proxy}");
        }
        if let Some(roles) = &self.roles {
            let _ = writeln!(text, "roles: {roles}");
        }
        if let Some(database) = &self.database {
            let contract = self.contract.map(|terms| format!(", contract: {terms}")).unwrap_or_default();
            let via = if self.via_host { ", via: host" } else { "" };
            let engine = self.engine.map(|engine| format!(", engine: {engine}")).unwrap_or_default();
            let rehearse =
                self.rehearse.as_ref().map(|copy| format!(", rehearse: \"{copy}\"")).unwrap_or_default();
            let _ = writeln!(
                text,
                "migrations: {{folder: migrations, database: \"{database}\"{via}{engine}{rehearse}{contract}}}"
            );
        }
        let _ = writeln!(text, "destinations:\n  production: {{hosts: [{}]}}", self.hosts.join(", "));
        text
    }
}

impl Project {
    /// A folder without a deploy file yet.
    ///
    /// # Errors
    /// An example that wasn't built.
    pub fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let hello = dist().join("hello");
        fs::copy(&hello, folder.path().join("hello"))
            .with_context(|| format!("no {}: run scripts/build.sh", hello.display()))?;
        fs::write(folder.path().join("Dockerfile"), DOCKERFILE)?;
        Ok(Self { folder })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The deploy file.
    pub fn deploy_file(&self) -> PathBuf {
        self.folder().join("cutover.yaml")
    }

    /// Writes the deploy file and the migrations of this state of the application.
    ///
    /// # Errors
    /// A folder that can't be written.
    pub fn write(&self, app: &App) -> anyhow::Result<()> {
        fs::write(self.deploy_file(), app.deploy_file())?;
        fs::create_dir_all(self.folder().join("migrations"))?;
        for (name, sql) in &app.migrations {
            fs::write(self.folder().join("migrations").join(name), sql)?;
        }
        Ok(())
    }
}

/// The example's own Dockerfile, with a stage before it that builds on a common base image, and a payload to ship.
const DOCKERFILE: &str = "\
FROM debian:bookworm-slim AS payload
ARG PAYLOAD=0
RUN mkdir /payload && for n in 1 2 3 4; do head -c \"$((PAYLOAD * 262144))\" /dev/urandom > /payload/$n; done

FROM scratch
COPY --from=payload /payload/1 /payload/1
COPY --from=payload /payload/2 /payload/2
COPY --from=payload /payload/3 /payload/3
COPY --from=payload /payload/4 /payload/4
COPY hello /hello
ARG VERSION=unknown
ENV VERSION=$VERSION
USER 65532:65532
EXPOSE 3000
STOPSIGNAL SIGTERM
ENTRYPOINT [\"/hello\"]
";
