"""Messages that name a page or a setting: the page is there, and the setting's price is said."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from goldpath.jobs.promotion.promote import _way_out
from goldpath.judging.segments.checks import WAYS_OUT
from goldpath.judging.validation_report import ValidationReport, ValidationResult, ValidationStatus
from goldpath.services.prometheus_server import pages_of


@pytest.mark.parametrize(
    ("version", "pages"),
    [("2.42.0+ds (branch: debian/sid)", "/classic"), ("3.5.0 (branch: HEAD)", "")],
)
def test_prometheus_pages_are_those_of_the_installed_version(
    tmp_path: Path, version: str, pages: str
) -> None:
    program = tmp_path / "prometheus"
    program.write_text(f"#!/bin/sh\necho 'prometheus, version {version}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)

    assert pages_of(str(program)) == pages
    assert pages_of(str(tmp_path / "nothing")) == ""


def report(*results: ValidationResult) -> ValidationReport:
    return ValidationReport("small", "1", 100, datetime.now(UTC), results)


def test_refusal_for_too_few_rows_names_the_setting_and_its_price() -> None:
    few = ValidationResult(
        "enough test rows", ValidationStatus.NOT_ENOUGH_DATA, "100 test rows, 200 needed", 100, 200
    )
    other = ValidationResult("better than nothing", ValidationStatus.FAILED, "it is not")

    assert "training.minimum_test_rows" in _way_out(report(other, few))
    assert "within 8 points" in _way_out(report(few))
    assert _way_out(report(other)).startswith("bring more data or trials")


def test_refusal_of_segments_names_what_decides_about_them() -> None:
    name = "segments are large enough"
    small = ValidationResult(name, ValidationStatus.FAILED, "too small", fix=WAYS_OUT[name])

    assert "training.clusters" in _way_out(report(small))
    assert "smallest_share" in _way_out(report(small))
