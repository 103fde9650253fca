//! What a host is asked.

use std::time::Duration;

use bollard::models::SystemInfo;
use cutover_core::{Accessory, JournalId, Target};
use cutover_fleet::{Error, Machine};

use super::finding::{Finding, Part};
use crate::clock;
use crate::setup::{MINIMUM_ENGINE, Version};
use crate::size;

/// Less room than this on Docker's disk is told.
const ROOM: u64 = 5 << 30;
/// With no more than this, no image has room.
const RUNNING_OUT: u64 = ROOM / 10;
const MORE: u64 = RUNNING_OUT + 1;
/// A clock that is so far off makes nonsense of what is compared by time.
const OFF: Duration = Duration::from_secs(5);
/// A certificate that ends so soon should have been renewed.
const ENDS_SOON: u64 = 14 * 24 * 3600;

/// A host, and what is to run there.
pub(super) struct HostCheck<'a> {
    pub(super) machine: Machine,
    pub(super) target: &'a Target,
    /// The journal that its proxy must obey; none: it isn't known.
    pub(super) journal: Option<&'a JournalId>,
}

impl HostCheck<'_> {
    /// All that is found there. What depends on something that is wrong isn't looked at.
    pub(super) async fn run(&self) -> Vec<Finding> {
        let mut found = Vec::new();
        if let Err(error) = self.look(&mut found).await {
            found.push(Part::Host.failed(error));
        }
        let name = self.machine.name().as_str();
        found.into_iter().map(|finding| finding.of(name)).collect()
    }

    async fn look(&self, found: &mut Vec<Finding>) -> Result<(), Error> {
        self.machine.host().connect().await?;
        let docker = self.machine.docker().await?;
        let info = docker.info().await.map_err(self.machine.host().docker_failed("asking how it is"))?;
        found.extend(engine(&info));
        self.room(found).await?;
        found.extend(self.time().await?);
        let networks = &self.target.settings.container.networks;
        if let Err(error) = self.machine.require_networks(networks).await {
            found.push(Part::Host.failed(error));
        }
        for accessory in &self.target.accessories {
            if accessory.hosts.contains(self.machine.name()) {
                found.push(self.accessory(accessory).await?);
            }
        }
        self.proxy(found).await
    }

    /// Its disk and its memory.
    async fn room(&self, found: &mut Vec<Finding>) -> Result<(), Error> {
        if let Some(disk) = self.machine.disk().await? {
            let text = format!("{} free in {}", size::bytes(disk.free), disk.folder);
            found.push(match disk.free {
                0..=RUNNING_OUT => Part::Host
                    .wrong(text, Some("docker image prune and docker builder prune, there".to_owned())),
                MORE..ROOM => Part::Host
                    .advice(text, "docker image prune and docker builder prune, there; or a lower `retain`"),
                _ => Part::Host.good(text),
            });
        }
        let Some(free) = self.machine.room().await?.memory else { return Ok(()) };
        let settings = &self.target.settings;
        let needed = settings.resources.memory.map(|memory| memory.saturating_mul(settings.replicas.into()));
        let text = format!("{} of memory free", size::bytes(free));
        found.push(match needed.filter(|needed| *needed > free) {
            Some(needed) => Part::Host.advice(
                format!("{text}, and new replicas beside the old ones may take {}", size::bytes(needed)),
                "lower resources.memory or replicas, or give the host more",
            ),
            None => Part::Host.good(text),
        });
        Ok(())
    }

    async fn time(&self) -> Result<Option<Finding>, Error> {
        let before = clock::now();
        let Some(theirs) = self.machine.clock().await? else { return Ok(None) };
        let (ahead, behind) = (theirs.since(clock::now()), before.since(theirs));
        let off = ahead.max(behind);
        Ok((off > OFF).then(|| {
            let direction = if ahead > behind { "ahead of" } else { "behind" };
            let text = format!("its clock is {} {direction} this machine's", clock::duration(off));
            Part::Host.advice(text, "timedatectl set-ntp true, on the one that is wrong")
        }))
    }

    async fn accessory(&self, accessory: &Accessory) -> Result<Finding, Error> {
        let all = self.machine.accessories(&self.target.key).await?;
        let name = &accessory.name;
        let own = all.into_iter().find(|found| found.labels.accessory == *name);
        Ok(match own {
            None => Part::Host.advice(
                format!("the accessory {name} isn't there"),
                &format!("cutover accessory boot {name}"),
            ),
            Some(own) if !own.running => Part::Host.advice(
                format!("the accessory {name} doesn't run"),
                &format!("cutover accessory start {name}"),
            ),
            Some(own) => Part::Host.good(format!("the accessory {name} runs: {}", own.status)),
        })
    }

    /// Its proxy, and what that knows of the service.
    async fn proxy(&self, found: &mut Vec<Finding>) -> Result<(), Error> {
        let (proxy, own) = (self.machine.proxy(), env!("CARGO_PKG_VERSION"));
        let identity = proxy.identity().await?;
        let text = format!("proxy {} answers", identity.version);
        found.push(if identity.version == own {
            Part::Host.good(text)
        } else {
            Part::Host.advice(format!("{text}, and this is cutover {own}"), "cutover proxy upgrade")
        });
        if let Some(journal) = self.journal {
            proxy.admits(&self.target.key, journal).await?;
        }
        let Some(status) = proxy.service(&self.target.key).await? else { return Ok(()) };
        let now = clock::now().0 / 1000;
        for certificate in &status.certificates {
            let names = certificate.names.join(", ");
            let until =
                clock::date_and_time(cutover_core::Timestamp(certificate.not_after.saturating_mul(1000)));
            let text = format!("the certificate of {names} ends {until}");
            found.push(match certificate.not_after.saturating_sub(now) {
                0 => Part::Host.wrong(text, Some("cutover status says why it wasn't renewed".to_owned())),
                1..ENDS_SOON => Part::Host.advice(text, "cutover status says why it wasn't renewed"),
                _ => Part::Host.good(text),
            });
        }
        Ok(())
    }
}

/// What the Engine says of itself.
fn engine(info: &SystemInfo) -> Vec<Finding> {
    let told = info.server_version.as_deref().unwrap_or_default();
    let text = format!("Docker {told}, storage {}", info.driver.as_deref().unwrap_or("unknown"));
    let mut found = vec![match told.parse::<Version>() {
        Ok(version) if version >= MINIMUM_ENGINE => Part::Host.good(text),
        _ => Part::Host.wrong(text, Some(format!("Cutover needs Docker {MINIMUM_ENGINE} or later"))),
    }];
    if !info.live_restore_enabled.unwrap_or_default() {
        found.push(Part::Host.advice(
            "live-restore is off, so a restart of dockerd stops every container".to_owned(),
            "put \"live-restore\": true into /etc/docker/daemon.json there, then `systemctl reload docker`",
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::finding::Grade;
    use super::*;

    #[test]
    fn an_engine_that_is_too_old_or_stops_all_with_it_is_told() {
        let told = |version: &str, live_restore| {
            let info = SystemInfo {
                server_version: Some(version.to_owned()),
                live_restore_enabled: Some(live_restore),
                ..SystemInfo::default()
            };
            engine(&info).into_iter().map(|finding| finding.grade).collect::<Vec<_>>()
        };
        assert_eq!(told("26.1.5", true), [Grade::Good]);
        assert_eq!(told("20.10.24+dfsg1", false), [Grade::Good, Grade::Advice]);
        assert_eq!(told("19.03.13", true), [Grade::Wrong]);
    }
}
