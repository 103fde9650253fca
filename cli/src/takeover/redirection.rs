//! New connections to a port are led to another one.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use cutover_core::HostSpec;
use cutover_fleet::Machine;
use cutover_host::Output;
use tokio::time::timeout;

use super::{Error, standing};

/// How long a rule may take; iptables waits for others that change the table.
const LIMIT: Duration = Duration::from_secs(30);
/// How long a connection of the host to itself may take.
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection may take that shows whether a firewall lets it through.
const SEEN_WITHIN: Duration = Duration::from_secs(2);
/// What our rules are known by.
const MARK: &str = "cutover-adopt";

/// The table and the chain of a rule.
type Place = (&'static str, &'static str);
/// Where connections are let through, and where they are led: what comes to the host, and what it asks of itself.
const THROUGH: Place = ("filter", "INPUT");
const OF_OTHERS: Place = ("nat", "PREROUTING");
const OF_ITS_OWN: Place = ("nat", "OUTPUT");
const LEADING: [Place; 2] = [OF_OTHERS, OF_ITS_OWN];

/// Rules of a host, of which one lets what is led through where a firewall knows the usual ports alone.
pub(super) struct Redirection<'a> {
    pub(super) machine: &'a Machine,
    pub(super) spec: &'a HostSpec,
}

/// One of iptables(8).
pub(super) struct Rule {
    place: Place,
    words: Vec<String>,
}

impl Redirection<'_> {
    /// Leads ports to others, from the next connection on. What is led already stays so.
    ///
    /// # Errors
    /// [`Error::Rule`], a host that can't be reached.
    pub(super) async fn begin(&self, moves: impl Iterator<Item = (u16, u16)>) -> anyhow::Result<()> {
        for (from, to) in moves {
            for rule in rules(from, to) {
                self.insert(&rule).await?;
            }
        }
        Ok(())
    }

    /// Sees that a connection to the port is led, and accepted where it is led to: from here, or else from the host itself.
    ///
    /// # Errors
    /// [`Error::NotLed`], a host that can't be reached.
    pub(super) async fn check(&self, port: u16, from_here: bool) -> anyhow::Result<()> {
        let place = if from_here { OF_OTHERS } else { OF_ITS_OWN };
        let before = self.led(place, port).await?;
        let is_accepted = match from_here {
            true => standing::reaches(self.spec, port).await,
            false => {
                let itself = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                self.machine.host().connect_tcp(itself, CONNECTED_WITHIN).await.is_ok()
            }
        };
        if is_accepted && self.led(place, port).await? > before {
            return Ok(());
        }
        Err(Error::NotLed { host: self.machine.name().clone(), port }.into())
    }

    /// Whether what comes from here comes to the port where it isn't led: a firewall may shut it. Nobody else is kept waiting.
    ///
    /// # Errors
    /// [`Error::Rule`], a host that can't be reached.
    pub(super) async fn comes_directly(&self, port: u16) -> anyhow::Result<bool> {
        // sshd(8) says where it was asked from.
        let asked = self.machine.host().run(&["sh", "-c", "echo \"$SSH_CLIENT\""], LIMIT).await?;
        let asked = String::from_utf8_lossy(&asked.stdout).into_owned();
        let Some(Ok(here)) = asked.split_whitespace().next().map(str::parse::<Ipv4Addr>) else {
            return Ok(true);
        };
        let (here, of) = (here.to_string(), port.to_string());
        let words =
            ["-s", &here, "-p", "tcp", "--dport", &of, "-m", "comment", "--comment", MARK, "-j", "RETURN"];
        let rule = Rule { place: OF_OTHERS, words: words.map(str::to_owned).into() };
        self.insert(&rule).await?;
        // Others who come from the same address wait meanwhile, and try again after three seconds (RFC 6298).
        let comes = timeout(SEEN_WITHIN, standing::reaches(self.spec, port)).await.unwrap_or(false);
        let removed = self.iptables("-D", &rule).await?;
        self.succeeded(&removed)?;
        Ok(comes)
    }

    /// How many connections to the port our rule there has led.
    async fn led(&self, (table, chain): Place, port: u16) -> anyhow::Result<u64> {
        let listed = self.run(&["iptables", "-w", "10", "-t", table, "-v", "-S", chain]).await?;
        self.succeeded(&listed)?;
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        Ok(listed.lines().filter_map(|line| counted(line, port)).sum())
    }

    /// Leads no new connection any more, whoever has made the rules, which it answers with. Those that were led stay where they are,
    /// and are let through.
    ///
    /// # Errors
    /// [`Error::Rule`], a host that can't be reached.
    pub(super) async fn stop(&self) -> anyhow::Result<Vec<Rule>> {
        self.remove(&LEADING).await
    }

    /// Leads as before.
    ///
    /// # Errors
    /// [`Error::Rule`], a host that can't be reached.
    pub(super) async fn restore(&self, rules: &[Rule]) -> anyhow::Result<()> {
        for rule in rules {
            self.insert(rule).await?;
        }
        Ok(())
    }

    /// Leads none, and those that were led have ended.
    ///
    /// # Errors
    /// [`Error::Rule`], a host that can't be reached.
    pub(super) async fn end(&self) -> anyhow::Result<()> {
        self.remove(&LEADING).await?;
        self.remove(&[THROUGH]).await?;
        Ok(())
    }

    /// The ports that are led.
    ///
    /// # Errors
    /// [`Error::Rule`] where rules can't be read, and so not be made; a host that can't be reached.
    pub(super) async fn ports(&self) -> anyhow::Result<Vec<u16>> {
        let rules = self.marked(OF_OTHERS).await?;
        let port = |rule: &Rule| {
            let at = rule.words.iter().position(|word| word == "--dport")?;
            rule.words.get(at + 1)?.parse().ok()
        };
        Ok(rules.iter().filter_map(port).collect())
    }

    async fn remove(&self, places: &[Place]) -> anyhow::Result<Vec<Rule>> {
        let mut removed = Vec::new();
        for place in places {
            for rule in self.marked(*place).await? {
                let output = self.iptables("-D", &rule).await?;
                self.succeeded(&output)?;
                removed.push(rule);
            }
        }
        Ok(removed)
    }

    /// Our rules there.
    async fn marked(&self, place: Place) -> anyhow::Result<Vec<Rule>> {
        let (table, chain) = place;
        let listed = self.run(&["iptables", "-w", "10", "-t", table, "-S", chain]).await?;
        self.succeeded(&listed)?;
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let begins = format!("-A {chain} ");
        let marked =
            listed.lines().filter_map(|line| line.strip_prefix(&begins)).filter(|rule| is_marked(rule));
        let words = |rule: &str| rule.split_whitespace().map(str::to_owned).collect();
        Ok(marked.map(|rule| Rule { place, words: words(rule) }).collect())
    }

    async fn insert(&self, rule: &Rule) -> anyhow::Result<()> {
        if self.iptables("-C", rule).await?.success() {
            return Ok(());
        }
        let made = self.iptables("-I", rule).await?;
        self.succeeded(&made)
    }

    async fn iptables(&self, action: &str, rule: &Rule) -> anyhow::Result<Output> {
        let (table, chain) = rule.place;
        let mut words = vec!["iptables", "-w", "10", "-t", table, action, chain];
        words.extend(rule.words.iter().map(String::as_str));
        self.run(&words).await
    }

    async fn run(&self, words: &[&str]) -> anyhow::Result<Output> {
        let sudo: &[&str] = if self.spec.user == "root" { &[] } else { &["sudo", "-n"] };
        Ok(self.machine.host().run(&[sudo, words].concat(), LIMIT).await?)
    }

    fn succeeded(&self, output: &Output) -> anyhow::Result<()> {
        if output.success() {
            return Ok(());
        }
        Err(Error::Rule { host: self.machine.name().clone(), reason: output.last_line() }.into())
    }
}

fn is_marked(rule: &str) -> bool {
    rule.split_whitespace().any(|word| word == MARK)
}

/// The packets that our rule for a port has matched, of a line of `iptables -v -S`: in nat, the first of each connection.
fn counted(line: &str, port: u16) -> Option<u64> {
    let words: Vec<&str> = line.split_whitespace().filter(|_| is_marked(line)).collect();
    let after = |name: &str| words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1));
    after("--dport").filter(|of| of.parse() == Ok(port))?;
    after("-c")?.parse().ok()
}

fn rules(from: u16, to: u16) -> [Rule; 3] {
    let (of, at) = (from.to_string(), to.to_string());
    let through =
        ["--dport", &at, "-m", "conntrack", "--ctstate", "DNAT", "--ctorigdstport", &of, "-j", "ACCEPT"];
    let led = ["--dport", &of, "-m", "addrtype", "--dst-type", "LOCAL", "-j", "REDIRECT", "--to-ports", &at];
    let rule = |place, words: [&str; 10]| {
        let marked = ["-p", "tcp", "-m", "comment", "--comment", MARK].into_iter().chain(words);
        Rule { place, words: marked.map(str::to_owned).collect() }
    };
    [rule(THROUGH, through), rule(OF_OTHERS, led), rule(OF_ITS_OWN, led)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_our_rule_has_led_is_read_and_nobody_elses() {
        let ours = "-A PREROUTING -p tcp -m tcp --dport 80 -m addrtype --dst-type LOCAL -m comment --comment cutover-adopt \
                    -c 12 720 -j REDIRECT --to-ports 8080";
        assert_eq!((counted(ours, 80), counted(ours, 443)), (Some(12), None));
        assert_eq!(counted(&ours.replace(MARK, "docker"), 80), None);
    }
}
