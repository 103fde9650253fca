//! `cutover accessory`: what the service needs beside it and no deployment touches.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;

use cutover_core::{AccessoryName, Digest, HostSpec, Span};
use cutover_fleet::{AccessoryContainer, AccessoryLabels, accessory_container};
use serde::Serialize;

use crate::accessory::{Accessories, Booted, Error, Place, Supplies, each};
use crate::args::{Accessory, AccessoryAction, AccessoryLogs, Global, SomeAccessories};
use crate::command::Command;
use crate::console::Console;
use crate::container_logs::{self, Wanted};
use crate::exit::Exit;
use crate::follow::Interrupt;
use crate::project::Project;
use crate::setup::{Step, StepKind};

/// An accessory on a host, as `--json` has it.
#[derive(Serialize)]
struct Line {
    accessory: String,
    host: String,
    /// Its container; none: there is none.
    container: Option<String>,
    running: bool,
    /// How Docker puts it.
    status: Option<String>,
    image: String,
    /// Whether the container is what the deploy file says; none: there is none, or it says nothing of it.
    as_in_file: Option<bool>,
    /// Whether the deploy file gives it a place there.
    in_file: bool,
}

pub(super) async fn run(options: &Global, args: Accessory, console: Console) -> anyhow::Result<Exit> {
    let accessories = Accessories::of(Project::open(options)?)?;
    let some = |SomeAccessories { names, host }: &SomeAccessories, wherever| {
        accessories.places(names, host.as_ref(), wherever)
    };
    match args.action {
        AccessoryAction::Boot(args) => {
            let places = accessories.places(&args.names, args.host.as_ref(), false)?;
            if places.is_empty() {
                console.note("the deploy file has no accessories there");
            }
            let supplies = supplied(&accessories, &places, args.timeout)?;
            let boot = async |place: &Place<'_>| {
                accessories.require_not_elsewhere(place).await?;
                let Some(supplies) = supplies.get(&place.accessory.name) else { return Ok(()) };
                boot(place, supplies, console).await
            };
            return to_its_end(each(&places, boot), console).await;
        }
        AccessoryAction::Reboot(args) => {
            let places = accessories.places(&args.names, args.host.as_ref(), false)?;
            let supplies = supplied(&accessories, &places, args.timeout)?;
            let reboot = async |place: &Place<'_>| {
                let Some(supplies) = supplies.get(&place.accessory.name) else { return Ok(()) };
                place.reboot(supplies, args.pull, args.other_volumes).await?;
                done(console, place, "made anew");
                Ok(())
            };
            return to_its_end(each(&places, reboot), console).await;
        }
        AccessoryAction::Start(args) => {
            let start = async |place: &Place<'_>| {
                place.start(&place.present().await?).await?;
                done(console, place, "started");
                Ok(())
            };
            each(&some(&args, false)?, start).await?;
        }
        AccessoryAction::Stop(args) => {
            let stop = async |place: &Place<'_>| {
                place.stop(&place.present().await?).await?;
                done(console, place, "stopped");
                Ok(())
            };
            each(&some(&args, true)?, stop).await?;
        }
        AccessoryAction::Restart(args) => {
            let restart = async |place: &Place<'_>| {
                place.restart(&place.present().await?).await?;
                done(console, place, "started anew");
                Ok(())
            };
            each(&some(&args, false)?, restart).await?;
        }
        AccessoryAction::Remove(args) => {
            each(&some(&args, true)?, async |place: &Place<'_>| remove(place, console).await).await?;
        }
        AccessoryAction::Status(args) => return status(&accessories, &args.names, console).await,
        AccessoryAction::Logs(args) => logs(&accessories, &args, console).await?,
        AccessoryAction::Exec(args) => {
            let names = std::slice::from_ref(&args.name);
            let places = accessories.places(names, args.host.as_ref(), true)?;
            let Some(place) = places.first() else { return Ok(Exit::Ok) };
            let found = place.present().await?;
            if !found.running {
                let (name, host) = (place.accessory.name.to_string(), place.machine.name().clone());
                return Err(Error::Stopped { name, host }.into());
            }
            let command = Command {
                machine: &place.machine,
                container: &found.name,
                id: &found.id,
                command: &args.command,
                interactive: args.interactive,
                prefix: None,
            };
            return Box::pin(command.run()).await;
        }
    }
    Ok(Exit::Ok)
}

/// Ends what was begun before it heeds Ctrl-C or SIGTERM: in the middle of it a database might be away. A second one is heeded at once.
async fn to_its_end(work: impl Future<Output = Result<(), Error>>, console: Console) -> anyhow::Result<Exit> {
    let (mut interrupt, mut work) = (Interrupt::catch()?, pin!(work));
    let mut asked = None;
    loop {
        tokio::select! {
            done = &mut work => {
                done?;
                return Ok(asked.unwrap_or(Exit::Ok));
            }
            exit = interrupt.signal() => {
                if asked.replace(exit).is_some() {
                    return Ok(exit);
                }
                console.note("what was begun is brought to its end first; once more leaves it as it is");
            }
        }
    }
}

async fn logs(accessories: &Accessories, args: &AccessoryLogs, console: Console) -> anyhow::Result<()> {
    let places = accessories.places(std::slice::from_ref(&args.name), args.host.as_ref(), true)?;
    let Some(place) = places.first() else { return Ok(()) };
    let labels = AccessoryLabels::filter(place.key, &place.accessory.name);
    let wanted = Wanted {
        labels,
        tail: Some(args.tail),
        since: None,
        grep: None,
        stopped: !args.follow,
        follow: args.follow,
    };
    let is_meant = |spec: &&HostSpec| places.iter().any(|place| *place.machine.name() == spec.name);
    let hosts: Vec<_> = accessories.project().target.hosts.iter().filter(is_meant).cloned().collect();
    container_logs::print(&hosts, &wanted, console).await?;
    if args.follow {
        console.note(format_args!("none of {} runs any more\nhint: cutover accessory status", args.name));
    }
    Ok(())
}

/// What is needed to make each of them: read before any of them is touched.
fn supplied(
    accessories: &Accessories,
    places: &[Place<'_>],
    healthy: Span,
) -> Result<BTreeMap<AccessoryName, Supplies>, Error> {
    let mut all = BTreeMap::new();
    for Place { accessory, .. } in places {
        if !all.contains_key(&accessory.name) {
            all.insert(accessory.name.clone(), accessories.supplies(accessory, healthy)?);
        }
    }
    Ok(all)
}

async fn boot(place: &Place<'_>, supplies: &Supplies, console: Console) -> Result<(), Error> {
    let booted = place.boot(supplies).await?;
    let name = &place.accessory.name;
    match booted {
        Booted::Found { .. } => say(console, place, StepKind::Found, "runs"),
        Booted::Started { .. } => done(console, place, "started"),
        Booted::Made => done(console, place, &format!("made and started, of {}", place.accessory.image)),
    }
    if let Booted::Found { as_in_file: false } | Booted::Started { as_in_file: false } = booted {
        let text = format!(
            "has other settings than the deploy file and was left alone: `cutover accessory reboot {name}` makes it anew"
        );
        say(console, place, StepKind::Advice, &text);
    }
    if booted != Booted::Made {
        return Ok(());
    }
    for published in place.accessory.publish.iter().filter(|published| published.is_everybodys()) {
        let text = format!("{published} is reached by everybody who reaches the host, past its firewall");
        say(console, place, StepKind::Advice, &text);
    }
    let found = place.present().await?;
    for volume in place.mounts_without_a_name(&found.id).await?.keys() {
        let text = format!(
            "keeps what it writes to {volume} in a volume without a name, which is hard to find again once it is removed: best \
             before there is anything in it, give it one, `container: {{volumes: [\"{name}:{volume}\"]}}`, and \
             `cutover accessory reboot --other-volumes {name}`"
        );
        say(console, place, StepKind::Advice, &text);
    }
    Ok(())
}

async fn remove(place: &Place<'_>, console: Console) -> Result<(), Error> {
    let found = place.present().await?;
    let mounts = place.mounts(&found.id).await?;
    place.remove(&found).await?;
    if let Some(before) = place.found_before().await? {
        place.remove(&before).await?;
    }
    let volumes: Vec<&str> =
        mounts.values().map(String::as_str).filter(|volume| !volume.starts_with('/')).collect();
    let stay = match volumes.as_slice() {
        [] => String::new(),
        volumes => format!("; what it wrote stays: docker volume rm {} removes it", volumes.join(" ")),
    };
    done(console, place, &format!("removed{stay}"));
    Ok(())
}

fn done(console: Console, place: &Place<'_>, what: &str) {
    say(console, place, StepKind::Done, what);
}

fn say(console: Console, place: &Place<'_>, kind: StepKind, what: &str) {
    let (host, text) = (place.machine.name().to_string(), format!("{} {what}", place.accessory.name));
    let step = Step { host, kind, text };
    // Output that was closed is no reason to leave the others as they are.
    let _ = if console.json { console.object(&step) } else { console.line(&step) };
}

async fn status(accessories: &Accessories, names: &[String], console: Console) -> anyhow::Result<Exit> {
    let places = accessories.places(names, None, false)?;
    let mut lines = Vec::new();
    let mut failed = None;
    for place in &places {
        // One host that can't be reached is no reason to say nothing of the others.
        let found = match place.found().await {
            Ok(found) => found,
            Err(error) => {
                failed = Some(error);
                continue;
            }
        };
        // A file that is missing is told by whoever needs it.
        let specification = accessories.supplies(place.accessory, Span::default()).ok();
        let wanted = specification.map(|supplies| supplies.specification(place.accessory));
        lines.push(line(place, found, wanted.as_ref()));
    }
    if names.is_empty() && failed.is_none() {
        lines.extend(unlisted(accessories, &places).await?);
    }
    for line in &lines {
        if console.json {
            console.object(line)?;
        } else {
            console.line(words(line))?;
        }
    }
    if let Some(error) = failed {
        return Err(error.into());
    }
    if lines.is_empty() {
        console.note("the deploy file has no accessories there");
    }
    Ok(Exit::Ok)
}

fn line(place: &Place<'_>, found: Option<AccessoryContainer>, wanted: Option<&Digest>) -> Line {
    let as_in_file = found.as_ref().map(|found| Some(&found.labels.specification) == wanted);
    Line {
        accessory: place.accessory.name.to_string(),
        host: place.machine.name().to_string(),
        running: found.as_ref().is_some_and(|found| found.running),
        image: found.as_ref().map_or_else(|| place.accessory.image.clone(), |found| found.image.clone()),
        status: found.as_ref().map(|found| found.status.clone()),
        container: found.map(|found| found.name),
        as_in_file,
        in_file: true,
    }
}

/// Those that run where the deploy file gives them no place.
async fn unlisted(accessories: &Accessories, places: &[Place<'_>]) -> anyhow::Result<Vec<Line>> {
    let key = &accessories.project().target.key;
    let mut lines = Vec::new();
    for machine in accessories.machines() {
        for found in machine.accessories(key).await? {
            let name = &found.labels.accessory;
            let is_its = found.name == accessory_container(key, name);
            let is_listed =
                |place: &Place<'_>| place.accessory.name == *name && place.machine.name() == machine.name();
            // What a reboot that was cut off has left is to be seen too.
            if !(is_its && places.iter().any(is_listed)) {
                lines.push(Line {
                    accessory: name.to_string(),
                    host: machine.name().to_string(),
                    running: found.running,
                    image: found.image,
                    status: Some(found.status),
                    container: Some(found.name),
                    as_in_file: None,
                    in_file: false,
                });
            }
        }
    }
    Ok(lines)
}

fn words(line: &Line) -> String {
    let Line { accessory, host, image, .. } = line;
    let state = match (&line.status, line.running) {
        (None, _) => format!("isn't there: cutover accessory boot {accessory}"),
        (Some(status), true) => crate::tree::printable(status),
        (Some(status), false) => format!("stopped ({})", crate::tree::printable(status)),
    };
    let note = match (line.in_file, line.as_in_file) {
        (false, _) => "  (not in the deploy file)".to_owned(),
        (true, Some(false)) => format!("  (not as in the deploy file: cutover accessory reboot {accessory})"),
        _ => String::new(),
    };
    format!("{accessory}  {host}  {image}  {state}{note}")
}
