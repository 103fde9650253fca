//! From an error to what people read of it, and to the exit code.

use std::io::{self, Write};

use anyhow::Chain;
use cutover_context::Error as Context;
use cutover_core::{DeployFileError, InvalidDeclaration};
use cutover_migration::InvalidMigration;
use cutover_store::OneMachine;

use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::{accessory, embedded, setup, takeover};

/// Prints how a command ended, and says its exit code.
pub(crate) fn conclude(console: Console, result: anyhow::Result<Exit>) -> Exit {
    let error = match result {
        Ok(exit) => return exit,
        Err(error) => error,
    };
    // Whoever reads has read enough.
    if find::<io::Error>(error.chain()).is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        return Exit::Ok;
    }
    let exit = exit(&error);
    let message = message(error.chain());
    let hint = hint(&error);
    let mut out = io::stderr().lock();
    // There is nobody left to tell when standard error is closed.
    let _ = if console.json {
        let report = Report { error: &message, hint: hint.as_deref(), exit: exit.code() };
        serde_json::to_writer(&mut out, &report).map_err(io::Error::from).and_then(|()| out.write_all(b"\n"))
    } else {
        writeln!(out, "error: {message}")
            .and_then(|()| hint.iter().try_for_each(|hint| writeln!(out, "hint: {hint}")))
    };
    exit
}

/// An error as `--json` has it, on standard error.
#[derive(serde::Serialize)]
struct Report<'a> {
    error: &'a str,
    hint: Option<&'a str>,
    exit: u8,
}

/// The causes in one line, from what was being done to what stopped it. One that was told already is left out.
fn message(chain: Chain<'_>) -> String {
    let mut message = String::new();
    for cause in chain {
        let cause = cause.to_string();
        if message.is_empty() {
            message = cause;
        } else if !message.contains(&cause) {
            message = format!("{message}: {cause}");
        }
    }
    message
}

/// The exit code of an error.
pub(crate) fn exit(error: &anyhow::Error) -> Exit {
    if let Some(known) = find::<Error>(error.chain()) {
        known.exit()
    } else if find::<DeployFileError>(error.chain()).is_some()
        || find::<InvalidMigration>(error.chain()).is_some()
        || find::<InvalidDeclaration>(error.chain()).is_some()
    {
        Exit::Usage
    } else if let Some(context) = find::<Context>(error.chain()) {
        if context.retryable() { Exit::Unexpected } else { Exit::Usage }
    } else if find::<cutover_host::Error>(error.chain()).is_some()
        || find::<cutover_fleet::Error>(error.chain()).is_some()
    {
        Exit::Host
    } else if let Some(accessory) = find::<accessory::Error>(error.chain()) {
        if accessory.is_about_a_host() { Exit::Host } else { Exit::Usage }
    } else if let Some(takeover) = find::<takeover::Error>(error.chain()) {
        if takeover.is_about_a_host() { Exit::Host } else { Exit::Usage }
    } else if let Some(setup) = find::<setup::Error>(error.chain()) {
        if setup.is_about_a_host() { Exit::Host } else { Exit::Usage }
    } else if find::<OneMachine>(error.chain()).is_some() {
        Exit::Usage
    } else if let Some(intake) = find::<cutover_intake::Error>(error.chain()) {
        if intake.retryable() { Exit::Unreachable } else { Exit::Usage }
    } else if let Some(cutover_store::Error::S3 { trouble, .. }) = find(error.chain()) {
        // What is not away is named wrongly, or may not be used.
        if trouble.retryable() { Exit::Unreachable } else { Exit::Usage }
    } else if find::<embedded::Error>(error.chain()).is_some()
        || find::<cutover_bus::Error>(error.chain()).is_some()
    {
        Exit::Unreachable
    } else {
        Exit::Unexpected
    }
}

fn hint(error: &anyhow::Error) -> Option<String> {
    use cutover_bus::Error as Bus;
    if let Some(hint) = error.chain().filter_map(|cause| cause.downcast_ref::<Error>()).find_map(Error::hint)
    {
        return Some(hint);
    }
    if let Some(hint) = find::<accessory::Error>(error.chain()).and_then(accessory::Error::hint) {
        return Some(hint);
    }
    if let Some(takeover) = find::<takeover::Error>(error.chain()) {
        return Some(takeover.hint());
    }
    if let Some(context) = find::<Context>(error.chain()) {
        return context.hint().map(str::to_owned);
    }
    match find::<Bus>(error.chain())? {
        Bus::Unreachable { .. } => {
            Some("is it running, and is NATS_URL right? Without NATS_URL, Cutover runs its own".to_owned())
        }
        Bus::Address(_) => Some("NATS_URL=nats://user:password@host:4222".to_owned()),
        bus if bus.retryable() => {
            Some("a deployment that was accepted goes on; see how it stands: cutover status".to_owned())
        }
        _ => None,
    }
}

/// The first cause of that kind.
fn find<E: std::error::Error + 'static>(chain: Chain<'_>) -> Option<&E> {
    chain.into_iter().find_map(|cause| cause.downcast_ref())
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};
    use cutover_core::{DeployFile, Program};
    use cutover_store::{Location, Trouble};

    use super::*;

    fn told(error: &anyhow::Error) -> (String, Option<String>, Exit) {
        (message(error.chain()), hint(error), exit(error))
    }

    #[test]
    fn causes_are_told_once_and_in_one_line() {
        let inner = io::Error::other("no space left");
        let error = anyhow::Error::new(Error::Io { action: "write", path: "a".into(), source: inner });
        assert_eq!(told(&error), ("could not write a: no space left".to_owned(), None, Exit::Usage));
        let twice: anyhow::Result<()> = Err(anyhow!("b failed")).context("a failed: b failed");
        assert!(twice.is_err_and(|error| message(error.chain()) == "a failed: b failed"));
    }

    #[test]
    fn errors_of_every_part_have_their_code() {
        let deploy_file = DeployFile::parse("servce: a", "cutover.yaml").map_err(anyhow::Error::from);
        assert!(deploy_file.is_err_and(|error| exit(&error) == Exit::Usage));
        assert_eq!(exit(&cutover_bus::Error::Address("x".to_owned()).into()), Exit::Unreachable);
        let host = cutover_host::Error::NoDocker { host: "web-1".to_owned(), reason: "none".to_owned() };
        assert_eq!(exit(&setup::Error::Host(host).into()), Exit::Host);
        assert_eq!(exit(&anyhow!("a bug")), Exit::Unexpected);
        let store = |trouble| cutover_store::Error::S3 {
            action: "list",
            place: "s3://bucket".to_owned(),
            trouble,
            source: None,
        };
        assert_eq!(exit(&store(Trouble::Unreachable).into()), Exit::Unreachable);
        assert_eq!(exit(&store(Trouble::NoBucket).into()), Exit::Usage);
        assert_eq!(exit(&cutover_intake::Error::Store(store(Trouble::NoBucket)).into()), Exit::Usage);
        assert_eq!(exit(&cutover_intake::Error::Store(store(Trouble::Busy)).into()), Exit::Unreachable);
        let folder = Location::folder("/store").check_reach(false);
        assert!(folder.is_err_and(|error| exit(&error.into()) == Exit::Usage));
        assert_eq!(exit(&Error::Unplanned(anyhow!("a bug")).into()), Exit::Usage);
    }

    #[test]
    fn missing_programs_are_named_with_what_to_start() {
        let (message, hint, exit) = told(&Error::NoWorkers(vec![Program::Shipper, Program::Prober]).into());
        assert_eq!(message, "no shipper, no prober is running");
        assert!(hint.is_some_and(|hint| hint.ends_with("start cutover-shipper, cutover-prober")));
        assert_eq!(exit, Exit::Unreachable);
    }
}
