//! New connections to a port are led to another one.

use std::time::Duration;

use cutover_fleet::Machine;
use cutover_host::Output;

use super::Error;

/// How long a rule may take; iptables waits for others that change the table.
const LIMIT: Duration = Duration::from_secs(30);
/// What our rules are known by.
const MARK: &str = "cutover-adopt";

/// The table and the chain of a rule.
type Place = (&'static str, &'static str);
/// Where connections are let through, and where they are led: what comes to the host, and what it asks of itself.
const THROUGH: Place = ("filter", "INPUT");
const LEADING: [Place; 2] = [("nat", "PREROUTING"), ("nat", "OUTPUT")];

/// Rules of a host, of which one lets what is led through where a firewall knows the usual ports alone.
pub(super) struct Redirection<'a> {
    pub(super) machine: &'a Machine,
    /// Whether the user that logs in may change rules; otherwise sudo is asked.
    pub(super) is_root: bool,
    /// From which port to which.
    pub(super) moves: Moves<'a>,
}

/// Ports, and where they are led to.
pub(super) type Moves<'a> = std::iter::Copied<std::slice::Iter<'a, (u16, u16)>>;

impl Redirection<'_> {
    /// Leads those of the ports that are wanted, from the next connection on. What is led already stays so.
    ///
    /// # Errors
    /// [`Error::Rule`], a host that can't be reached.
    pub(super) async fn begin(&self, wanted: impl Fn(u16) -> bool) -> anyhow::Result<()> {
        for (from, to) in self.moves.clone().filter(|(from, _)| wanted(*from)) {
            for rule in rules(from, to) {
                if !self.iptables("-C", &rule).await?.success() {
                    let made = self.iptables("-I", &rule).await?;
                    self.succeeded(&made)?;
                }
            }
        }
        Ok(())
    }

    /// Leads no new connection any more, whoever has made the rules. Those that were led stay where they are, and are let through.
    ///
    /// # Errors
    /// [`Error::Rule`], a host that can't be reached.
    pub(super) async fn stop(&self) -> anyhow::Result<()> {
        self.remove(&LEADING).await
    }

    /// The same, and those that were led have ended.
    ///
    /// # Errors
    /// [`Error::Rule`], a host that can't be reached.
    pub(super) async fn end(&self) -> anyhow::Result<()> {
        self.remove(&LEADING).await?;
        self.remove(&[THROUGH]).await
    }

    async fn remove(&self, places: &[Place]) -> anyhow::Result<()> {
        for (table, chain) in places {
            let listed = self.run(&["iptables", "-w", "10", "-t", table, "-S", chain]).await?;
            self.succeeded(&listed)?;
            let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
            let marked = listed.lines().filter(|line| line.split_whitespace().any(|word| word == MARK));
            for rule in marked.filter_map(|line| line.strip_prefix("-A ")) {
                let words: Vec<&str> = ["iptables", "-w", "10", "-t", table, "-D"]
                    .into_iter()
                    .chain(rule.split_whitespace())
                    .collect();
                let removed = self.run(&words).await?;
                self.succeeded(&removed)?;
            }
        }
        Ok(())
    }

    /// Whether rules could be made.
    ///
    /// # Errors
    /// [`Error::Rule`], a host that can't be reached.
    pub(super) async fn is_possible(&self) -> anyhow::Result<()> {
        let listed = self.run(&["iptables", "-w", "10", "-t", "nat", "-S", "PREROUTING"]).await?;
        self.succeeded(&listed)
    }

    async fn iptables(&self, action: &str, rule: &Rule) -> anyhow::Result<Output> {
        let mut words = vec!["iptables", "-w", "10", "-t", rule.table, action, rule.chain];
        words.extend(rule.words.iter().map(String::as_str));
        self.run(&words).await
    }

    async fn run(&self, words: &[&str]) -> anyhow::Result<Output> {
        let sudo: &[&str] = if self.is_root { &[] } else { &["sudo", "-n"] };
        Ok(self.machine.host().run(&[sudo, words].concat(), LIMIT).await?)
    }

    fn succeeded(&self, output: &Output) -> anyhow::Result<()> {
        if output.success() {
            return Ok(());
        }
        Err(Error::Rule { host: self.machine.name().clone(), reason: output.last_line() }.into())
    }
}

/// One of iptables(8).
struct Rule {
    table: &'static str,
    chain: &'static str,
    words: Vec<String>,
}

fn rules(from: u16, to: u16) -> [Rule; 3] {
    let (of, at) = (from.to_string(), to.to_string());
    let through =
        ["--dport", &at, "-m", "conntrack", "--ctstate", "DNAT", "--ctorigdstport", &of, "-j", "ACCEPT"];
    let led = ["--dport", &of, "-m", "addrtype", "--dst-type", "LOCAL", "-j", "REDIRECT", "--to-ports", &at];
    let rule = |(table, chain): Place, words: [&str; 10]| {
        let marked = ["-p", "tcp", "-m", "comment", "--comment", MARK].into_iter().chain(words);
        Rule { table, chain, words: marked.map(str::to_owned).collect() }
    };
    let [of_others, of_its_own] = LEADING;
    [rule(THROUGH, through), rule(of_others, led), rule(of_its_own, led)]
}
