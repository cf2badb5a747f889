"""What the DAGs know of the project: written by `describe`, and refused where it is stale."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from goldpath.cli.app import run
from goldpath.contract import load_contract
from goldpath.errors import CheckFailedError
from goldpath.handed_over import ProjectDefinitionError
from goldpath.jobs import orchestration
from goldpath.jobs.orchestration import (
    OrchestrationError,
    dags_state,
    describe,
    require_current,
    write_description,
)
from goldpath.jobs.training.steps import (
    evaluate_candidate,
    extract,
    prepare_features,
    register_candidate,
    search_and_fit,
)
from goldpath.jobs.training.work import TrainingWork
from goldpath.project import Model, Project
from goldpath.settings import AirflowSettings, Settings, SettingsError, load_settings

from ..locations import PROJECT

SOURCE = """
source: {path: payments.csv}
entity: client
event_time: {column: paid_at}
key: payment_id
columns: [{name: amount, type: number}]
"""


def weigh(work: TrainingWork) -> None:
    """A step before the search."""


def announce(work: TrainingWork) -> None:
    """A step after the version is registered."""


def own_steps() -> Model:
    return Model(
        training=(
            extract,
            prepare_features,
            weigh,
            search_and_fit,
            evaluate_candidate,
            register_candidate,
            announce,
        )
    )


@pytest.fixture
def dags(project: Settings) -> Path:
    """The project's DAGs, and what they know of it, which is up to date."""
    shutil.copytree(PROJECT / "airflow", project.root / "airflow")
    write_description(project, load_contract(project.root))
    return project.root / "airflow" / "dags"


def settings_of(root: Path, model: object = None) -> Settings:
    models = {} if model is None else {"churn": model}
    return load_settings(root, Project(name="churn", models=models))  # type: ignore[arg-type]


def test_the_engines_own_stages_are_described_where_the_project_has_no_steps(
    dags: Path, project: Settings
) -> None:
    description = describe(project, load_contract(project.root))
    assert [(each.task, tuple(each.command)) for each in description.training] == [
        (stage, ("training", stage))
        for stage in ("extract", "features", "train", "evaluate", "register")
    ]
    assert description.sources == []


def test_a_step_of_ones_own_is_a_task_in_its_place(dags: Path, project: Settings) -> None:
    own = settings_of(project.root, own_steps)
    commands = {
        each.task: list(each.command)
        for each in describe(own, load_contract(project.root)).training
    }
    assert list(commands) == [
        *("extract", "features", "weigh", "train", "evaluate", "register", "announce"),
    ]
    assert commands["weigh"] == ["training", "run-step", "weigh"]
    # `training register` does the steps after it, too; here each has a task.
    assert commands["register"] == ["training", "run-step", "register_candidate"]
    assert commands["announce"] == ["training", "run-step", "announce"]


def test_a_step_may_not_have_the_name_of_another_task(project: Settings) -> None:
    def data(work: TrainingWork) -> None: ...

    others = (extract, prepare_features, search_and_fit, evaluate_candidate, register_candidate)
    own = settings_of(project.root, lambda: Model(training=(data, *others)))
    with pytest.raises(ProjectDefinitionError, match="is taken"):
        describe(own, load_contract(project.root))


def test_describing_twice_writes_once(dags: Path, project: Settings) -> None:
    contract = load_contract(project.root)
    (dags / "pipeline.json").unlink()
    assert write_description(project, contract).state == "written"
    assert write_description(project, contract).state == "up to date"
    assert require_current(project, contract).state == "up to date"
    assert dags_state(project, contract) == "up to date"
    assert sorted(file.suffix for file in dags.glob("pipeline*")) == [".json"]


def test_a_stale_description_is_refused_and_says_what_is_stale(
    dags: Path, project: Settings
) -> None:
    contract = load_contract(project.root)
    own = settings_of(project.root, own_steps)
    with pytest.raises(CheckFailedError, match=r"not up to date: .*training") as refused:
        require_current(own, contract)
    assert "make describe" in refused.value.fix
    assert "make describe" in dags_state(own, contract)

    (project.root / "config" / "sources").mkdir()
    (project.root / "config" / "sources" / "payments.yaml").write_text(SOURCE)
    with pytest.raises(CheckFailedError, match="not up to date: sources"):
        require_current(project, contract)
    assert list(write_description(project, contract).sources) == ["payments"]
    assert dags_state(project, contract) == "up to date"


def test_adopting_a_file_tells_the_dags(
    dags: Path,
    project: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(project.root)
    rows = [f"k{row},{row % 7},{'yes' if row % 3 else 'no'}" for row in range(60)]
    (project.root / "shop.csv").write_text("\n".join(["code,visits,bought", *rows]))
    adopting = ["adopt", "--data", "shop.csv", "--target", "bought"]
    with pytest.raises(SystemExit, match="0"):
        run(Project(name="churn"), adopting)
    assert "pipeline.json was updated" in capsys.readouterr().out
    assert json.loads((dags / "pipeline.json").read_text())["dataset"] == "shop"

    shutil.rmtree(project.root / "airflow")
    with pytest.raises(SystemExit, match="0"):
        run(Project(name="churn"), adopting)
    assert "pipeline.json" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "is missing"), ("{", "is not JSON"), ("[]", "holds a list, not an object")],
)
def test_a_broken_description_is_named(
    dags: Path, project: Settings, content: str | None, said: str
) -> None:
    (dags / "pipeline.json").unlink()
    if content is not None:
        (dags / "pipeline.json").write_text(content)
    with pytest.raises(CheckFailedError, match=said):
        require_current(project, load_contract(project.root))


def test_a_project_without_dags_is_told_so(project: Settings) -> None:
    contract = load_contract(project.root)
    assert dags_state(project, contract) == "no DAGs"
    with pytest.raises(OrchestrationError, match="no folder airflow/dags"):
        write_description(project, contract)


def test_a_schedule_of_no_dag_is_refused_with_the_dags_that_there_are(
    dags: Path, project: Settings
) -> None:
    (dags / "weekly.py").write_text('with dag("weekly_letter", __doc__, tags=[]):\n    ...\n')
    write(project, "schedules: {weekly_letter: '@weekly', ml_trainig_pipeline: '@daily'}\n")
    settings = load_settings(project.root)
    with pytest.raises(OrchestrationError, match="ml_trainig_pipeline: @daily") as refused:
        write_description(settings, load_contract(project.root))
    assert "ml_training_pipeline" in refused.value.fix
    assert "weekly_letter" in refused.value.fix


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("schedules: {data_pipeline: daily}", "data_pipeline: 'daily' is no schedule"),
        ("schedules: {data_pipeline: '* * * *'}", "five cron fields"),
        ("schedules: {data_pipeline: '0 4 * * 1; ls'}", "is no schedule"),
        ("schedules: {data_pipeline: '61 4 * * 1'}", "has the minute 61; it is 0 to 59"),
        ("schedules: {data_pipeline: '0 4,24 * * *'}", "has the hour 24; it is 0 to 23"),
        ("schedules: {data_pipeline: '*/5 4 0-7 * *'}", "day of the month 0; it is 1 to 31"),
        ("schedules: {data_pipeline: '0 4 1 JAN-13 *'}", "has the month 13; it is 1 to 12"),
        ("schedules: {data_pipeline: '0 4 * * 8#2'}", "day of the week 8; it is 0 to 7"),
        ("catchup: true", "start_date"),
        ("retrys: 3", "did you mean retries"),
        ("retries: -1", "airflow.retries=-1"),
    ],
)
def test_a_wrong_setting_names_key_value_and_fix(project: Settings, text: str, said: str) -> None:
    write(project, f"{text}\n")
    with pytest.raises(SettingsError, match=said):
        load_settings(project.root)


def test_schedules_may_be_presets_or_cron(project: Settings) -> None:
    crons = "b: '30 4 * * 1-5', c: '*/15 0 1 JAN sun', d: '59 23 31 12 5#2'"
    write(project, f"schedules: {{a: '@daily', {crons}}}\n")
    assert list(load_settings(project.root).airflow.schedules) == ["a", "b", "c", "d"]


def test_a_variable_that_the_dags_would_not_read_is_refused(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_AIRFLOW__RETRIES", "7")
    with pytest.raises(SettingsError, match=r"MLOPS_AIRFLOW__RETRIES.*config/airflow\.yaml"):
        load_settings(project.root)


def test_the_shipped_settings_are_the_defaults() -> None:
    shipped = yaml.safe_load((PROJECT / "config" / "airflow.yaml").read_text())
    assert AirflowSettings(**{**shipped, "owner": ""}) == AirflowSettings()


def test_the_shipped_dags_know_this_engines_parameters() -> None:
    shipped = json.loads((PROJECT / "airflow" / "dags" / "pipeline.json").read_text())
    assert shipped["parameters"] == orchestration._parameters()


@pytest.mark.parametrize(("arguments", "code"), [([], 0), (["--check"], 1)])
def test_the_command_writes_or_only_checks(
    dags: Path,
    project: Settings,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
) -> None:
    monkeypatch.chdir(project.root)
    (dags / "pipeline.json").write_text("{}")
    with pytest.raises(SystemExit) as ended:
        run(Project(name="churn"), ["describe", *arguments, "--json"])
    assert ended.value.code == code
    assert ((dags / "pipeline.json").read_text() == "{}") == bool(arguments)


def write(project: Settings, text: str) -> None:
    (project.root / "config" / "airflow.yaml").write_text(text)


@pytest.mark.parametrize("chosen_by", ["file", "variable"])
def test_check_says_that_a_runner_keeps_no_folders_and_how_to_mend_it(
    dags: Path, project: Settings, monkeypatch: pytest.MonkeyPatch, chosen_by: str
) -> None:
    file = project.root / "config" / "airflow.yaml"
    text = file.read_text().replace("# docker: {", "docker: {")
    if chosen_by == "file":
        text = text.replace("runner: local", "runner: docker")
    else:
        monkeypatch.setenv("PIPELINE_RUNNER", "docker")
    file.write_text(text)
    contract = load_contract(project.root)
    said = dags_state(load_settings(project.root), contract)
    assert said.startswith("up to date; the runner docker leaves reports/ and audit/ in each ended")
    assert "ml_drift_monitoring is refused" in said
    assert "drift_check of ml_batch_inference_pipeline judges each run without the former" in said
    assert "volumes for reports/ and audit/ and set docker.shared_folders: true in config" in said

    file.write_text(text.replace("docker: {", "docker: {shared_folders: true, "))
    assert dags_state(load_settings(project.root), contract) == "up to date"
