"""The rooms whose modules are changed, and the tests that should notice it."""

from dataclasses import dataclass
from pathlib import Path

ENGINE = Path(__file__).resolve().parents[1]
SOURCE = ENGINE / "src" / "goldpath"


@dataclass(frozen=True)
class Room:
    """Modules, and the tests that should notice a change of them, quick ones first."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


ROOMS = {
    "access": Room(
        ("serving/access/*.py",),
        (
            *("unit/test_client_table.py", "unit/test_access_store.py", "unit/test_passwords.py"),
            *("unit/test_access_clients.py", "unit/test_access_asked_again.py"),
            *("unit/test_tokens.py", "unit/test_limits.py"),
            *("unit/test_login.py", "unit/test_admin_routes.py"),
            *("unit/test_closed_by_default.py", "unit/test_identity_of_others.py"),
            *("api/test_lane_credentials.py", "api/test_identity_provider.py"),
            *("api/test_forwarding.py", "api/test_access.py", "api/test_access_processes.py"),
        ),
    ),
    "lane": Room(
        ("serving/lane/*.py",),
        (
            *(
                "unit/test_lane_reading.py",
                "unit/test_lane_flow.py",
                "unit/test_lane_trail.py",
                "unit/test_lane_connection.py",
                "unit/test_lane_decisions.py",
                "unit/test_lane_model.py",
                "unit/test_lane_batches.py",
                "unit/test_computed_columns.py",
                "unit/test_forecast_requests.py",
                "unit/test_batching.py",
                "unit/test_request_heads.py",
                "unit/test_lane_turn.py",
                "api/test_upgrades.py",
                "api/test_lane_credentials.py",
            ),
            *("api/test_fast_lane.py", "api/test_lane_protocol.py", "api/test_batch_rows.py"),
            *("api/test_long_bodies.py", "api/test_decoder_fuzz.py", "api/test_domains.py"),
            *("api/test_request_trail.py", "api/test_hostile_requests.py"),
            *("api/test_lane_by_key.py", "api/test_windows_by_key.py", "api/test_answer_fields.py"),
            *("api/test_row_features.py", "api/test_predictions.py", "api/test_decisions.py"),
            "api/test_late_app.py",
        ),
    ),
    "trust": Room(
        ("trust/*.py",),
        (
            *("unit/test_pickle_scan.py", "unit/test_signatures.py", "unit/test_audit_log.py"),
            *("unit/test_audit_reading.py", "unit/test_signing_keys.py", "unit/test_signing.py"),
            *("unit/test_audit.py", "integration/test_stored_types.py"),
            *("integration/test_signed_versions.py", "integration/test_foreign_models.py"),
            "integration/test_registry_cli.py",
        ),
    ),
    "gate": Room(
        (
            *("judging/validation.py", "judging/validators.py", "judging/checks.py"),
            *("judging/champion.py", "judging/own_checks.py"),
        ),
        (
            *("unit/test_champion_comparison.py", "unit/test_plain_checks.py"),
            "unit/test_validation.py",
            "unit/test_validation_statistics.py",
            *("unit/test_ways_out.py", "unit/test_gates.py", "unit/test_decided_comparison.py"),
            *("unit/test_group_thresholds.py", "integration/test_validation_tutorial.py"),
        ),
    ),
    "promotion": Room(
        ("jobs/promotion/*.py",),
        (
            *("unit/test_promotion_state.py", "unit/test_promotion_views.py"),
            "unit/test_plain_checks.py",
            *("unit/test_former_champion.py", "unit/test_promotion_outcomes.py"),
            "unit/test_ways_out.py",
            *("integration/test_registry_life.py", "integration/test_registry_races.py"),
            *("integration/test_registry_cli.py", "integration/test_signed_versions.py"),
            *("integration/test_traffic_command.py", "integration/test_gates_in_a_promotion.py"),
            "api/test_operations.py",
        ),
    ),
}


def tests_in(room: str) -> list[str]:
    """The room's files of tests, below the engine."""
    return [f"tests/{name}" for name in ROOMS[room].tests]


def read(module: str) -> str:
    """The text of a module below `src/goldpath`."""
    return (SOURCE / module).read_text(encoding="utf-8")
