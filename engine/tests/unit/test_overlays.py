"""`config/environments/NAME.yaml` changes what differs in an environment, and nothing else."""

from pathlib import Path

import pytest
from pydantic import Field

from goldpath.contract import ContractError, load_contract
from goldpath.jobs.upkeep.status import project_status
from goldpath.overlay import OverlayError
from goldpath.project import Project
from goldpath.settings import Section, Settings, SettingsError, load_settings

KEY = "0123456789abcdef0123456789abcdef"


class Offers(Section):
    call_from: float = Field(default=0.6, le=1)
    calls: int = 10


def overlay(settings: Settings, text: str, name: str = "staging.yaml") -> Path:
    file = settings.root / "config" / "environments" / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture
def staging(project: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MLOPS_ENVIRONMENT", "staging")
    monkeypatch.setenv("MLOPS_SERVING__API_KEY", KEY)
    return project


def test_the_environments_file_stands_over_config_and_under_variables(
    staging: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Project(sections={"offers": Offers})
    before = load_settings(staging.root, own)
    overlay(
        staging,
        "lake: {memory: 3GB, rows_at_once: 7}\n"
        "serving: {port: 8111}\n"
        "offers: {calls: 3}\n"
        "aws: {bucket: churn-staging}\n",
    )
    monkeypatch.setenv("MLOPS_LAKE__ROWS_AT_ONCE", "9")

    settings = load_settings(staging.root, own)

    assert (settings.lake.memory, settings.lake.rows_at_once) == ("3GB", 9)
    assert settings.serving.port == 8111
    assert settings.lake.snapshot_days == before.lake.snapshot_days
    assert settings.section(Offers) == Offers(calls=3)
    assert settings.aws is not None
    assert before.aws is not None
    assert settings.aws == before.aws.model_copy(update={"bucket": "churn-staging"})


def test_another_environment_reads_another_file(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    overlay(project, "lake: {memory: 3GB}")
    overlay(project, "lake: {memory: 2GB}", "development.yaml")
    overlay(project, "# nothing yet", "production.yaml")

    assert load_settings(project.root).lake.memory == "2GB"
    monkeypatch.setenv("mlops_environment", "production")
    monkeypatch.setenv("MLOPS_SERVING__API_KEY", KEY)
    assert load_settings(project.root).lake.memory == project.lake.memory


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lake: {memroy: 3GB}", r"lake\.memroy \(config/environments/staging\.yaml:1\): unknown"),
        ("lake: {rows_at_once: 0}", r"rows_at_once=0 \(config/environments/staging\.yaml:1\)"),
        ("lkae: {memory: 3GB}", r"staging\.yaml: lkae is no section .*did you mean lake"),
        ("environment: {name: x}", r"staging\.yaml: environment is no section"),
        ("tracking_uri: {x: y}", r"staging\.yaml: tracking_uri is no section"),
        ("lake: 3GB", r"staging\.yaml: lake holds '3GB', not settings"),
        ("- lake", r"staging\.yaml holds a list, not sections"),
        ("lake: {", r"staging\.yaml is not valid YAML"),
    ],
)
def test_what_no_setting_reads_is_refused_and_the_file_named(
    staging: Settings, text: str, said: str
) -> None:
    overlay(staging, text)
    with pytest.raises((OverlayError, SettingsError), match=said):
        load_settings(staging.root)


def test_an_error_of_another_file_still_names_that_file(staging: Settings) -> None:
    overlay(staging, "lake: {memory: 3GB}")
    (staging.root / "config" / "lake.yaml").write_text("bakend: aws\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"lake\.bakend \(config/lake\.yaml:\d+\): unknown key"):
        load_settings(staging.root)


def test_a_file_of_no_environment_is_refused(project: Settings) -> None:
    overlay(project, "lake: {memory: 3GB}", "prod.yaml")
    with pytest.raises(OverlayError, match=r"environments/prod\.yaml is of no environment"):
        load_settings(project.root)


def test_an_unknown_environment_is_refused_by_its_own_name(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    overlay(project, "lake: {memory: 3GB}")
    monkeypatch.setenv("MLOPS_ENVIRONMENT", "../environments/staging")
    with pytest.raises(SettingsError, match=r"environment='\.\./environments/staging'"):
        load_settings(project.root)


def test_an_environment_has_a_source_of_its_own(staging: Settings) -> None:
    before = load_contract(staging.root)
    overlay(staging, "source: {path: 's3://churn-staging/raw/', encoding: latin-1}")

    contract = load_contract(staging.root)

    assert (contract.source.path, contract.source.encoding) == (
        "s3://churn-staging/raw/",
        "latin-1",
    )
    assert contract.features == before.features
    overlay(staging, "source: {query: 'SELECT * FROM customers'}")
    assert load_contract(staging.root).source.name == "query on $MLOPS_SOURCE_URL"


def test_a_source_that_is_none_names_the_file(staging: Settings) -> None:
    overlay(staging, "source: {pfad: x}")
    with pytest.raises(ContractError, match=r"environments/staging\.yaml: source\.pfad: Extra"):
        load_contract(staging.root)


def test_status_says_which_settings_the_environment_changes(
    project: Settings,
) -> None:
    contract = load_contract(project.root)
    assert project_status(project, contract).environment == "development"
    overlay(project, "lake: {memory: 2GB}\nserving: {port: 8111}\n", "development.yaml")
    assert project_status(project, contract).environment == (
        "development; config/environments/development.yaml changes lake.memory, serving.port"
    )
