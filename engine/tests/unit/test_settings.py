"""Settings come from files, the environment wins, and unsafe secrets are refused."""

import pytest

from goldpath.settings import Settings, SettingsError, load_settings


def test_a_word_that_yaml_reads_as_true_is_to_be_quoted(project: Settings) -> None:
    (project.root / "config" / "serving.yaml").write_text("alias: yes\n", "utf-8")
    with pytest.raises(SettingsError, match=r"serving\.alias=True .*write them in quotes"):
        load_settings(project.root)


def test_environment_overrides_one_key_and_keeps_the_rest_of_the_file(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.root / "config" / "training.yaml").write_text("trials: 9\ncv_folds: 4\n")
    monkeypatch.setenv("MLOPS_TRAINING__TRIALS", "5")

    training = load_settings(project.root).training

    assert (training.trials, training.cv_folds) == (5, 4)


def test_misspelt_key_is_named(project: Settings) -> None:
    (project.root / "config" / "serving.yaml").write_text("prot: 8000\n")
    with pytest.raises(SettingsError, match="prot"):
        load_settings(project.root)


def test_what_stands_where_a_list_belongs_is_told_so(project: Settings) -> None:
    (project.root / "config" / "training.yaml").write_text("families: boosting\n", "utf-8")
    with pytest.raises(SettingsError, match=r"families='boosting' .*a list belongs here, such as"):
        load_settings(project.root)


def test_a_seed_that_no_library_takes_is_refused(project: Settings) -> None:
    (project.root / "config" / "training.yaml").write_text("seed: -1\n", "utf-8")
    with pytest.raises(SettingsError, match=r"training\.seed=-1 .*greater than or equal to 0"):
        load_settings(project.root)


def test_a_date_that_there_is_not_is_named_with_its_line(project: Settings) -> None:
    (project.root / "config" / "airflow.yaml").write_text("start_date: 2026-13-01\n", "utf-8")
    said = r"airflow.yaml is not valid YAML: '2026-13-01' is no value: month .*\s+in .*, line 1,"
    with pytest.raises(SettingsError, match=said):
        load_settings(project.root)


def test_wrong_type_is_named(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_SERVING__PORT", "eighty")
    with pytest.raises(SettingsError, match=r"serving\.port"):
        load_settings(project.root)


@pytest.mark.parametrize("value", ["region", "[region]", "true"])
def test_what_stands_where_a_group_of_keys_belongs_is_told_the_keys(
    project: Settings, value: str
) -> None:
    file = project.root / "config" / "decision.yaml"
    file.write_text(f"tune_for: f1_macro\ngroups: {value}\n")

    with pytest.raises(SettingsError, match=r"such as \{column: …, criterion: …\}") as caught:
        load_settings(project.root)

    assert "decision.yaml:2" in caught.value.message
    assert "tolerance, minimum_rows" in caught.value.message


def test_a_value_deep_in_a_list_is_not_told_the_keys_around_it(project: Settings) -> None:
    file = project.root / "config" / "validation.yaml"
    file.write_text("gates:\n  - {metric: recall, at_least: 0.5, where: {region: null}}\n")

    with pytest.raises(SettingsError, match=r"where\.region") as caught:
        load_settings(project.root)

    assert "metric: …" not in caught.value.message, "those are the gate's, not the region's"


def test_dot_env_is_read_and_the_environment_wins(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.root / ".env").write_text("MLOPS_SERVING__PORT=8011\nMLOPS_SERVING__WORKERS=3\n")
    monkeypatch.setenv("MLOPS_SERVING__PORT", "8012")
    monkeypatch.delenv("MLOPS_SERVING__WORKERS", raising=False)

    serving = load_settings(project.root).serving

    assert (serving.port, serving.workers) == (8012, 3)
    monkeypatch.delenv("MLOPS_SERVING__WORKERS", raising=False)


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_default_secrets_are_refused_outside_development(
    project: Settings, monkeypatch: pytest.MonkeyPatch, environment: str
) -> None:
    monkeypatch.setenv("MLOPS_ENVIRONMENT", environment)
    monkeypatch.setenv("GRAFANA_ADMIN_PASSWORD", "admin")

    with pytest.raises(SettingsError) as caught:
        load_settings(project.root)

    assert "GRAFANA_ADMIN_PASSWORD" in str(caught.value)
    assert "MLOPS_SERVING__API_KEY" in str(caught.value)


def test_chosen_secrets_are_accepted_outside_development(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ENVIRONMENT", "production")
    monkeypatch.setenv("GRAFANA_ADMIN_PASSWORD", "a-long-and-chosen-one")
    monkeypatch.setenv("MLOPS_SERVING__API_KEY", "0123456789abcdef0123")

    assert load_settings(project.root).environment == "production"


def test_secret_does_not_show_in_a_print(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_SERVING__API_KEY", "0123456789abcdef0123")
    assert "0123456789abcdef0123" not in repr(load_settings(project.root))
