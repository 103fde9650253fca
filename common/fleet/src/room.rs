//! What a host has left, by its own word.

use std::time::Duration;

use crate::{Error, Machine};

/// How long a host may take to say it.
const WITHIN: Duration = Duration::from_secs(20);

/// What is free of a host's memory, and how many GPUs it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes that new programs can have without taking any from others (`MemAvailable`, proc(5)); none: it doesn't say.
    pub memory: Option<u64>,
    /// GPUs that NVIDIA's driver knows; none where there is no such driver.
    pub gpus: Option<u32>,
}

/// The file system that holds the images of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Docker's folder.
    pub folder: String,
    /// Bytes that are free there.
    pub free: u64,
}

impl Machine {
    /// What is free of its memory, and its GPUs.
    ///
    /// # Errors
    /// A host that can't be reached.
    pub async fn room(&self) -> Result<Room, Error> {
        let script = "cat /proc/meminfo; ls /proc/driver/nvidia/gpus 2>/dev/null | sed 's/^/gpu /'";
        let said = self.host().run(&["sh", "-c", script], WITHIN).await?;
        Ok(Room::read(&String::from_utf8_lossy(&said.stdout)))
    }

    /// What is free on the disk of its Docker; none where it can't be found out.
    ///
    /// # Errors
    /// A host or a Docker that can't be reached.
    pub async fn disk(&self) -> Result<Option<Disk>, Error> {
        let info = self.docker().await?.info().await;
        let info = info.map_err(self.host().docker_failed("asking for its folder"))?;
        let Some(folder) = info.docker_root_dir else { return Ok(None) };
        let said = self.host().run(&["df", "-P", "-k", &folder], WITHIN).await?;
        let free = free(&String::from_utf8_lossy(&said.stdout)).filter(|_| said.success());
        Ok(free.map(|free| Disk { folder, free }))
    }
}

impl Room {
    fn read(text: &str) -> Self {
        let kibibytes = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.strip_suffix("kB"));
        let memory =
            kibibytes.and_then(|number| number.trim().parse::<u64>().ok()).map(|number| number << 10);
        let gpus = text.lines().filter(|line| line.starts_with("gpu ")).count();
        Self { memory, gpus: u32::try_from(gpus).ok().filter(|gpus| *gpus > 0) }
    }
}

/// The fourth column of the second line (POSIX.1-2017, df, `-P`), which counts units of 1024 bytes.
fn free(text: &str) -> Option<u64> {
    let kibibytes: u64 = text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_host_says_is_read() {
        let text = "MemTotal:       24689636 kB\nMemFree:          811092 kB\nMemAvailable:   16513216 kB\n\
                    gpu 0000:00:1e.0\ngpu 0000:00:1f.0\n";
        assert_eq!(Room::read(text), Room { memory: Some(16_513_216 << 10), gpus: Some(2) });
        assert_eq!(Room::read("MemFree: 1 kB\n"), Room { memory: None, gpus: None });
        let text = "Filesystem     1024-blocks     Used Available Capacity Mounted on\n\
                    /dev/vda         263940717 77893012  17190832      82% /\n";
        assert_eq!(free(text), Some(17_190_832 << 10));
        assert_eq!(free("df: /var/lib/docker: Permission denied\n"), None);
    }
}
