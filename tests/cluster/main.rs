//! label-router on a real control plane: what reaches Pods, people and logs when the API server, the controllers, the
//! scheduler and kubectl are the real ones.
//!
//! `just cluster-test` runs all of it. Under a plain `cargo test` each test is ignored: a control plane has to be built
//! first, by Go, and that takes minutes.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read files, and a failure should stop them"
)]

mod applied;
#[path = "../support/cases.rs"]
mod cases;
mod certificates;
mod deploy;
mod doctor;
mod examples;
mod groundwork;
mod harness;
mod messages;
mod outages;
mod placements;
mod pods;
mod reinvocation;
mod reload;
#[path = "../support/shown.rs"]
mod shown;
mod sinks;
mod workloads;

use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use harness::{Cluster, Extent, runtime};
use libtest_mimic::{Arguments, Trial};

/// Tests wait for controllers more than they compute.
const AT_A_TIME: usize = 6;

type Test = fn(&'static Cluster) -> Pin<Box<dyn Future<Output = ()>>>;

/// The control plane of all tests: started by the first one. It is leaked, so that every thread can hold it, and taken back
/// at the end.
static CLUSTER: Mutex<Option<&'static Cluster>> = Mutex::new(None);

fn cluster() -> &'static Cluster {
    let mut cluster = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner);
    cluster.get_or_insert_with(|| Box::leak(Box::new(runtime().block_on(Cluster::start(Extent::Whole)))))
}

/// A test that runs beside others.
fn beside(name: &str, test: Test) -> Trial {
    let run = move || {
        let cluster = cluster();
        runtime().block_on(async {
            let _peace = cluster.peace().await;
            test(cluster).await;
        });
        Ok(())
    };
    Trial::test(name, run).with_ignored_flag(true)
}

/// A test that disturbs all others.
fn alone(name: &str, test: Test) -> Trial {
    let run = move || {
        let cluster = cluster();
        runtime().block_on(async {
            let _peace = cluster.alone().await;
            test(cluster).await;
        });
        Ok(())
    };
    Trial::test(name, run).with_ignored_flag(true)
}

macro_rules! tests {
    ($how:ident: $($module:ident :: $name:ident),* $(,)?) => {
        [$($how(
            concat!(stringify!($module), "::", stringify!($name)),
            |cluster| Box::pin($module::$name(cluster)),
        )),*]
    };
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(AT_A_TIME);
    let mut trials = Vec::from(tests![beside:
        workloads::even_and_odd_replicas_are_bound_to_their_nodes,
        workloads::ordinals_start_where_the_stateful_set_says,
        workloads::an_indexed_job_is_spread_by_completion_index,
        workloads::the_pods_of_a_deployment_are_placed,
        workloads::replicas_that_come_and_go_keep_their_places,
        workloads::a_rolling_update_places_every_replica_anew,
        workloads::the_pods_of_a_daemon_set_stay_on_their_nodes,
        placements::every_placement_is_stored,
        placements::node_affinity_narrows_the_pods_own,
        placements::what_a_pod_says_itself_is_kept,
        placements::a_runtime_class_brings_its_overhead,
        messages::a_refusal_as_kubectl_prints_it,
        messages::a_refusal_as_the_owners_events_tell_it,
        messages::warnings_as_kubectl_prints_them,
        messages::a_dry_run_shows_the_placement_and_stores_nothing,
        messages::the_audit_log_says_who_decided_what,
        reinvocation::a_later_webhook_makes_the_api_server_ask_again_and_nothing_is_placed_twice,
        reinvocation::a_later_webhook_that_takes_the_placement_away_is_overruled,
        outages::under_fail_pods_wait_until_it_is_back,
        outages::under_ignore_pods_are_created_as_they_are,
        outages::a_registration_that_is_deleted_stops_it_at_once,
        sinks::events_tell_the_owner,
        groundwork::a_service_account_can_be_acted_for,
        groundwork::a_certificate_can_be_asked_for,
    ]);
    trials.extend(tests![alone:
        outages::the_api_server_can_be_restarted,
        deploy::the_readme_brings_it_into_a_cluster,
        deploy::the_chart_brings_it_into_a_cluster,
        deploy::the_overlay_for_cert_manager_brings_it_into_a_cluster,
        deploy::every_way_is_one_that_the_api_server_takes,
        deploy::what_the_command_prints_installs_it,
        deploy::the_names_of_sts_webhook_lead_here,
        applied::a_wrong_policy_is_refused_and_an_unplaceable_workload_is_warned_about,
        applied::a_bad_edit_is_refused_by_kubectl_with_line_and_hint,
        applied::a_workload_with_a_broken_annotation_is_told_of_when_it_is_applied,
        applied::whoever_scales_is_told_of_the_new_pods,
        certificates::replicas_that_start_together_share_one_certificate,
        certificates::an_emptied_ca_bundle_is_written_again,
        certificates::a_deleted_secret_is_written_again_with_the_same_ca,
        certificates::a_certificate_near_its_end_is_renewed_and_shown,
        certificates::a_ca_near_its_end_is_followed_by_the_next,
        certificates::a_deleted_registration_stays_deleted_and_is_reported,
        certificates::a_registration_that_leaves_pods_out_is_measured,
        certificates::somebody_elses_certificate_is_left_alone,
        certificates::a_signer_of_the_cluster_makes_the_certificate,
        certificates::certificates_can_be_made_and_renewed_by_hand,
        reload::an_edit_of_the_config_map_is_in_force_in_less_than_a_second,
        reload::it_follows_the_config_map_over_a_restart_of_the_api_server,
        doctor::doctor_says_what_is_well_and_what_is_not,
    ]);
    trials.extend(examples::folders().into_iter().map(|folder| {
        let name = format!("examples::{folder}");
        let run = move || {
            let cluster = cluster();
            runtime().block_on(async {
                let _peace = cluster.peace().await;
                examples::every_case_is_decided_as_expected(cluster, &folder).await
            })
        };
        Trial::test(name, run).with_ignored_flag(true)
    }));
    trials.push(
        Trial::test(
            "groundwork::nothing_outlives_the_tests",
            groundwork::nothing_outlives_the_tests,
        )
        .with_ignored_flag(true),
    );
    let conclusion = libtest_mimic::run(&arguments, trials);
    let cluster = CLUSTER.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(cluster) = cluster {
        cluster.stop(conclusion.has_failed());
    }
    conclusion.exit_code()
}
