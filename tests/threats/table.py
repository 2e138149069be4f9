"""The threats, the tests that prove each control, and those that show that such a test fails without the control.

A test is named by its file under `tests/` and its function. `test_table.py` sees to it that all of them exist.
"""

from __future__ import annotations

from typing import Final, NamedTuple

_WITHOUT: Final = "threats/test_without_controls.py::"
_ATTACKS: Final = "threats/test_attacks.py::"
_GRANTS: Final = "threats/test_every_grant_is_an_event.py::"
_SIGN_IN: Final = "threats/test_without_controls_of_sign_in.py::"


class Threat(NamedTuple):
    """`without`: tests in which the control is taken out and the attack succeeds."""

    words: str
    proved: tuple[str, ...]
    without: tuple[str, ...]


THREATS: Final = {
    "T1": Threat(
        "a client gets what the person gave another one (confused deputy)",
        (
            "edge/test_consent_pages.py::test_nobody_answers_in_the_place_of_the_person",
            "edge/test_consent_pages.py::test_a_request_that_was_begun_in_another_browser_is_not_even_looked_at",
            "journeys/test_oauth_clients.py::"
            "test_another_client_with_the_persons_session_has_to_ask_again_and_is_denied",
            "authsvc/test_oauth_server.py::test_only_the_session_that_was_asked_can_answer_and_only_once",
        ),
        (
            _SIGN_IN + "test_t1_without_the_checks_of_the_consent_form",
            _SIGN_IN + "test_t1_without_the_browser_in_which_a_request_was_begun",
        ),
    ),
    "T2": Threat(
        "a token is used where it is not for, or passed on",
        (
            _ATTACKS + "test_a_token_opens_its_own_playbooks_only",
            "edge/test_access_tokens.py::test_a_token_that_was_signed_for_something_else_is_refused",
            "edge/test_access_tokens.py::test_a_header_that_says_anything_else_is_refused",
            "edge/test_access_over_http.py::test_what_goes_on_from_the_edge_holds_no_token",
            "journeys/test_sign_ins.py::test_callers_sign_in_by_links_and_nobody_calls_with_anothers_account",
        ),
        (
            _WITHOUT + "test_t2_without_the_look_at_what_a_token_opens",
            _SIGN_IN + "test_t2_without_the_audience_of_an_access_token",
            _SIGN_IN + "test_t2_without_the_type_of_an_access_token",
        ),
    ),
    "T3": Threat(
        "requests of ours are led to private addresses",
        (
            "platform/test_egress.py::test_a_private_host_in_any_spelling_is_not_reached",
            "platform/test_egress.py::test_a_name_is_resolved_once_and_what_it_means_a_moment_later_is_not_asked",
            "platform/test_egress.py::test_a_connection_of_a_transport_is_vetted_too",
            "platform/test_egress.py::test_a_redirect_is_an_answer_and_not_a_way",
            "kernel/test_addresses.py::test_an_address_that_is_not_of_the_internet_is_refused",
            "authsvc/test_sign_in.py::test_a_token_endpoint_that_moves_inside_gets_nothing",
            "webhooks/test_outgoing.py::"
            "test_an_address_that_is_not_public_is_refused_when_it_is_registered_and_when_it_is_sent_to",
        ),
        (_WITHOUT + "test_t3_without_vetting_addresses",),
    ),
    "T4": Threat(
        "somebody else's session, state or task is taken over",
        (
            "connectors/test_bridge_domain.py::"
            "test_a_sealed_state_opens_for_its_principal_and_request_until_it_expires",
            "connectors/test_task_ids.py::test_to_everybody_else_it_is_an_unknown_task",
            "journeys/test_agents.py::test_a_session_does_not_exist_for_another_token",
            "journeys/test_resume.py::test_nobody_else_hears_the_rest",
        ),
        (
            _WITHOUT + "test_t4_without_the_principal_in_a_sealed_state",
            _WITHOUT + "test_t4_without_the_principal_in_a_task_id",
        ),
    ),
    "T5": Threat(
        "a browser session is planted, ridden on or framed",
        (
            _ATTACKS + "test_a_change_by_cookie_comes_from_our_own_page",
            "authsvc/test_sessions.py::test_signing_in_again_ends_the_session_that_the_browser_had",
            "authsvc/test_sessions.py::test_a_session_that_was_planted_in_a_browser_is_nobodys_after_the_sign_in",
            "api/test_people_api.py::test_a_person_signs_in_changes_things_and_signs_out",
            "edge/test_framing.py::test_no_page_stands_in_a_frame_of_anothers",
            "edge/test_framing.py::test_a_browser_gets_a_session_that_nobody_planted",
        ),
        (
            _WITHOUT + "test_t5_without_the_check_of_the_page_or_of_the_csrf_text",
            _SIGN_IN + "test_t5_without_a_new_session_at_every_sign_in",
            _SIGN_IN + "test_t5_without_the_cookie_of_the_new_session",
            _SIGN_IN + "test_t5_without_what_keeps_pages_out_of_frames",
        ),
    ),
    "T6": Threat(
        "a link to sign in to an upstream is finished by somebody else",
        (
            "authsvc/test_sign_in.py::test_another_browser_cannot_finish_and_the_flow_is_over_then",
            "authsvc/test_sign_in.py::test_another_person_cannot_finish",
            "journeys/test_sign_ins.py::test_a_link_is_followed_by_its_person_alone_and_finished_by_the_browser_that_agreed",
        ),
        (_WITHOUT + "test_t6_without_the_comparison_of_browser_and_person",),
    ),
    "T7": Threat(
        "one authorization server answers for another",
        (
            "authsvc/test_sign_in.py::test_an_answer_of_another_authorization_server_is_not_used",
            "authsvc/test_sign_in.py::test_tokens_of_a_server_that_moved_are_not_sent_to_the_new_place",
            "authsvc/test_sign_in.py::test_given_credentials_are_not_taken_to_another_authorization_server",
        ),
        (_WITHOUT + "test_t7_without_the_comparison_of_issuers",),
    ),
    "T8": Threat(
        "a server changes its tools after they were approved",
        (
            "router/test_drift.py::test_a_changed_description_is_held_and_told_with_both_texts",
            "router/test_drift.py::test_a_definition_whose_former_text_is_not_known_is_held",
            "router/test_drift.py::test_what_was_added_and_accepted_is_held_when_it_changes_also_after_it_was_away",
        ),
        (_WITHOUT + "test_t8_without_the_comparison_with_the_pinned_digest",),
    ),
    "T9": Threat(
        "words of a server are seen by a model and not by a person, or pose as another server's",
        (
            _ATTACKS + "test_a_tool_that_hides_text_from_people_is_quarantined",
            "kernel/test_definition_diff.py::test_each_kind_of_character_that_hides_is_named",
        ),
        (_WITHOUT + "test_t9_without_the_look_for_hidden_text",),
    ),
    "T10": Threat(
        "something crosses organisations",
        (
            "authsvc/test_authsvc_keys.py::test_a_value_opens_in_its_own_place_only",
            "authsvc/test_authsvc_vault.py::test_a_row_moved_to_another_place_does_not_open",
            "kernel/test_permissions.py::test_nothing_crosses_organisations_whoever_asks_for_whatever",
            "api/test_management_api.py::test_a_token_reaches_its_own_organisation_only",
        ),
        (_WITHOUT + "test_t10_without_the_place_in_the_associated_data",),
    ),
    "T11": Threat(
        "a stdio server is any program",
        (
            _ATTACKS + "test_in_production_no_program_runs_that_is_not_listed",
            "connectors/test_stdio_calls.py::test_only_listed_commands_run_and_with_no_environment_that_changes_them",
        ),
        (_WITHOUT + "test_t11_without_a_list_of_programs_variables_and_folders",),
    ),
    "T12": Threat(
        "a page in a browser reaches this machine under a name of its own",
        (
            "edge/test_gate.py::test_other_hosts_are_refused_on_loopback",
            "edge/test_gate.py::test_only_our_own_pages_and_listed_ones_may_call_from_a_browser",
            "journeys/test_refusals.py::test_a_foreign_host_or_origin_is_refused",
        ),
        (_WITHOUT + "test_t12_without_the_checks_of_host_and_origin",),
    ),
    "T13": Threat(
        "headers say something else than the body",
        (
            "edge/test_modern_rules.py::test_a_header_that_differs_or_stands_twice_is_a_mismatch",
            "edge/test_envelope.py::test_a_key_that_stands_twice_is_refused_at_every_depth",
            "connectors/test_http_wire.py::test_a_header_cannot_smuggle_another",
        ),
        (_WITHOUT + "test_t13_without_the_comparison_of_headers_and_body",),
    ),
    "T14": Threat(
        "bodies and heads without an end",
        (
            "edge/test_stalled.py::test_a_client_that_stops_reading_is_cut",
            "edge/test_stalled.py::test_a_head_that_does_not_come_to_its_end_is_not_waited_for",
            "edge/test_stalled.py::test_a_head_is_bounded_in_bytes_and_lines",
            "edge/test_timely.py::test_a_body_that_is_late_ends_its_request",
            "platform/test_egress.py::test_a_body_that_is_too_long_is_cut_off_while_it_comes",
            "connectors/test_http_wire.py::test_a_body_over_the_limit_is_not_read_to_its_end",
        ),
        (
            "edge/test_stalled.py::test_uvicorn_by_itself_would_wait",
            "edge/test_stalled.py::test_uvicorn_by_itself_waits_for_a_head",
            "edge/test_timely.py::test_without_it_the_body_is_waited_for",
        ),
    ),
    "T15": Threat(
        "JSON that is nested without an end",
        (
            "edge/test_envelope.py::test_what_is_not_one_message_is_refused_with_the_right_code",
            "authsvc/test_authsvc_room.py::test_endless_nesting_is_answered_and_survived",
        ),
        (_WITHOUT + "test_t15_without_a_bound_on_depth",),
    ),
    "T16": Threat(
        "schemas that fetch something or take for ever",
        (_ATTACKS + "test_a_schema_has_nothing_fetched", _ATTACKS + "test_no_pattern_takes_long"),
        (_WITHOUT + "test_t16_without_offline_schemas_and_without_a_bound_on_backtracking",),
    ),
    "T17": Threat(
        "an answer that grows when it is unpacked",
        ("platform/test_egress.py::test_a_compressed_body_is_never_unpacked",),
        (_WITHOUT + "test_t17_without_the_refusal_of_encodings",),
    ),
    "T18": Threat(
        "secrets stand in logs, events, errors or exports",
        ("canaries/test_canary_secrets.py::test_no_secret_stands_anywhere_but_where_it_is_sealed",),
        (
            "canaries/test_canary_secrets.py::test_a_secret_is_found_in_every_form_it_may_have",
            # It plants texts in each of the places that it searches, and finds them there.
            "canaries/test_canary_secrets.py::test_no_secret_stands_anywhere_but_where_it_is_sealed",
        ),
    ),
    "T19": Threat(
        "answers or their time tell what there is",
        (
            _ATTACKS + "test_an_account_that_there_is_not_costs_as_much",
            "authsvc/test_sessions.py::test_an_unknown_account_and_a_wrong_password_get_the_same_answer",
        ),
        (_WITHOUT + "test_t19_without_work_for_nobody",),
    ),
    "T20": Threat(
        "refresh tokens are used twice",
        (
            _ATTACKS + "test_many_callers_refresh_once",
            "authsvc/test_sign_in_processes.py::test_a_hundred_callers_in_four_processes_renew_a_token_once",
            "authsvc/test_sign_in_processes.py::test_a_crash_after_the_exchange_is_seen_and_a_person_is_asked",
        ),
        (_WITHOUT + "test_t20_without_the_lease_on_a_grant",),
    ),
    "T21": Threat(
        "a code is stolen, used twice or used without its proof",
        (
            "authsvc/test_oauth_rules.py::test_a_code_is_for_one_client_one_redirect_uri_one_verifier_and_a_minute",
            "authsvc/test_oauth_rules.py::test_only_the_verifier_behind_the_challenge_fits",
            "authsvc/test_oauth_server.py::"
            "test_a_code_that_is_spent_twice_at_once_gives_tokens_once_and_ends_the_grant",
            "authsvc/test_oauth_server.py::test_a_code_is_of_no_use_to_anybody_else",
        ),
        (
            _SIGN_IN + "test_t21_without_pkce_and_without_what_a_code_is_bound_to",
            _SIGN_IN + "test_t21_without_the_update_that_spends_a_code_once",
        ),
    ),
    "T22": Threat(
        "a client registers a way out of its own, or a name that runs",
        (
            "kernel/test_redirect_uris.py::test_no_code_ever_goes_anywhere_else",
            "edge/test_consent_pages.py::test_the_page_says_who_asks_for_what_and_nothing_of_it_runs",
            "authsvc/test_oauth_http.py::test_nobody_is_redirected_to_where_the_client_is_not",
        ),
        (
            _SIGN_IN + "test_t22_without_the_rules_of_redirects",
            _SIGN_IN + "test_t22_without_escaping_what_a_client_says_of_itself",
        ),
    ),
    "T23": Threat(
        "rights that somebody lost go on",
        (
            "kernel/test_permissions.py::test_a_token_may_what_its_scopes_and_its_member_both_may",
            "authsvc/test_members.py::test_the_keys_of_a_demoted_member_shrink_and_every_edge_is_told",
            "api/test_people_api.py::test_a_demoted_and_a_removed_member_lose_everything_within_two_seconds",
            "authsvc/test_members.py::test_a_new_account_does_not_inherit_the_sign_ins_of_an_earlier_one_of_its_name",
            "router/test_policy_views.py::test_what_a_tool_began_is_judged_again_when_it_is_asked_for",
        ),
        (
            _WITHOUT + "test_t23_without_the_rights_of_the_member_behind_a_token",
            "router/test_policy_views.py::test_a_result_that_was_given_out_after_a_denial_would_be_seen",
        ),
    ),
    "T24": Threat(
        "a right is given, or somebody comes in or tries to, and nobody can say who",
        (
            _GRANTS + "test_every_grant_and_its_end_is_in_the_log_with_who_did_it",
            _GRANTS + "test_whoever_comes_in_or_is_refused_is_in_the_log",
            "authsvc/test_refused_callers.py::"
            "test_who_signs_in_is_told_in_the_organisations_of_that_person_and_in_no_other",
            "authsvc/test_refused_callers.py::"
            "test_refused_sign_ins_are_counted_by_account_and_address_and_nothing_that_was_typed_is_kept",
            "edge/test_edge_refusals.py::"
            "test_bad_keys_at_the_api_and_at_an_endpoint_are_told_and_good_ones_cost_nothing",
            "edge/test_edge_refusals.py::test_a_flood_from_everywhere_is_one_short_message",
            "api/test_who_came_in.py::test_an_operator_sees_who_signed_in_and_who_was_refused",
        ),
        (
            _GRANTS + "test_a_grant_that_left_no_event_would_be_seen",
            _GRANTS + "test_a_way_in_that_left_no_event_would_be_seen",
        ),
    ),
    "T25": Threat(
        "a token brings its own key, or none",
        (
            "edge/test_access_tokens.py::test_a_header_that_says_anything_else_is_refused",
            "edge/test_access_tokens.py::test_an_embedded_key_does_not_vouch_for_itself",
            "edge/test_access_tokens.py::test_no_signature_and_a_signature_with_the_public_key_as_secret_are_refused",
            "edge/test_access_over_http.py::test_keys_are_rotated_under_traffic_without_a_refusal",
            "edge/test_access_over_http.py::test_a_key_that_is_gone_takes_its_tokens_with_it",
        ),
        (
            _SIGN_IN + "test_t25_without_the_signature",
            _SIGN_IN + "test_t25_without_the_refusal_of_other_headers",
        ),
    ),
}
