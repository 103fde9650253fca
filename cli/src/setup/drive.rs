//! A proxy of the host's own that carries the requests, driven by Cutover's.

use std::fmt;

use bollard::models::HostConfig;

const DRIVE: &str = "drive";
const CONF_DIR: &str = "conf-dir";
const PID_FILE: &str = "pid-file";
/// What the container sees of the host: it has the host's processes, and the first of them the host's files.
const HOST: &str = "/proc/1/root";

/// Which proxy it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Other {
    Nginx,
    Traefik,
}

/// Which proxy is driven, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Drive {
    pub(crate) other: Other,
    /// Options of `cutover-proxy drive`, by name.
    pub(crate) options: Vec<(String, String)>,
}

impl Other {
    const ALL: [Self; 2] = [Self::Nginx, Self::Traefik];

    /// The folder of its configuration, unless another one is named.
    const fn conf_dir(self) -> &'static str {
        match self {
            Self::Nginx => "/etc/nginx/cutover",
            Self::Traefik => "/etc/traefik/cutover",
        }
    }

    /// By its name.
    pub(crate) fn read(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|other| other.to_string() == name)
    }
}

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nginx => "nginx",
            Self::Traefik => "traefik",
        })
    }
}

impl Drive {
    /// The command of the container, but for what each proxy is told.
    pub(super) fn command(&self) -> Vec<String> {
        let mut words = vec![DRIVE.to_owned(), self.other.to_string()];
        let missing = |name: &str, value: &str| {
            let known = self.options.iter().any(|(given, _)| given == name);
            (!known).then(|| (name.to_owned(), value.to_owned()))
        };
        let conf_dir = missing(CONF_DIR, self.other.conf_dir());
        let pid_file = missing(PID_FILE, "/run/nginx.pid").filter(|_| self.other == Other::Nginx);
        for (name, value) in conf_dir.into_iter().chain(pid_file).chain(self.options.clone()) {
            words.push(format!("--{name}"));
            words.push(if name == PID_FILE { format!("{HOST}{value}") } else { value });
        }
        words
    }

    /// Reads the command of a container; none: it drives nothing.
    pub(super) fn read(command: &[String], told: &[&str]) -> Option<Self> {
        let [first, other, options @ ..] = command else { return None };
        let other = Other::read(other).filter(|_| first == DRIVE)?;
        let (pairs, _) = options.as_chunks();
        let options = pairs.iter().filter(|[name, _]| !told.contains(&name.as_str())).map(|[name, value]| {
            let value = value.strip_prefix(HOST).unwrap_or(value);
            (name.trim_start_matches("--").to_owned(), value.to_owned())
        });
        Some(Self { other, options: options.collect() })
    }

    /// Opens to the container what it needs of the host: the folder of the configuration; for nginx also its processes, of
    /// which the master is told to reload, and whose root folder is where its program tests the configuration. AppArmor's
    /// profile for containers would let it send no signal.
    pub(super) fn open(&self, host: &mut HostConfig) {
        let given = self.options.iter().find(|(name, _)| name == CONF_DIR).map(|(_, value)| value.as_str());
        let folder = given.unwrap_or(self.other.conf_dir());
        host.binds.get_or_insert_default().push(format!("{folder}:{folder}"));
        if self.other == Other::Nginx {
            host.pid_mode = Some("host".to_owned());
            let needed = ["DAC_OVERRIDE", "SYS_CHROOT", "SYS_PTRACE"].map(str::to_owned);
            host.cap_add.get_or_insert_default().extend(needed);
            host.security_opt.get_or_insert_default().push("apparmor=unconfined".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_it_is_driven_is_read_from_its_command() {
        let told = ["--control", "--state"];
        let option = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        for (other, given) in [
            (Other::Nginx, vec![option("listen", "80"), option("listen", "443 ssl")]),
            (Other::Nginx, vec![option("conf-dir", "/srv/nginx"), option("pid-file", "/run/n/pid")]),
            (Other::Traefik, vec![]),
        ] {
            let drive = Drive { other, options: given.clone() };
            let mut command = drive.command();
            command.extend(["--control", "/run/x", "--state", "/var/x"].map(str::to_owned));
            let read = Drive::read(&command, &told);
            assert!(
                read.as_ref().is_some_and(|read| given.iter().all(|one| read.options.contains(one))),
                "{read:?}"
            );
            // What is kept makes the same command again.
            assert_eq!(read.map(|read| read.command()), Some(drive.command()));
        }
        assert_eq!(Drive::read(&["serve".to_owned(), "--take-over".to_owned()], &told), None);
    }

    #[test]
    fn only_for_nginx_the_hosts_processes_are_open() {
        let opened = |other| {
            let mut host = HostConfig::default();
            Drive { other, options: Vec::new() }.open(&mut host);
            host
        };
        let nginx = opened(Other::Nginx);
        assert_eq!(nginx.pid_mode.as_deref(), Some("host"));
        assert_eq!(nginx.binds, Some(vec!["/etc/nginx/cutover:/etc/nginx/cutover".to_owned()]));
        let traefik = opened(Other::Traefik);
        assert_eq!((traefik.pid_mode, traefik.cap_add), (None, None));
    }
}
