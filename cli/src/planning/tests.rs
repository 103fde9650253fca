use cutover_core::{Decision, Hooks, ImageSource, Reference, Source, Span};

use super::*;
use crate::fixture::{Transcript, hosts, key, release};

fn target() -> Target {
    let settings = release("v2").settings;
    Target {
        key: key(),
        hosts: hosts(2),
        image: ImageSource::Existing("hello".to_owned()),
        settings,
        models: Vec::new(),
        sidecars: Vec::new(),
        accessories: Vec::new(),
        migrations: None,
        windows: Vec::new(),
        hooks: Hooks::default(),
    }
}

fn by() -> String {
    "anna@laptop".to_owned()
}

#[test]
fn a_deployment_is_planned_against_what_is_live() {
    let Transcript { service, .. } = Transcript::with_live_v1();
    let plan = deploy(&service, &target(), release("v2"), Images::default(), by()).unwrap();
    assert_eq!(plan.check(), Ok(()));
    assert_eq!(plan.replaces, Some(release("v1").id()));
    assert_eq!(plan.stages, Plan::stages_for(&release("v2"), None, &cutover_core::SidecarImages::new()));
    assert!(service.check(&Decision::Accepted(Box::new(plan))).is_ok());
}

#[test]
fn ids_sort_by_the_time_they_were_made() {
    let (first, second) = (new_id().unwrap(), new_id().unwrap());
    assert_ne!(first, second);
    assert!(first.as_str().get(..10) <= second.as_str().get(..10));
}

#[test]
fn a_rollback_builds_migrates_and_soaks_nothing() {
    let Transcript { service, .. } = Transcript::with_live_v1();
    let kept = service.kept.first().unwrap();
    let plan = rollback(&service, key(), hosts(2), kept, None, by()).unwrap();
    assert_eq!(plan.check(), Ok(()));
    assert_eq!(plan.image.as_ref(), Some(&kept.image));
    assert_eq!(plan.stages, [Stage::Ship, Stage::Boot, Stage::Probe, Stage::Switch, Stage::Retire]);
}

#[test]
fn containers_that_are_made_anew_need_no_source_and_are_not_sent() {
    let Transcript { service, .. } = Transcript::with_live_v1();
    let live = service.live().unwrap();
    let plan = refresh(&service, key(), hosts(2), live, by()).unwrap();
    assert_eq!((plan.check(), plan.release.id(), plan.protocol), (Ok(()), live.id.clone(), 7));
    let soaks = !live.release.settings.soak.time.is_zero();
    let stages = [Stage::Boot, Stage::Probe, Stage::Switch, Stage::Soak, Stage::Retire];
    assert!(plan.stages.iter().eq(stages.iter().filter(|stage| **stage != Stage::Soak || soaks)));
    assert!(service.check(&Decision::Accepted(Box::new(plan.clone()))).is_ok());
    // Nowhere else is it known that its image is there.
    let other = Plan { replaces: Some(release("v2").id()), ..plan.clone() };
    assert!(other.check().is_err() && Plan { image: None, ..plan }.check().is_err());
}

#[test]
fn a_rollback_to_warm_replicas_is_a_switch() {
    let Transcript { service, .. } =
        Transcript::deploying(Settings { warm: Span::seconds(600), ..release("v2").settings }, 2)
            .through(Stage::Build, Stage::Retire);
    let [live, kept] = service.kept.as_slice() else { panic!("{:?}", service.kept) };
    assert_eq!(warm(&service, live, &hosts(2)), None);
    let replicas = warm(&service, kept, &hosts(2)).cloned();
    assert_eq!(warm(&service, kept, &hosts(3)), None, "a host that was added has none");
    let plan = rollback(&service, key(), hosts(2), kept, replicas, by()).unwrap();
    assert_eq!(plan.stages, [Stage::Probe, Stage::Switch, Stage::Retire]);
    assert_eq!(plan.booted_by(), &kept.deployment);
    assert!(service.check(&Decision::Accepted(Box::new(plan))).is_ok());
}

#[test]
fn an_unchanged_source_needs_no_build_and_an_unchanged_release_nothing() {
    let Transcript { service, .. } = Transcript::with_live_v1();
    let same = release("v1");
    assert!(known_images(&service, &same).0.is_some());
    assert!(is_live(&service, &same));
    let scaled = Release { settings: Settings { replicas: 3, ..same.settings.clone() }, ..same };
    assert!(known_images(&service, &scaled).0.is_some());
    assert!(!is_live(&service, &scaled));
    assert!(known_images(&service, &release("v2")).0.is_none());
}

#[test]
fn a_tag_may_have_moved() {
    let Transcript { mut service, .. } = Transcript::with_live_v1();
    let tagged = Release { source: Source::Image("hello:latest".to_owned()), ..release("v1") };
    let live = service.kept.first_mut().unwrap();
    (live.id, live.release) = (tagged.id(), tagged.clone());
    assert!(known_images(&service, &tagged).0.is_none());
    assert!(!is_live(&service, &tagged));
}

#[test]
fn the_programs_are_those_of_the_stages_and_of_the_way_back() {
    let Transcript { service, .. } = Transcript::with_live_v1();
    let plan = deploy(&service, &target(), release("v2"), Images::default(), by()).unwrap();
    assert_eq!(
        programs(&plan),
        [Program::Builder, Program::Shipper, Program::Prober, Program::Switcher, Program::Migrator]
    );
    let plan = rollback(&service, key(), hosts(1), service.kept.first().unwrap(), None, by()).unwrap();
    assert_eq!(programs(&plan), [Program::Shipper, Program::Prober, Program::Switcher]);
}

#[test]
fn pending_are_the_migrations_that_the_live_release_did_not_have() {
    let Transcript { service, .. } = Transcript::with_live_v1();
    let mut next = release("v2");
    assert!(pending(&service, &next).is_empty());
    next.migrations.push(MigrationFile::expand("2", "b", Digest::of(b"2")));
    assert_eq!(pending(&service, &next), [next.migrations.last().unwrap()]);
    assert_eq!(pending(&Service::default(), &next).len(), 2);
}

#[test]
fn a_migration_of_rails_that_was_written_anew_is_not_run_again() {
    let Transcript { service, .. } = Transcript::with_live_v1();
    let mut next = release("v2");
    next.migrations[0].content = Digest::of(b"another text");
    assert_eq!((pending(&service, &next).len(), rewritten(&service, &next).len()), (1, 0));
    next.settings.rails = Some(cutover_core::Rails::default());
    assert!(pending(&service, &next).is_empty());
    assert_eq!(rewritten(&service, &next), [&next.migrations[0]]);
}

#[test]
fn changed_settings_are_named_and_never_shown() {
    let old = release("v1").settings;
    let mut new = Settings { replicas: 2, ..old.clone() };
    new.env.insert("MODE".to_owned(), "fast".to_owned());
    new.secrets.insert("TOKEN".to_owned(), Reference::Environment("TOKEN".to_owned()));
    assert_eq!(changed_settings(&old, &new), ["replicas", "env MODE", "env TOKEN"]);
    assert!(changed_settings(&old, &old).is_empty());
}
