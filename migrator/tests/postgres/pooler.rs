//! A PgBouncer between migrators and the server.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cutover_secrets::Secret;
use tempfile::TempDir;
use url::Url;

use crate::support::{Database, LIMIT};

/// Whose session a client has.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    /// One of its own, as long as it is connected.
    Session,
    /// Another one for each transaction.
    Transaction,
}

/// A PgBouncer. It doesn't outlive this process.
pub(crate) struct Pooler {
    process: Child,
    /// The database, by way of it.
    pub(crate) url: Secret,
    _folder: TempDir,
}

impl Pooler {
    pub(crate) fn start(database: &Database, mode: Mode) -> Self {
        // Between the choice of a free port and its use another process may take it.
        (0..5)
            .find_map(|_| start(database, mode))
            .expect("no PgBouncer could be started: apt-get install pgbouncer")
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn start(database: &Database, mode: Mode) -> Option<Pooler> {
    let mut url = Url::parse(database.url.expose()).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let (file, name) = (folder.path().join("pgbouncer.ini"), url.path().trim_start_matches('/'));
    let (server, user, password) = (url.port().unwrap(), url.username(), url.password().unwrap());
    let mode = match mode {
        Mode::Session => "session",
        Mode::Transaction => "transaction",
    };
    let text = format!(
        "[databases]\n{name} = host=127.0.0.1 port={server} user={user} password={password}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\npool_mode = {mode}\nunix_socket_dir =\n"
    );
    std::fs::write(&file, text).unwrap();
    // It refuses to run as root, and reads its file as who it is.
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if nix::unistd::geteuid().is_root() {
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
    }
    let mut process = command
        .args(["--", "pgbouncer"])
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if process.try_wait().unwrap().is_some() || begun.elapsed() > LIMIT {
            return None;
        }
        #[allow(clippy::disallowed_methods, reason = "nothing else runs in this test meanwhile")]
        std::thread::sleep(Duration::from_millis(20));
    }
    url.set_port(Some(port)).unwrap();
    Some(Pooler { process, url: Secret::new(url.into()), _folder: folder })
}
