"""A good answer makes a working project; a bad one leaves nothing behind and says what to type."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import TEMPLATE, Bake, BakedProject, cookiecutter

# (prompt, bad value, words of the explanation)
BAD_ANSWERS = [
    ("project_name", "", "Type instead: Customer Churn"),
    ("project_name", "   ", "Type instead: Customer Churn"),
    ("project_name", "Line\nbreak", "Type instead: Line break"),
    ("project_name", "Bell\a", "control character"),
    ("project_name", "x" * 61, "60 at most"),
    ("project_name", "2024", "Type instead: Project 2024"),
    ("project_name", "🚀🚀", "no letter"),
    ("project_name", " padded ", "Type instead: padded"),
    ("repo_name", "", "cannot be the name of a folder"),
    ("repo_name", ".", "cannot be the name of a folder"),
    ("repo_name", "../x", "cannot be the name of a folder"),
    ("repo_name", "a/b", "Type instead: a-b"),
    ("repo_name", "/tmp/absolute-name", "cannot be the name of a folder"),  # noqa: S108
    ("repo_name", "a\\b", "cannot be the name of a folder"),
    ("repo_name", "My Project", "Type instead: my-project"),
    ("repo_name", "snake_case", "Type instead: snake-case"),
    ("repo_name", "-leading", "Type instead: leading"),
    ("repo_name", "été", "Type instead: ete"),
    ("repo_name", "x" * 61, "60 at most"),
    ("repo_name", "x" * 300, "cannot be the name of a folder"),
    ("repo_name", "two\nlines", "Type instead: two-lines"),
    ("package_name", "class", "keyword of Python"),
    ("package_name", "match", "keyword of Python"),
    ("package_name", "json", "standard library"),
    ("package_name", "pandas", "Type instead: pandas_model"),
    ("package_name", "mlflow", "library or a folder"),
    ("package_name", "goldpath", "library or a folder"),
    ("package_name", "vendor", "library or a folder"),
    ("package_name", "airflow", "library or a folder"),
    ("package_name", "tests", "library or a folder"),
    ("package_name", "3abc", "Type instead: abc"),
    ("package_name", "my-package", "Type instead: my_package"),
    ("package_name", "CamelCase", "lower-case"),
    ("package_name", "x" * 51, "50 at most"),
    ("package_name", "", "lower-case"),
    ("description", "", "is empty"),
    ("description", "two\nlines", "Type instead: two lines"),
    ("description", "x" * 201, "200 at most"),
    ("author_name", "", "is empty"),
    ("author_name", "None", "is empty"),
    ("author_name", "A\tB", "control character"),
    ("author_name", "x" * 81, "80 at most"),
    ("author_email", "nobody", "Type instead: nobody@example.com"),
    ("author_email", "a b@example.com", "not an e-mail address"),
    ("author_email", "a@b@example.com", "not an e-mail address"),
    ("author_email", "a@example", "not an e-mail address"),
    ("author_email", 'x"@example.com', "not an e-mail address"),
    ("license", "GPL-3.0", "Apache-2.0"),
    ("python_version", "3.9", "3.11"),
    ("aws_region", "us_east_1", "Type instead: us-east-1"),
    ("aws_region", "Frankfurt", "not the code of an AWS region"),
    ("aws_region", "eu-west-0", "Type instead: eu-west-"),
    ("s3_bucket", "ab", "3 to 63"),
    ("s3_bucket", "x" * 64, "3 to 63"),
    ("s3_bucket", "My_Bucket", "Type instead: my-bucket"),
    ("s3_bucket", "two..dots", "Type instead: two-dots"),
    ("s3_bucket", "a.-b", "beside"),
    ("s3_bucket", "192.168.5.4", "IP address"),
    ("s3_bucket", "xn--bucket", "Type instead: bucket"),
    ("s3_bucket", "lake-s3alias", "Type instead: lake"),
    ("s3_bucket", "-lake", "Type instead: lake"),
]


def named(answer: tuple[str, str, str]) -> str:
    return f"{answer[0]}={answer[1][:20]!a}"


@pytest.mark.parametrize(
    ("prompt", "value", "explanation"), BAD_ANSWERS, ids=map(named, BAD_ANSWERS)
)
def test_bad_answer_leaves_no_folder_and_is_explained(
    tmp_path: Path, prompt: str, value: str, explanation: str
) -> None:
    output = tmp_path / "above" / "here"
    output.mkdir(parents=True)
    finished = cookiecutter(output, **{prompt: value})
    assert finished.code == 1
    assert prompt in finished.output
    assert explanation in finished.output
    assert list(output.iterdir()) == []
    assert {path.name for path in output.parent.iterdir()} == {"here", "here-home"}


def test_all_bad_answers_are_listed_at_once(tmp_path: Path) -> None:
    output = tmp_path / "here"
    output.mkdir()
    bad = {
        "package_name": "class",
        "author_email": "nobody",
        "s3_bucket": "X",
        "aws_region": "moon",
    }
    finished = cookiecutter(output, **bad)
    assert finished.code == 1
    assert "4 answers need another value" in finished.output
    assert all(f"  {prompt}: " in finished.output for prompt in bad)
    assert finished.output.count("Type instead: ") == 4


@pytest.mark.parametrize(("prompt", "value"), [answer[:2] for answer in BAD_ANSWERS])
def test_what_to_type_instead_is_accepted(prompt: str, value: str) -> None:
    """Asked of the hook itself: a bake for each would take minutes."""
    check = load_hook()["CHECKS"][prompt]
    _, instead = check(value)
    assert check(instead) is None


def test_existing_folder_is_not_touched_by_a_bad_answer(tmp_path: Path) -> None:
    output = tmp_path / "here"
    (output / "customer-churn").mkdir(parents=True)
    (output / "customer-churn" / "mine.txt").write_text("kept")
    finished = cookiecutter(output, "--overwrite-if-exists", package_name="class")
    assert finished.code == 1
    assert [path.name for path in (output / "customer-churn").iterdir()] == ["mine.txt"]


def test_hard_but_legal_text_survives_in_every_place(bake: Bake) -> None:
    author = 'Zoë "Dr" O\'Brien-Ñandú \\ 🚀'
    project = bake(
        project_name='L\'équipe "Été" \\n # 🚀: café',
        author_name=author,
        author_email="o'brien+lake@mail.example.co.uk",
        description="Predicts 'who' \"leaves\" \\ 100% of $HOME & <b>: # é 🚀",
    )
    metadata = tomllib.loads(project.read("pyproject.toml"))["project"]
    assert metadata["authors"] == [{"name": author, "email": "o'brien+lake@mail.example.co.uk"}]
    assert metadata["description"] == "Predicts 'who' \"leaves\" \\ 100% of $HOME & <b>: # é 🚀"
    assert author in project.read("LICENSE")
    assert project.read("README.md").startswith('# L\'équipe "Été" \\n # 🚀: café\n')
    log = project.run("git", "log", "--format=%an <%ae>")
    assert log.output == f"{author} <o'brien+lake@mail.example.co.uk>\n"


@pytest.mark.parametrize(
    "name",
    [
        'L\'équipe "Été" prédit les départs de ses abonnés à Montréal!',
        "É" * 60,
        "Straßenverkehrsordnungswidrigkeitenanzeigenvorhersagegrößen'",  # its slug is longer
        "顧客の解約を予測する機械学習モデルのためのデータパイプライン" * 2,
    ],
    ids=ascii,
)
def test_longest_project_name_bakes_with_names_derived_from_it(bake: Bake, name: str) -> None:
    assert len(name) == 60
    project = bake(project_name=name)
    assert project.read("README.md").startswith(f"# {name}\n")
    metadata = tomllib.loads(project.read("pyproject.toml"))["project"]
    assert metadata["name"] == project.root.name
    assert 40 < len(metadata["name"]) <= 60
    assert 40 < len(project.package.name) <= 50
    assert yaml.safe_load(project.read("config/aws_config.yaml"))["bucket"].endswith("-lake")


@pytest.mark.parametrize("name", ["123", "2024-01-01", "true", "1e3", "null"])
def test_names_that_yaml_reads_as_something_else_stay_text(bake: Bake, name: str) -> None:
    project = bake(repo_name=name, package_name="churn_model", s3_bucket=f"{name}-lake")
    aws = yaml.safe_load(project.read("config/aws_config.yaml"))
    assert aws["bucket"] == f"{name}-lake"
    names = ("region", "bucket", "glue_database", "athena_workgroup", "online_table", "stack")
    assert all(isinstance(aws[name], str) for name in names)


@pytest.mark.parametrize(
    "region", ["us-gov-west-1", "cn-northwest-1", "ap-southeast-7", "mx-central-1"]
)
def test_unusual_regions_are_accepted(bake: Bake, region: str) -> None:
    assert region in bake(aws_region=region).read("config/aws_config.yaml")


def test_names_of_direct_dependencies_are_refused(default_project: BakedProject) -> None:
    """A package named like a library would be imported in its place."""
    engine = (TEMPLATE / "engine" / "pyproject.toml").read_text(encoding="utf-8")
    tables = [tomllib.loads(text) for text in (engine, default_project.read("pyproject.toml"))]
    listed = [
        name
        for table in tables
        for names in (
            table["project"]["dependencies"],
            *table["project"].get("optional-dependencies", {}).values(),
            *table.get("dependency-groups", {}).values(),
        )
        for name in names
    ]
    imported_as = {"python-dotenv": "dotenv", "scikit-learn": "sklearn", "pyyaml": "yaml"}
    imported_as |= {"ibis-framework": "ibis", "mlflow-skinny": "mlflow", "pyjwt": "jwt"}
    imported_as |= {"import-linter": "importlinter", "cfn-lint": "cfnlint", "types-PyYAML": "yaml"}
    imported_as |= {"pytest-xdist": "xdist"}
    telemetry = ("sdk", "proto", "exporter-otlp-proto-http")
    imported_as |= {f"opentelemetry-{part}": "opentelemetry" for part in telemetry}
    names = {re.split(r"[\[<>=!]", requirement)[0] for requirement in listed}
    taken = load_hook()["TAKEN"]
    assert len(names) > 20
    assert {imported_as.get(name, name).replace("-", "_") for name in names} <= taken


def load_hook() -> dict[str, Any]:
    """The names that the hook defines; what it would check is not rendered, so it is not run."""
    names: dict[str, Any] = {"__name__": "hook"}
    source = (TEMPLATE / "hooks" / "pre_gen_project.py").read_text(encoding="utf-8")
    exec(compile(source, "pre_gen_project.py", "exec"), names)  # noqa: S102  our own file
    return names
