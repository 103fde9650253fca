//! Hosts with a real proxy each, and an application behind them.

use std::net::SocketAddr;

use clap::Parser;
use cutover_control::{Account, Certificate, CertificateStatus};
use cutover_core::HostSpec;
use cutover_fleet::{Fleet, Machine, key_of};
use cutover_host::{Hosts, SshOptions};
use cutover_proxy::{Command, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::gate::Gate;
use crate::server::Pebble;
use crate::{eventually, key};

/// A host: its proxy on an address of the loopback, at the ports that the authority asks.
pub(crate) struct Host {
    pub(crate) spec: HostSpec,
    /// What stands before its control socket.
    pub(crate) gate: Gate,
    machine: Machine,
    running: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Host {
    pub(crate) async fn start(address: &str, pebble: &Pebble, fleet: &Fleet) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (control, state) = (folder.path().join("control.sock"), folder.path().join("state"));
        let [http, https] = [pebble.http, pebble.https].map(|port| format!("{address}:{port}"));
        let arguments = ["proxy", "serve", "--workers", "1", "--http", &http, "--https", &https];
        let folders = ["--control".as_ref(), control.as_os_str(), "--state".as_ref(), state.as_os_str()];
        let Command::Serve(options) =
            Command::parse_from(arguments.map(AsRef::as_ref).into_iter().chain(folders))
        else {
            panic!("another command")
        };
        let server = Server::bind(&options).await.unwrap();
        let running = tokio::spawn(async move { server.run(std::future::pending()).await.unwrap() });
        let spec = HostSpec { name: address.parse().unwrap(), port: 22, user: "root".into(), host_key: None };
        let hosts = Hosts::new(SshOptions::new("/nonexistent"), "/nonexistent");
        let machine =
            Machine::new(spec.name.clone(), hosts.local()).with_socket(folder.path().join("gate.sock"));
        let gate = Gate::new(&folder.path().join("gate.sock"), control);
        fleet.put(&spec, machine.clone());
        Self { spec, gate, machine, running, _folder: folder }
    }

    /// What its proxy shows.
    pub(crate) async fn shown(&self) -> Option<CertificateStatus> {
        self.machine.proxy().service(&key()).await.unwrap()?.certificates.pop()
    }

    /// Waits until it shows a certificate as wished.
    pub(crate) async fn shows(&self, wished: impl Fn(&CertificateStatus) -> bool) -> CertificateStatus {
        eventually(async || self.shown().await.filter(&wished)).await
    }

    /// What its proxy keeps.
    pub(crate) async fn kept(&self) -> (Certificate, Account) {
        let (certificates, mut accounts) = self.machine.proxy().certificates().await.unwrap();
        let own = certificates.into_iter().find(|(of, _)| *of == key_of(&key()));
        (own.unwrap().1, accounts.pop().unwrap())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// An application that is always ready.
pub(crate) async fn application() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|length| length > 0) {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                }
            });
        }
    });
    address
}
