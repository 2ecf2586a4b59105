//! The black-box suite, asked of a system that runs already, such as the one of `docker-compose.yml`: where that is, and which tests are
//! not asked there. It starts nothing, and stops nothing.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// A system that runs.
#[derive(Default, clap::Args)]
pub(super) struct Against {
    /// Ask a system that runs already, whose edge is here (its `server.public_url`), instead of starting one.
    #[arg(long, value_name = "URL", requires_all = ["pages", "operator_key"], conflicts_with = "shape")]
    against: Option<String>,
    /// Where its pages are.
    #[arg(long, value_name = "URL", requires = "against")]
    pages: Option<String>,
    /// The file with its operator's key.
    #[arg(long, value_name = "FILE", requires = "against")]
    operator_key: Option<PathBuf>,
    /// Where it reaches this machine, and may (`egress.allow`): webhooks are sent there.
    #[arg(long, value_name = "ADDRESS", requires = "against")]
    sink: Option<String>,
    /// What it was told: lines of NAME=value. Tests that want the same are asked.
    #[arg(long, value_name = "FILE", requires = "against")]
    settings: Option<PathBuf>,
    /// The `aio` that runs the operator's commands; it is built when none is named.
    #[arg(long, value_name = "FILE", requires = "against")]
    program: Option<PathBuf>,
}

/// Tests that are not asked of a system that runs, and why. One that is missing here fails there, and says the same.
pub(super) const NOT_ASKED: [(&str, &[&str]); 4] = [
    ("they kill, stop and start processes", &STOPS),
    (
        "they want settings of their own, or a provider's",
        &SETTINGS,
    ),
    (
        "they read logs, files and what the sandbox was asked",
        &INSIDE,
    ),
    (
        "they take for granted that nobody else is there, and nothing between",
        &ALONE,
    ),
];

const STOPS: [&str; 35] = [
    "abuse::",
    "admin::a_repeated_gift_is_given_once",
    "backup::",
    "cached::an_equal_request_costs_nothing_on_every_route",
    "crash_chat::",
    "crash_media::",
    "crash_storm::",
    "cuts::our_process_dies_behind_each_event",
    "cuts::the_process_between_us_and_the_customer_dies_behind_each_event",
    "degraded::",
    "faults::",
    "heard::a_process_that_dies_in_the_middle_of_a_sound_breaks_it_off",
    "idempotency::a_chat_killed_anywhere_is_charged_for_one_answer",
    "idempotency::a_chat_whose_process_dies_is_given_back_and_its_key_is_free",
    "idempotency::the_same_chat_gets_the_same_answer_across_a_crash",
    "idempotency::the_same_request_gives_the_same_task",
    "keys::a_revoked_key_is_dead_at_once_and_after_a_restart",
    "keys_own::a_command_rotates_a_key_when_nothing_runs",
    "keys_own::a_rotated_key_goes_on_with_another_secret",
    "pages::the_role_serves_the_pages_alone",
    "pages_usage::",
    "rolling::",
    "stages::",
    "start::a_second_process_is_kept_off_the_data",
    "start::a_second_start_keeps_everything_and_prints_no_key",
    "start::commands_work_whether_it_runs_or_not",
    "start::the_operators_key_is_the_one_of_the_first_start",
    "start::the_printed_line_works_as_it_stands",
    "stop::a_follower_of_a_task_does_not_keep_it_from_stopping",
    "stop::a_task_goes_on_after_the_next_start",
    "stop::told_to_stop_it_lets_an_open_stream_end",
    "uploads::a_chat_names_a_file_in_all_three_words_until_it_is_deleted",
    "uploads::without_media_a_chat_that_names_a_file_waits_and_others_go_on",
    "webhooks::an_endpoint_that_hangs_holds_up_nobody_else",
    "webhooks::an_undelivered_callback_is_delivered_after_a_restart",
];

const SETTINGS: [&str; 40] = [
    "browser::",
    "bucket::",
    "callback_url::a_callback_into_a_private_place_is_refused_at_submit",
    "callback_url::inputs_are_looked_at_as_well_and_all_are_named",
    "cuts::the_customer_leaves_behind_each_event",
    "cuts::the_customer_leaves_behind_each_event_of_an_answer_that_is_kept",
    "declared::",
    "egress::",
    "engine::a_callback_after_the_end_changes_nothing",
    "engine::a_callback_hastens_a_look_and_its_copies_change_nothing",
    "engine::nobody_else_can_call_back",
    "errors::a_body_that_is_too_large_is_413",
    "fal::",
    "fallback::a_provider_that_fails_is_followed_by_another_model_of_another_provider",
    "files::a_link_ends_with_its_output",
    "inputs::a_provider_fetches_what_a_task_names_until_it_is_deleted",
    "inputs::the_sandbox_fetches_what_a_task_names_or_reads_what_comes_inline",
    "keys_limits::an_account_has_its_open_tasks",
    "keys_limits::an_accounts_limits_hold_for_its_keys_together",
    "leaving::",
    "media::a_busy_provider_is_asked_again",
    "media::openais_shape_has_the_pictures_and_costs_what_the_task_costs",
    "natives::what_a_maker_has_against_us_is_not_told",
    "orders::a_pack_is_bought_and_given_back",
    "orders::a_payment_and_its_refund_are_told_once_each",
    "orders::events_in_disorder_credit_once_and_reverse_once",
    "orders::what_was_spent_before_a_refund_is_owed",
    "own_models::",
    "pages_credits::",
    "pages_leaks::no_page_tells_what_is_anothers",
    "pages_operator::",
    "provider::",
    "rebinding::",
    "start::a_setting_that_cannot_be_read_is_named",
    "strangers::",
    "traces::",
    "transcriptions::what_cannot_be_heard_is_refused_and_costs_nothing",
    "uploads::a_provider_is_sent_the_bytes_and_no_id",
    "uploads::files_end_with_their_time",
    "uploads::files_have_their_limits",
];

const INSIDE: [&str; 6] = [
    "canaries::",
    "doctor::",
    "engine::a_provider_that_bills_more_than_it_should_is_noticed",
    "orders::codes_are_made_redeemed_and_revoked",
    "start::health_is_told_on_both_listeners_and_metrics_on_the_admins",
    "start::what_is_on_the_disk_is_the_owners_alone",
];

const ALONE: [&str; 7] = [
    "admin::accounts_are_made_and_listed",
    "admin::the_audit_is_told_with_its_figures",
    "made_up::",
    "keys::a_key_may_be_bound_to_models_and_addresses",
    "keys_own::a_customer_makes_lists_changes_and_revokes_keys",
    "pages_door::",
    "transcriptions::where_its_maker_fails_who_resells_it_is_asked",
];

// === impl Against ===

impl Against {
    /// Whether a system was named.
    pub(super) const fn is_named(&self) -> bool {
        self.against.is_some()
    }

    /// Whether `aio` has to be built.
    pub(super) const fn needs_program(&self) -> bool {
        self.program.is_none()
    }

    /// What tests are told of it.
    pub(super) fn environment(&self) -> anyhow::Result<Vec<(String, String)>> {
        let key = self.operator_key.as_deref().map(whole).transpose()?;
        let settings = self.settings.as_deref().map(whole).transpose()?;
        let program = self.program.as_deref().map(whole).transpose()?;
        let told = [
            ("AIO_TEST_EDGE", self.against.clone()),
            ("AIO_TEST_PAGES", self.pages.clone()),
            ("AIO_TEST_OPERATOR_KEY_FILE", key),
            ("AIO_TEST_SINK", self.sink.clone()),
            ("AIO_TEST_SETTINGS", settings),
            ("AIO_TEST_BINARY", program),
        ];
        let told = told
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Ok(told.collect())
    }
}

/// Tests run in the folder of their package.
fn whole(path: &Path) -> anyhow::Result<String> {
    let whole = path.canonicalize();
    let whole = whole.with_context(|| format!("cannot find {}", path.display()))?;
    Ok(whole
        .to_str()
        .context("a path that is not text")?
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_not_asked_is_there_and_hits_nothing_else() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../e2e/tests/it");
        let rooms: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| {
                let name = entry.unwrap().file_name().into_string().unwrap();
                Some(name.strip_suffix(".rs")?.to_owned())
            })
            .collect();
        let all: Vec<&str> = NOT_ASKED
            .iter()
            .flat_map(|(_, those)| *those)
            .copied()
            .collect();
        for pattern in &all {
            let (room, test) = pattern.split_once("::").unwrap();
            assert!(rooms.iter().any(|known| known == room), "{pattern}");
            let text = fs::read_to_string(format!("{folder}/{room}.rs")).unwrap();
            assert!(text.contains(&format!("fn {test}")), "{pattern}");
            // The runners look for these words anywhere in a name.
            let hit = rooms
                .iter()
                .filter(|known| *known != room && known.ends_with(room));
            for other in hit.filter(|_| test.is_empty()) {
                assert!(
                    all.contains(&&*format!("{other}::")),
                    "{pattern} hits {other}"
                );
            }
        }
    }
}
