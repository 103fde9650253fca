//! Traefik, by its file provider.

use std::fs;

use cutover_control::{Refusal, Switch};
use cutover_proxy::{Driven, TraefikOptions};
use hyper::StatusCode;
use tokio::time::timeout;

use crate::application::{Application, nobody, target};
use crate::caller::{LIMIT, canary, switch};
use crate::canary;
use crate::client::get_once;
use crate::peer::Kind::{QuickTraefik, Traefik};
use crate::proxy::Proxy;
use crate::same;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_targets_are_switched_and_stopped() {
    same::no_request_fails_while_targets_are_switched_and_stopped(Traefik, 3).await;
}

#[tokio::test]
async fn what_was_switched_is_in_force_when_it_is_answered() {
    same::what_was_switched_is_in_force_when_it_is_answered(Traefik).await;
}

#[tokio::test]
async fn what_is_in_flight_ends_where_it_began_and_is_listed_until_then() {
    same::what_is_in_flight_ends_where_it_began_and_is_listed_until_then(QuickTraefik).await;
}

#[tokio::test]
async fn a_restore_brings_the_previous_targets_back_with_their_counters() {
    same::a_restore_brings_the_previous_targets_back_with_their_counters(QuickTraefik).await;
}

#[tokio::test]
async fn an_application_that_is_not_there_is_an_error_of_its_deployment() {
    same::an_application_that_is_not_there_is_an_error_of_its_deployment(QuickTraefik).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fences_and_routes_outlive_the_driver_and_the_other_proxy_does_not_notice() {
    same::fences_and_routes_outlive_the_driver_and_the_other_proxy_does_not_notice(QuickTraefik).await;
}

#[tokio::test]
async fn services_share_hosts_by_path_prefix() {
    same::services_share_hosts_by_path_prefix(QuickTraefik).await;
}

#[tokio::test]
async fn the_first_version_taken_back_leaves_503() {
    same::the_first_version_taken_back_leaves_503(QuickTraefik).await;
}

#[tokio::test]
async fn another_proxy_that_is_not_there_is_told_once_it_is() {
    same::another_proxy_that_is_not_there_is_told_once_it_is(QuickTraefik).await;
}

#[tokio::test]
async fn what_it_cannot_be_told_is_refused() {
    same::what_it_cannot_be_told_is_refused(QuickTraefik).await;
}

#[tokio::test]
async fn a_canary_gets_the_share_that_its_weight_says() {
    canary::a_canary_gets_the_share_that_its_weight_says(QuickTraefik).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_a_canary_is_weighed_promoted_and_taken_back() {
    canary::no_request_fails_while_a_canary_is_weighed_promoted_and_taken_back(QuickTraefik).await;
}

#[tokio::test]
async fn a_renewal_changes_nothing_at_the_other_proxy() {
    canary::a_renewal_changes_nothing_at_the_other_proxy(QuickTraefik).await;
}

#[tokio::test]
async fn a_canary_that_is_not_renewed_is_over_by_itself() {
    canary::a_canary_that_is_not_renewed_is_over_by_itself(QuickTraefik).await;
}

#[tokio::test]
async fn the_hold_goes_on_over_a_restart_of_the_driver_and_is_not_longer_for_it() {
    canary::the_hold_goes_on_over_a_restart_of_the_driver_and_is_not_longer_for_it(QuickTraefik).await;
}

#[tokio::test]
async fn what_a_canary_that_is_taken_back_has_in_flight_is_waited_for() {
    canary::what_a_canary_that_is_taken_back_has_in_flight_is_waited_for(QuickTraefik).await;
}

#[tokio::test]
async fn a_canary_that_is_not_ready_late_or_more_than_a_weight_is_refused() {
    canary::a_canary_that_is_not_ready_late_or_more_than_a_weight_is_refused(QuickTraefik).await;
}

#[tokio::test]
async fn a_configuration_that_traefik_refuses_is_taken_back_with_its_words() {
    let (one, two) = (Application::named("one").await, Application::named("two").await);
    let mut proxy = Proxy::start(QuickTraefik).await;
    proxy.switch(1, &[one.target()]).await;
    let written = same::config(&proxy);
    let Driven::Traefik(options) = proxy.peer.driven.clone() else { unreachable!() };
    let wrong = TraefikOptions { entry_points: vec!["nowhere".to_owned()], ..options.clone() };
    proxy.peer.driven = Driven::Traefik(wrong);
    proxy.restart(async || {}).await;
    // On a busy machine Traefik may take longer than one call waits for it.
    let refused = timeout(3 * LIMIT, async {
        loop {
            match proxy.switch_as(switch(2, &[two.target()])).await.unwrap_err() {
                Refusal::Unconfirmed { .. } => {}
                refused => return refused,
            }
        }
    });
    let refused = refused.await.expect("Traefik says nothing about it");
    assert!(
        matches!(refused, Refusal::Invalid { .. }) && refused.to_string().contains("nowhere"),
        "{refused:?}"
    );
    assert_eq!(same::config(&proxy), written);
    proxy.peer.driven = Driven::Traefik(options);
    proxy.restart(async || {}).await;
    assert_eq!(proxy.status().await.active.unwrap().deployment, "d1");
    assert_eq!(get_once(proxy.address, "a").await.1, "one");
    assert_eq!(proxy.switch(2, &[two.target()]).await.as_deref(), Some("d1"));
}

#[tokio::test]
async fn limits_that_traefik_lacks_are_refused_and_nothing_is_written() {
    let app = Application::named("app").await;
    let proxy = Proxy::start(QuickTraefik).await;
    let limited = Switch { max_request_body: Some(4), ..switch(1, &[app.target()]) };
    let mut impatient = switch(1, &[app.target()]);
    impatient.timeouts.idle_ms = 1_000;
    let before = fs::read_dir(&proxy.peer.drive().conf_dir).unwrap().count();
    for switch in [limited, impatient] {
        let refused = proxy.switch_as(switch).await;
        assert!(matches!(refused, Err(Refusal::Invalid { .. })), "{refused:?}");
    }
    assert_eq!(fs::read_dir(&proxy.peer.drive().conf_dir).unwrap().count(), before);
}

#[tokio::test]
async fn a_canary_that_cannot_be_reached_costs_nobody_an_answer() {
    let app = Application::named("app").await;
    let proxy = Proxy::start(QuickTraefik).await;
    proxy.switch(1, &[app.target()]).await;
    proxy.weigh(canary(2, 300, &[target(nobody().await)])).await;
    for _ in 0..20 {
        assert_eq!(get_once(proxy.address, "a").await, (StatusCode::OK, "app".to_owned()));
    }
}
