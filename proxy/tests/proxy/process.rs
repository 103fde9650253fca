use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use cutover_control::{Call, Request, Target, decode_reply};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::caller::{LIMIT, say, switch};

/// A proxy in a process of its own, gone when this is dropped.
pub(crate) struct Process {
    pub(crate) address: SocketAddr,
    child: Child,
    control: PathBuf,
    _folder: TempDir,
}

impl Process {
    /// Starts the program; gives what it writes to standard output, too.
    pub(crate) async fn start(options: &[&str]) -> (Self, Lines<BufReader<ChildStdout>>) {
        let folder = tempfile::tempdir().unwrap();
        let control = folder.path().join("control.sock");
        let mut child = Command::new(env!("CARGO_BIN_EXE_cutover-proxy"))
            .args(["serve", "--http", "127.0.0.1:0", "--workers", "2"])
            .arg("--control")
            .arg(&control)
            .arg("--state")
            .arg(folder.path().join("state"))
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = async {
            loop {
                let line = log.next_line().await.unwrap().expect("the proxy has ended");
                if let Some((_, rest)) = line.split_once("\"http\":\"") {
                    return rest.split('"').next().unwrap().parse().unwrap();
                }
            }
        };
        let address = timeout(LIMIT, said).await.expect("it does not serve in time");
        // What it says is read on: a full pipe would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        (Self { address, child, control, _folder: folder }, out)
    }

    /// The memory that it has, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim_end_matches("kB").trim().parse::<u64>().unwrap() << 10
    }

    /// Switches the default service.
    pub(crate) async fn switch(&self, sequence: u64, targets: &[Target]) {
        let request = Request::Switch(Box::new(switch(sequence, targets)));
        let answer = say(&self.control, &Call::new(request).to_line().unwrap()).await.unwrap();
        decode_reply(&answer).unwrap().unwrap();
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn end(mut self) {
        let pid = rustix::process::Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let ended = timeout(LIMIT, self.child.wait()).await.expect("it does not end").unwrap();
        assert!(ended.success(), "{ended}");
    }
}
