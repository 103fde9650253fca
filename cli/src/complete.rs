//! What a shell is told that completes a command line, with the names of the deploy file in front of it.

use std::collections::BTreeSet;
use std::path::Path;

use clap::{Arg, Command, CommandFactory};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};
use cutover_core::Target;

use crate::args::Args;
use crate::deploy_file;

/// The variable by which a shell asks.
const ASKED: &str = "COMPLETE";
/// What the command line is called.
const NAME: &str = "cutover";

/// Answers a shell that asks, and ends the process then.
pub(crate) fn answer() {
    CompleteEnv::with_factory(command).var(ASKED).complete();
}

/// What a shell runs at its start so that it asks; none for one that isn't known.
///
/// # Errors
/// Nothing that is written into memory.
pub(crate) fn registration(shell: &str) -> Option<std::io::Result<Vec<u8>>> {
    let shells = Shells::builtins();
    let shell = shells.completer(shell)?;
    let mut script = Vec::new();
    Some(shell.write_registration(ASKED, NAME, NAME, NAME, &mut script).map(|()| script))
}

/// The command line, each of whose arguments knows what it may be.
fn command() -> Command {
    known(Args::command())
}

fn known(command: Command) -> Command {
    let is_accessorys = command.get_name() != "rollback";
    let names = move |arg: Arg| {
        let candidates = match arg.get_id().as_str() {
            "destination" | "place" => ArgValueCandidates::new(destinations),
            "host" => ArgValueCandidates::new(hosts),
            "role" => ArgValueCandidates::new(roles),
            "names" | "name" if is_accessorys => ArgValueCandidates::new(accessories),
            _ => return arg,
        };
        arg.add(candidates)
    };
    command.mut_args(names).mut_subcommands(known)
}

/// The targets of the deploy file in this folder; none where there is none, or it is wrong: nothing is said in the middle of a
/// command line.
fn targets() -> Vec<Target> {
    let read = deploy_file::read(Path::new("cutover.yaml"));
    read.map(|found| found.file.targets().to_vec()).unwrap_or_default()
}

fn all<T: ToString>(of: impl Fn(&Target) -> Vec<T>) -> Vec<CompletionCandidate> {
    let names: BTreeSet<String> = targets()
        .iter()
        .flat_map(|target| of(target).into_iter().map(|name| name.to_string()).collect::<Vec<_>>())
        .collect();
    names.into_iter().map(CompletionCandidate::new).collect()
}

fn destinations() -> Vec<CompletionCandidate> {
    all(|target| vec![target.key.destination.clone()])
}

fn hosts() -> Vec<CompletionCandidate> {
    all(|target| target.hosts.iter().map(|host| host.name.clone()).collect())
}

fn roles() -> Vec<CompletionCandidate> {
    let own =
        |target: &Target| target.settings.roles.iter().map(|role| role.name.to_string()).collect::<Vec<_>>();
    all(|target| own(target).into_iter().chain([cutover_fleet::WEB.to_owned()]).collect())
}

fn accessories() -> Vec<CompletionCandidate> {
    all(|target| target.accessories.iter().map(|accessory| accessory.name.clone()).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_that_is_offered_has_a_script() {
        for shell in ["bash", "zsh", "fish"] {
            let script = registration(shell).unwrap().unwrap();
            assert!(String::from_utf8(script).unwrap().contains("cutover"), "{shell}");
        }
        assert!(registration("cmd.exe").is_none());
    }

    #[test]
    fn the_command_line_that_completes_is_the_one_that_runs() {
        command().debug_assert();
    }
}
