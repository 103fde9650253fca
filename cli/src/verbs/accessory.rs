//! `cutover accessory`: what the service needs beside it and no deployment touches.

use cutover_core::Digest;
use cutover_fleet::{AccessoryContainer, AccessoryLabels};
use serde::Serialize;

use crate::accessory::{Accessories, Booted, Error, Place, Supplies, each};
use crate::args::{Accessory, AccessoryAction, Global};
use crate::command::Command;
use crate::console::Console;
use crate::container_logs::{self, Wanted};
use crate::exit::Exit;
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
    match args.action {
        AccessoryAction::Boot(args) => {
            let places = accessories.places(&args.names, args.host.as_ref())?;
            if places.is_empty() {
                console.note("the deploy file has no accessories there");
            }
            for (places, supplies) in supplied(&accessories, &places, args.timeout)? {
                each(places, async |place: &Place<'_>| boot(place, &supplies, console).await).await?;
            }
        }
        AccessoryAction::Reboot(args) => {
            let places = accessories.places(&args.names, args.host.as_ref())?;
            for (places, supplies) in supplied(&accessories, &places, args.timeout)? {
                let reboot = async |place: &Place<'_>| {
                    place.reboot(&supplies, args.pull).await?;
                    done(console, place, "made anew");
                    Ok(())
                };
                each(places, reboot).await?;
            }
        }
        AccessoryAction::Start(args) => {
            let places = accessories.places(&args.names, args.host.as_ref())?;
            let start = async |place: &Place<'_>| {
                let found = place.present().await?;
                place.start(&found).await?;
                done(console, place, "started");
                Ok(())
            };
            each(&places, start).await?;
        }
        AccessoryAction::Stop(args) => {
            let places = accessories.places(&args.names, args.host.as_ref())?;
            let stop = async |place: &Place<'_>| {
                let found = place.present().await?;
                place.stop(&found).await?;
                done(console, place, "stopped");
                Ok(())
            };
            each(&places, stop).await?;
        }
        AccessoryAction::Restart(args) => {
            let places = accessories.places(&args.names, args.host.as_ref())?;
            let restart = async |place: &Place<'_>| {
                let found = place.present().await?;
                place.stop(&found).await?;
                place.start(&found).await?;
                done(console, place, "started anew");
                Ok(())
            };
            each(&places, restart).await?;
        }
        AccessoryAction::Remove(args) => {
            let places = accessories.places(&args.names, args.host.as_ref())?;
            let remove = async |place: &Place<'_>| remove(place, console).await;
            each(&places, remove).await?;
        }
        AccessoryAction::Status(args) => return status(&accessories, &args.names, console).await,
        AccessoryAction::Logs(args) => {
            let places = accessories.places(std::slice::from_ref(&args.name), None)?;
            let Some(place) = places.first() else { return Ok(Exit::Ok) };
            let labels = AccessoryLabels::filter(place.key, &place.accessory.name);
            let wanted = Wanted {
                labels,
                tail: Some(args.tail),
                since: None,
                grep: None,
                stopped: !args.follow,
                follow: args.follow,
            };
            let hosts = accessories.project().target.hosts.iter();
            let hosts: Vec<_> =
                hosts.filter(|spec| place.accessory.hosts.contains(&spec.name)).cloned().collect();
            container_logs::print(&hosts, &wanted, console).await?;
        }
        AccessoryAction::Exec(args) => {
            let places = accessories.places(std::slice::from_ref(&args.name), args.host.as_ref())?;
            let Some(place) = places.first() else { return Ok(Exit::Ok) };
            let found = place.present().await?;
            if !found.running {
                let (name, host) = (place.accessory.name.to_string(), place.machine.name().clone());
                return Err(Error::Stopped { name, host }.into());
            }
            let command = Command {
                machine: &place.machine,
                container: &found.name,
                command: &args.command,
                interactive: args.interactive,
                prefix: None,
            };
            return Box::pin(command.run()).await;
        }
    }
    Ok(Exit::Ok)
}

/// The places of each accessory, with what is needed to make it there: read before any of them is touched.
fn supplied<'a>(
    accessories: &Accessories,
    places: &'a [Place<'a>],
    healthy: cutover_core::Span,
) -> Result<Vec<(&'a [Place<'a>], Supplies)>, Error> {
    let groups = places.chunk_by(|a, b| a.accessory.name == b.accessory.name);
    let with = |places: &'a [Place<'a>]| {
        let first = places.first()?;
        Some(accessories.supplies(first.accessory, healthy).map(|supplies| (places, supplies)))
    };
    groups.filter_map(with).collect()
}

async fn boot(place: &Place<'_>, supplies: &Supplies, console: Console) -> Result<(), Error> {
    let booted = place.boot(supplies).await?;
    let name = &place.accessory.name;
    match booted {
        Booted::Found => say(console, place, StepKind::Found, "runs"),
        Booted::Started => done(console, place, "started"),
        Booted::Other { running } => {
            let is_there = if running { "runs" } else { "is there, stopped," };
            let text = format!(
                "{is_there} with other settings and was left alone: `cutover accessory reboot {name}` makes it anew"
            );
            say(console, place, StepKind::Advice, &text);
        }
        Booted::Made => done(console, place, &format!("made and started, of {}", place.accessory.image)),
    }
    if booted != Booted::Made {
        return Ok(());
    }
    for published in place.accessory.publish.iter().filter(|published| published.is_everybodys()) {
        let text = format!("{published} is reached by everybody who reaches the host, past its firewall");
        say(console, place, StepKind::Advice, &text);
    }
    let found = place.present().await?;
    for volume in place.volumes_without_a_name(&found.id).await?.keys() {
        let text = format!(
            "keeps what it writes to {volume} in a volume without a name, which is hard to find again once it is removed: \
             `container: {{volumes: [\"{name}:{volume}\"]}}` gives it one"
        );
        say(console, place, StepKind::Advice, &text);
    }
    Ok(())
}

async fn remove(place: &Place<'_>, console: Console) -> Result<(), Error> {
    let found = place.present().await?;
    let nameless = place.volumes_without_a_name(&found.id).await?;
    place.remove(&found).await?;
    let named = place.accessory.container.volumes.iter().filter(|volume| !volume.is_of_host());
    let volumes: Vec<&str> =
        named.map(|volume| volume.source.as_str()).chain(nameless.values().map(String::as_str)).collect();
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
    let places = accessories.places(names, None)?;
    let mut lines = Vec::new();
    for place in &places {
        let found = place.found().await?;
        // A file that is missing is told by whoever needs it.
        let specification = accessories.supplies(place.accessory, cutover_core::Span::default()).ok();
        let wanted = specification.map(|supplies| supplies.specification(place.accessory));
        lines.push(line(place, found, wanted.as_ref()));
    }
    if names.is_empty() {
        lines.extend(unlisted(accessories, &places).await?);
    }
    for line in &lines {
        if console.json {
            console.object(line)?;
        } else {
            console.line(words(line))?;
        }
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
            let is_listed =
                |place: &Place<'_>| place.accessory.name == *name && place.machine.name() == machine.name();
            if !places.iter().any(is_listed) {
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
