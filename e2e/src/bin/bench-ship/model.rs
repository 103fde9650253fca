//! A model's file, beside `scp`, which sends all of it each time. Both have AES-GCM for a cipher, and the same server at the other
//! end; what Cutover has sent is compared with its digests there, and on the disk.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::ensure;
use cutover_core::{Digest, Model, Plan, Progress};
use cutover_e2e::{Host, Link};
use cutover_fleet::Machine;
use cutover_intake::Origin;
use cutover_registry::Pace;
use cutover_shipper::models::{bring, prune};
use cutover_store::Store;
use tempfile::TempDir;
use tokio::sync::watch;

use crate::command::run;
use crate::ours::{machine, plan};

/// The length of the file, in bytes; it can't be compressed.
const LENGTH: usize = 1_000_000_000;
/// What is another content in its next version: the end, in bytes.
const CHANGED: usize = 10_000_000;

/// What one way took.
struct Took {
    seconds: f64,
    wire: u64,
}

/// Prints what it takes to bring the file to a host, and then its next version.
pub(crate) async fn measure(rounds: u32, rate: Option<&str>) -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let scene = Scene::set(&folder, rate).await?;
    println!("\na model of {} MB, at most {rounds} times: medians", LENGTH / 1_000_000);
    println!("{:<42}{:>9}{:>14}", "", "onto, s", "wire, bytes");
    let mut all: [Vec<Took>; 4] = Default::default();
    for _ in 0..rounds {
        scene.write(1)?;
        let (first, took) = scene.take_in().await?;
        eprintln!("taken into the store in {:.1} s", took.as_secs_f64());
        all[0].push(scene.scp()?);
        all[1].push(scene.ours(&first).await?);
        scene.write(2)?;
        let (second, took) = scene.take_in().await?;
        eprintln!("its next version in {:.1} s", took.as_secs_f64());
        all[2].push(scene.scp()?);
        all[3].push(scene.ours(&second).await?);
        prune(&scene.machine, &scene.plan.key, &[]).await?;
    }
    let names = ["scp", "Cutover", "scp, the last 10 MB changed", "Cutover, the last 10 MB changed"];
    for (name, took) in names.into_iter().zip(&mut all) {
        took.sort_by(|one, other| one.seconds.total_cmp(&other.seconds));
        if let Some(Took { seconds, wire }) = took.get(took.len() / 2) {
            println!("{name:<42}{seconds:>9.2}{wire:>14}");
        }
    }
    Ok(())
}

struct Scene<'a> {
    folder: &'a TempDir,
    host: Host,
    link: Link,
    machine: Machine,
    store: Store,
    plan: Plan,
}

impl<'a> Scene<'a> {
    async fn set(folder: &'a TempDir, rate: Option<&str>) -> anyhow::Result<Self> {
        let host = Host::up("ship-model")?;
        host.put_helper()?;
        let link = Link::of(&host)?;
        if let Some(rate) = rate {
            link.limit(rate)?;
        }
        let (spec, machine) = machine(&host)?;
        machine.docker().await?.ping().await?;
        let store = Store::open(folder.path().join("store")).await?;
        let plan = plan(&Digest::of(b"no image is sent"), &spec)?;
        Ok(Self { folder, host, link, machine, store, plan })
    }

    fn file(&self) -> std::path::PathBuf {
        self.folder.path().join("model.bin")
    }

    /// Writes a version of the file.
    fn write(&self, version: u64) -> anyhow::Result<()> {
        let bytes = |seed, length| {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut bytes = vec![0; length];
            random.fill(&mut bytes);
            bytes
        };
        let whole = [bytes(0, LENGTH - CHANGED), bytes(version, CHANGED)].concat();
        Ok(fs::write(self.file(), whole)?)
    }

    async fn take_in(&self) -> anyhow::Result<(Digest, Duration)> {
        let begun = Instant::now();
        let origin = Origin::Folder(self.file());
        let taken = origin.take_in(origin.look().await?, Some(&self.store), |_| ()).await?;
        Ok((taken.version, begun.elapsed()))
    }

    fn scp(&self) -> anyhow::Result<Took> {
        let (before, begun) = (self.link.carried()?, Instant::now());
        let mut scp = Command::new("scp");
        scp.args(["-q", "-o", "Ciphers=aes256-gcm@openssh.com", "-i"]).arg(&self.host.key);
        scp.args(["-o", &format!("UserKnownHostsFile={}", self.host.known_hosts.display())]);
        let there = Path::new("/var/lib/by-hand.bin");
        run(scp.arg(self.file()).arg(format!("root@{}:{}", self.host.address, there.display())))?;
        let took = Took { seconds: begun.elapsed().as_secs_f64(), wire: self.link.carried()? - before };
        self.host.exec(&["rm", &there.to_string_lossy()])?;
        Ok(took)
    }

    async fn ours(&self, version: &Digest) -> anyhow::Result<Took> {
        let mut plan = self.plan.clone();
        let (name, mount) = ("bench".parse()?, "/model".to_owned());
        plan.release.settings.models = vec![Model { name, version: version.clone(), mount, seen: None }];
        let (progress, _) = watch::channel(Progress::Bytes { done: 0, total: 0 });
        let (before, begun) = (self.link.carried()?, Instant::now());
        bring(&self.machine, (&self.store, &Pace::default()), &plan, &progress).await?;
        let took = Took { seconds: begun.elapsed().as_secs_f64(), wire: self.link.carried()? - before };
        let file = format!("/var/lib/cutover/models/{}/bench/{}/model.bin", plan.key, version.hex());
        let there = self.host.exec(&["sha256sum", &file])?;
        ensure!(
            there.starts_with(Digest::of(&fs::read(self.file())?).hex()),
            "another file is there: {there}"
        );
        Ok(took)
    }
}
