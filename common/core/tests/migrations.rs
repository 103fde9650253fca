//! Migrations of several phases: what is done before the switch, what is owed afterwards, what that waits for, and which
//! releases there is no way back to.
#![allow(clippy::unwrap_used, clippy::panic)]

mod journal;

use std::time::Duration;

use cutover_core::{
    Applied, ContractTerms, Decision, Digest, Failure, Illegal, MigrationFile, Phase, Plan, Refused, Span,
    Stage, Wait, When,
};
use journal::{Journal, id, plan, task};

const HOSTS: [&str; 1] = ["a"];
/// All of a deployment with one host and expand migrations.
const ALL: &str = "build, ship a, expand, boot a, probe a, switch a, soak, retire a";

fn parts(version: &str, phases: &[Phase]) -> Vec<MigrationFile> {
    let part = |phase: &Phase| MigrationFile::of_phase(*phase, version, "split", Digest::of(b"SELECT 1"));
    phases.iter().map(part).collect()
}

/// A deployment on one host of a release with these migrations.
fn with(number: u8, migrations: Vec<MigrationFile>, when: When) -> Plan {
    let mut plan = plan(number, &HOSTS);
    plan.release.migrations = migrations;
    plan.release.settings.contract = ContractTerms { after: Span::seconds(60), when };
    plan.stages = Plan::stages_for(&plan.release, None, &cutover_core::SidecarImages::new());
    plan
}

/// Version 1 without migrations is live, then version 2 with all phases of one, waiting for `when`.
fn split(when: When) -> Journal {
    let mut journal = Journal::with(plan(1, &HOSTS));
    journal.do_all(&ALL.replace("expand, ", ""));
    deploy(&mut journal, &with(2, parts("7", &Phase::ALL), when));
    journal
}

fn deploy(journal: &mut Journal, plan: &Plan) {
    journal.accept(plan).unwrap();
    journal.do_all(match plan.stages.contains(&Stage::Expand) {
        true => ALL,
        false => "build, ship a, boot a, probe a, switch a, soak, retire a",
    });
}

fn due(journal: &Journal) -> Vec<Stage> {
    journal.effects().0.iter().map(|work| work.task.stage).collect()
}

fn waits(journal: &Journal) -> Vec<Wait> {
    let contracts = journal.service.contracts(journal.now);
    contracts.into_iter().flat_map(|contract| contract.waits).collect()
}

fn wait(journal: &mut Journal, seconds: u64) {
    journal.now = journal.now.after(Duration::from_secs(seconds));
}

fn is_kept(wait: &Wait) -> bool {
    matches!(wait, Wait::Release { version, .. } if version == "v1")
}

#[test]
fn rows_that_the_new_version_reads_are_brought_over_before_it_boots() {
    let mut migrations = parts("7", &Phase::ALL);
    migrations[1].before_switch = true;
    let mut journal = Journal::with(with(1, migrations, When::Retained));
    journal.do_all("build, ship a, expand");
    assert_eq!(due(&journal), [Stage::Backfill]);
    journal.do_all("backfill");
    assert_eq!(due(&journal), [Stage::Boot]);
    journal.do_all("boot a, probe a, switch a, soak, retire a");
    // The version before it may have written more since.
    assert!(journal.service.schema.misses_rows_of(&journal.current().plan.release));
    assert_eq!(due(&journal), [Stage::Backfill]);
    journal.do_all("backfill");
    assert!(!journal.service.schema.misses_rows_of(&journal.current().plan.release));
    deploy(&mut journal, &plan(2, &HOSTS));
    assert!(journal.service.schema.misses_rows_of(&journal.service.kept[1].release), "v2 writes past it");
}

#[test]
fn other_rows_are_owed_once_the_old_version_is_gone_and_then_the_contract() {
    let mut journal = split(When::Retained);
    assert_eq!(due(&journal), [Stage::Backfill]);
    assert!(matches!(&waits(&journal)[..], [Wait::Backfill, kept, Wait::Until(_)] if is_kept(kept)));
    journal.do_all("backfill");
    wait(&mut journal, 60);
    assert!(matches!(&waits(&journal)[..], [kept] if is_kept(kept)));
    assert_eq!(due(&journal), []);
    // Two more releases are kept, and the one that doesn't know the migration no more.
    deploy(&mut journal, &with(3, parts("7", &Phase::ALL), When::Retained));
    assert!(waits(&journal).iter().any(is_kept), "two are kept beside the live one");
    deploy(&mut journal, &with(4, parts("7", &Phase::ALL), When::Retained));
    assert_eq!(due(&journal), [], "it waits for its time");
    wait(&mut journal, 60);
    assert_eq!(due(&journal), [Stage::Contract]);
    journal.do_all("contract");
    assert!(journal.service.schema.is_contracted("7") && journal.service.obligations.is_empty());
    deploy(&mut journal, &with(5, parts("7", &Phase::ALL), When::Retained));
    assert_eq!(journal.service.obligations, []);
}

#[test]
fn there_is_no_way_back_past_a_contract_from_its_claim_on() {
    let mut journal = split(When::Elapsed);
    journal.do_all("backfill");
    wait(&mut journal, 60);
    assert_eq!(due(&journal), [Stage::Contract]);
    assert_eq!(journal.service.check(&Decision::Accepted(Box::new(plan(3, &HOSTS)))), Ok(()));
    let claim = journal.claim(&task("contract"));
    let refused = Refused::Contracted { version: "v3".into(), migrations: vec!["7".into()] };
    assert_eq!(journal.accept(&plan(3, &HOSTS)), Err(Illegal::Decision(refused)));
    // A contract that fails stays begun: some of it may be done.
    journal.fail(&task("contract"), claim, Failure::lasting("no")).unwrap();
    assert!(journal.accept(&plan(3, &HOSTS)).is_err());
    assert!(journal.service.contracts(journal.now)[0].begun);
    journal.accept(&with(3, parts("7", &Phase::ALL), When::Elapsed)).unwrap();
}

#[test]
fn an_approval_opens_a_contract_at_once_but_not_before_its_rows_are_there() {
    for when in When::ALL {
        let mut journal = split(when);
        let approval = Decision::Approved { deployment: id(2), by: "ada@desk".into() };
        journal.decide(approval.clone()).unwrap();
        assert_eq!(journal.service.history.len(), 2, "no deployment has ended by it");
        assert_eq!(waits(&journal), [Wait::Backfill]);
        journal.do_all("backfill");
        assert_eq!(due(&journal), [Stage::Contract]);
        let again = journal.decide(approval);
        assert_eq!(again, Err(Illegal::Decision(Refused::NothingToApprove(id(2)))));
    }
    let mut journal = split(When::Approved);
    journal.do_all("backfill");
    wait(&mut journal, 3600);
    assert_eq!(waits(&journal), [Wait::Approval]);
}

#[test]
fn what_goes_back_before_the_contract_owes_nothing_and_writes_past_what_was_brought_over() {
    let mut journal = split(When::Elapsed);
    journal.do_all("backfill");
    let mut back = plan(3, &HOSTS);
    back.release = plan(1, &HOSTS).release;
    deploy(&mut journal, &back);
    assert_eq!(journal.service.obligations, []);
    wait(&mut journal, 3600);
    assert_eq!(due(&journal), []);
    deploy(&mut journal, &with(4, parts("7", &Phase::ALL), When::Elapsed));
    assert_eq!(due(&journal), [Stage::Backfill], "rows were written that it has not seen");
    assert!(waits(&journal).contains(&Wait::Backfill));
}

#[test]
fn a_deployment_that_begins_has_the_schema_to_itself() {
    let mut journal = split(When::Retained);
    let backfill = task("backfill");
    let claim = journal.claim(&backfill);
    assert!(journal.service.holds(&id(2), &backfill, claim));
    journal.accept(&with(3, parts("7", &Phase::ALL), When::Retained)).unwrap();
    assert!(!journal.service.holds(&id(2), &backfill, claim));
    assert!(
        journal.service.is_in_force(&id(2), &backfill, claim),
        "its worker has to say that it has stopped"
    );
    let stopped = cutover_core::Fact::Failed { claim, failure: Failure::passing("a deployment has begun") };
    assert_eq!(journal.fact_of(&id(2), &backfill, stopped), Ok(Applied::Changed));
    assert_eq!(journal.service.debts().count(), 0, "that is no debt");
    assert_eq!(due(&journal), [Stage::Build]);
    journal.abort().unwrap();
    assert_eq!(due(&journal), [], "it is tried again after a while");
    wait(&mut journal, 10);
    assert_eq!(due(&journal), [Stage::Backfill]);
}

#[test]
fn of_several_migrations_each_is_contracted_when_nothing_needs_its_own_old_structure() {
    let mut journal = split(When::Retained);
    journal.do_all("backfill");
    for number in 3..=4 {
        deploy(&mut journal, &with(number, parts("7", &Phase::ALL), When::Retained));
    }
    let both = [parts("7", &Phase::ALL), parts("8", &[Phase::Expand, Phase::Contract])].concat();
    deploy(&mut journal, &with(5, both, When::Retained));
    wait(&mut journal, 60);
    assert_eq!(due(&journal), [Stage::Contract]);
    let claim = journal.claim(&task("contract"));
    let release = journal.current().plan.release.clone();
    let contracting: Vec<&str> = journal.service.contracting(&release).map(|file| &*file.version).collect();
    assert_eq!(contracting, ["7"]);
    journal.finish(&task("contract"), claim).unwrap();
    let schema = &journal.service.schema;
    assert!(schema.is_contracted("7") && !schema.is_contracted("8"));
    assert_eq!(due(&journal), [], "the other one waits for v3 and v4");
    assert_eq!(waits(&journal).len(), 2);
    journal.accept(&with(6, parts("7", &Phase::ALL), When::Retained)).unwrap();
}

#[test]
fn where_a_host_owes_something_the_old_version_may_still_run() {
    let mut journal = Journal::with(plan(1, &HOSTS));
    journal.do_all(&ALL.replace("expand, ", ""));
    journal.accept(&with(2, parts("7", &Phase::ALL), When::Elapsed)).unwrap();
    journal.do_all(ALL.strip_suffix(", retire a").unwrap());
    let retire = task("retire a");
    let claim = journal.claim(&retire);
    journal.fail(&retire, claim, Failure::lasting("unplugged")).unwrap();
    wait(&mut journal, 4);
    assert_eq!(due(&journal), []);
    assert!(waits(&journal).contains(&Wait::Host("a".parse().unwrap())));
    wait(&mut journal, 10);
    assert_eq!(due(&journal), [Stage::Retire]);
    journal.do_all("retire a");
    assert_eq!(due(&journal), [Stage::Backfill]);
}

#[test]
fn what_is_kept_warm_holds_a_contract_up_until_it_has_stopped() {
    let mut journal = Journal::with(plan(1, &HOSTS));
    journal.do_all(&ALL.replace("expand, ", ""));
    let mut next = with(2, parts("7", &Phase::ALL), When::Elapsed);
    next.release.settings.warm = Span::seconds(600);
    deploy(&mut journal, &next);
    journal.do_all("backfill");
    wait(&mut journal, 590);
    assert!(matches!(waits(&journal)[..], [Wait::Warm(_)]));
    wait(&mut journal, 60);
    assert_eq!(due(&journal), [Stage::Cool]);
    let claim = journal.claim(&task("cool a"));
    assert!(matches!(waits(&journal)[..], [Wait::Warm(_)]), "they may still run");
    journal.finish(&task("cool a"), claim).unwrap();
    assert_eq!(due(&journal), [Stage::Contract]);
}

#[test]
fn a_snapshot_holds_all_of_it() {
    let mut journal = split(When::Elapsed);
    journal.do_all("backfill");
    wait(&mut journal, 60);
    let snapshot = journal.service.clone();
    journal.do_all("contract");
    assert_eq!(journal.fold_from(&snapshot), {
        let mut whole = journal.refold();
        whole.snapshot_taken = true;
        whole
    });
    assert_eq!(journal.refold(), journal.service);
}
