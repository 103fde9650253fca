//! Two hosts beside one: each round deploys to both, so that what the machine does meanwhile meets both alike.

use std::time::Duration;

use cutover_e2e::Host;

use crate::by_hand;
use crate::measure::{self, Bench, Run};
use crate::row::{Row, middle};

/// Measures so many rounds: a deploy to one host, Docker's part of it alone, a deploy to two hosts, and Docker's part on
/// both at once. Every other round begins with two. The first round warms up, and doesn't count.
pub(crate) async fn rows(
    one: &Bench<'_>,
    two: &Bench<'_>,
    hosts: [&Host; 2],
    rounds: usize,
) -> anyhow::Result<Vec<Row>> {
    let (mut near, mut both): (Vec<Run>, Vec<Run>) = (Vec::new(), Vec::new());
    let (mut docker, mut docker_both) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        for turn in [round, round + 1] {
            if turn % 2 == 0 {
                near.push(one.deploy().await?);
                docker.push(by_hand::docker(&hosts[..1])?);
            } else {
                both.push(two.deploy().await?);
                docker_both.push(by_hand::docker(&hosts)?);
            }
        }
    }
    near.remove(0);
    both.remove(0);
    docker.remove(0);
    docker_both.remove(0);
    let commands = |runs: &[Run]| runs.iter().map(|run| run.command).collect::<Vec<_>>();
    let (commands, commands_both) = (commands(&near), commands(&both));
    let ours = Row { ratio: ratio(&commands, &commands_both), ..measure::row("deploy, two hosts", &both) };
    let alone =
        Row { ratio: ratio(&docker, &docker_both), ..Row::timed("Docker alone, two hosts", docker_both) };
    Ok(vec![
        measure::row("deploy, one host beside", &near),
        ours,
        Row::timed("Docker alone: run, stop, rm", docker),
        alone,
    ])
}

/// The median of the rounds' ratios.
fn ratio(one: &[Duration], two: &[Duration]) -> Option<f64> {
    let ratios = one.iter().zip(two).map(|(one, two)| two.as_secs_f64() / one.as_secs_f64());
    middle(ratios.collect(), f64::total_cmp)
}
