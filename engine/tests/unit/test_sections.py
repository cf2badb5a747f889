"""A project adds sections of its own; every error says which key, which value and where."""

import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, SecretStr

from goldpath.cli.definitions import check
from goldpath.project import Project, run_as
from goldpath.services.alerting.configuration import RULES
from goldpath.settings import (
    LakeSettings,
    Section,
    Settings,
    SettingsError,
    load_settings,
    unread_files,
)
from goldpath.settings.section import section_class, section_file

from ..locations import ENGINE, PROJECT

DOCUMENT = (ENGINE / "docs" / "settings.md").read_text("utf-8")


class ChurnSettings(Section):
    """What a project may want to configure."""

    call_cost: float = Field(default=4, gt=0)
    regions: tuple[str, ...] = ()
    token: SecretStr = SecretStr("")


class Required(Section):
    """A section that is of no use without its key."""

    config_file = "campaign.yaml"

    budget: int


CHURN = Project(name="churn", sections={"churn": ChurnSettings})


def test_a_section_of_the_project_is_read_typed_from_its_file_and_the_environment(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, "churn.yaml", "call_cost: 6\nregions: [north]\n")
    monkeypatch.setenv("MLOPS_CHURN__CALL_COST", "7.5")

    churn = load_settings(project.root, CHURN).section(ChurnSettings)

    assert (churn.call_cost, churn.regions) == (7.5, ("north",))


def test_settings_carry_the_project_that_this_process_runs(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("goldpath.project._running", Project())
    assert load_settings(project.root).project == Project()

    run_as(CHURN)

    assert load_settings(project.root).project is CHURN
    assert load_settings(project.root).section(ChurnSettings) == ChurnSettings()


def test_a_section_without_file_and_variables_has_its_defaults(project: Settings) -> None:
    assert load_settings(project.root, CHURN).section(ChurnSettings) == ChurnSettings()


def test_the_engines_sections_are_found_by_their_class_too(project: Settings) -> None:
    assert project.section(LakeSettings) is project.lake


def test_a_section_that_was_not_handed_over_is_named(project: Settings) -> None:
    with pytest.raises(SettingsError, match=r"no section ChurnSettings\n.*project\.py"):
        project.section(ChurnSettings)


def test_settings_carry_the_projects_sections_through_a_copy_and_into_a_process(
    project: Settings,
) -> None:
    settings = load_settings(project.root, CHURN)
    assert settings.project.definitions.families == ()  # made here, and not sent along
    copy = settings.model_copy(update={"environment": "staging"})

    assert copy.section(ChurnSettings) == ChurnSettings()
    assert copy.project is CHURN
    carried = pickle.loads(pickle.dumps(settings))  # noqa: S301  our own bytes
    assert carried.section(ChurnSettings) == ChurnSettings()
    assert carried.project == CHURN


def test_an_unknown_key_names_its_file_and_the_key_that_was_meant(project: Settings) -> None:
    write(project, "churn.yaml", "call_cots: 6\n")

    with pytest.raises(SettingsError) as caught:
        load_settings(project.root, CHURN)

    assert "churn.call_cots (config/churn.yaml:1): unknown key, did you mean call_cost?" in str(
        caught.value
    )


def test_an_unknown_variable_of_a_section_is_refused_by_its_name(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_CHURN__COST", "6")

    with pytest.raises(SettingsError, match=r"churn\.cost \(MLOPS_CHURN__COST\): unknown key"):
        load_settings(project.root, CHURN)


def test_a_wrong_value_is_shown_with_the_file_or_the_variable_that_set_it(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, "churn.yaml", "call_cost: -1\n")
    with pytest.raises(SettingsError, match=r"churn\.call_cost=-1 \(config/churn\.yaml:1\): "):
        load_settings(project.root, CHURN)

    monkeypatch.setenv("MLOPS_SERVING__PORT", "eighty")
    with pytest.raises(SettingsError, match=r"serving\.port='eighty' \(MLOPS_SERVING__PORT\): "):
        load_settings(project.root, CHURN)


def test_no_secret_is_shown_in_an_error(project: Settings) -> None:
    write(project, "churn.yaml", "token: 123456789\n")

    with pytest.raises(SettingsError, match=r"churn\.token") as caught:
        load_settings(project.root, CHURN)

    assert "123456789" not in str(caught.value)


def test_a_missing_key_says_where_it_may_be_set(project: Settings) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(project.root, Project(sections={"campaign_plan": Required}))

    assert "campaign_plan.budget: Field required" in str(caught.value)
    assert "config/campaign.yaml or MLOPS_CAMPAIGN_PLAN__BUDGET" in str(caught.value)


def test_a_file_that_is_no_yaml_is_named(project: Settings) -> None:
    write(project, "lake.yaml", "backend: [local\n")
    with pytest.raises(SettingsError, match=r"config/lake\.yaml is not valid YAML"):
        load_settings(project.root)

    write(project, "lake.yaml", "- local\n")
    with pytest.raises(SettingsError, match=r"config/lake\.yaml holds a list"):
        load_settings(project.root)


def test_a_variable_that_is_no_json_is_named(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_CARD__TAGS", "churn, telecom")

    with pytest.raises(SettingsError, match="MLOPS_CARD__TAGS is not valid JSON"):
        load_settings(project.root)


def test_keys_that_contradict_each_other_name_every_place_that_set_them(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_SERVING__TLS_KEY", "key.pem")

    with pytest.raises(SettingsError) as caught:
        load_settings(project.root)

    assert (
        "serving (MLOPS_SERVING__TLS_KEY, config/serving.yaml): "
        "tls_certificate and tls_key belong together" in str(caught.value)
    )


@pytest.mark.parametrize("name", ["lake", "root", "section", "reports", "model_config"])
def test_a_section_may_not_take_a_name_of_the_engines(project: Settings, name: str) -> None:
    with pytest.raises(SettingsError, match=rf"already have '{name}'"):
        load_settings(project.root, Project(sections={name: ChurnSettings}))


@pytest.mark.parametrize("name", ["Churn", "call__cost", "_churn", "2nd", "call-cost", ""])
def test_a_name_that_no_variable_can_have_is_refused(project: Settings, name: str) -> None:
    with pytest.raises(SettingsError, match="cannot name a section"):
        load_settings(project.root, Project(sections={name: ChurnSettings}))


def test_a_class_that_is_no_section_is_refused(project: Settings) -> None:
    with pytest.raises(SettingsError, match=r"'churn' is <class 'dict'>, not a subclass"):
        load_settings(project.root, Project(sections={"churn": dict}))  # type: ignore[dict-item]


def test_the_document_names_every_section_and_its_file() -> None:
    table = dict(re.findall(r"^\| `(\w+)` \| `(config/\w+\.yaml)` \|", DOCUMENT, re.MULTILINE))

    assert table == {
        name: section_file(name, section)
        for name, field in Settings.model_fields.items()
        if (section := section_class(field))
    }


def test_the_documents_example_runs(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    monkeypatch.chdir(project.root)
    write(project, "campaign.yaml", "calls: 200\n")
    values: dict[str, Any] = {"__name__": "campaign"}

    exec(compile(example, "docs/settings.md", "exec"), values)  # noqa: S102  our own page

    assert (values["campaign"].calls, values["campaign"].call_cost) == (200, 4.0)


def test_each_file_of_config_but_the_contract_fills_one_section(project: Settings) -> None:
    sections = {
        section_file(name, section)
        for name, field in Settings.model_fields.items()
        if (section := section_class(field))
    }
    files = {f"config/{file.name}" for file in (project.root / "config").glob("*.yaml")}

    assert files - sections == {"config/project.yaml"}
    assert sections - files == {"config/servers.yaml"}  # ports, set by variables alone


def test_a_file_of_config_that_nothing_reads_is_said(project: Settings) -> None:
    assert unread_files(load_settings(project.root, CHURN)) == ()
    for name in ("churn.yaml", "trainning.yaml", "lake.yml", "prices.yaml"):
        write(project, name, "{}")

    assert unread_files(load_settings(project.root, CHURN)) == (
        "the engine does not read config/lake.yml; did you mean lake.yaml?",
        "the engine does not read config/prices.yaml",
        "the engine does not read config/trainning.yaml; did you mean training.yaml?",
    )


def test_check_says_what_nothing_reads_and_whose_alert_there_is_not(
    project: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(project.root))
    monkeypatch.setenv("MLOPS_MONITORING__ALERTS__OWNERS", '{"DriftDetectd": "us"}')
    shutil.copytree(PROJECT / RULES, project.root / RULES, dirs_exist_ok=True)
    write(project, "trainning.yaml", "{}")

    check(as_json=True)

    said = " ".join(capsys.readouterr().err.split())
    assert "does not read config/trainning.yaml" in said
    assert "alerts.owners names DriftDetectd" in said


def write(project: Settings, name: str, text: str) -> None:
    Path(project.root / "config" / name).write_text(text, "utf-8")
