"""What every set of answers generates: the right files, whole, clean, and free of this machine."""

import compileall
import json
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import TEMPLATE, Bake, BakedProject, Record, clean_environment, run

TOP_LEVEL = {
    ".cruft.json",
    ".dockerignore",
    ".env.example",
    ".git",
    ".github",
    ".gitignore",
    ".pre-commit-config.yaml",
    "AGENTS.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "airflow",
    "bootstrap.py",
    "config",
    "data",
    "docs",
    "infra",
    "pyproject.toml",
    "requirements",
    "src",
    "tests",
    "vendor",
}
DOCUMENTS = {"airflow.md", "monitoring.md", "project.md", "updating.md"}
# What a user gets to own: no more than this, whatever is added.
MOST_FILES, MOST_PYTHON_FILES, MOST_PYTHON_LINES = 140, 50, 3_200
# The targets that the documentation and the users of the template know.
TARGETS = set(
    (
        "data-versions data-report data-maintain materialize forget init-aws "
        "compact-logs live-performance ship-logs "
        "reproduce automl rollback backup restore "
        "help setup demo data sample adopt add-source add-model train-local promote batch-predict "
        "drift-check serve serve-prod traffic alerts retrain demo-drift api-key "
        "mlflow-up mlflow-down init-mlflow "
        "airflow-setup airflow-up airflow-down airflow-logs monitoring-up monitoring-down "
        "monitor-page docker-up docker-down "
        "status check describe test lint format typecheck security lock engine-unpack engine-build "
        "eject-example template-update migrate relocate clean clean-all"
    ).split()
)
LICENSES = {
    "MIT": ("MIT License", "THE SOFTWARE IS PROVIDED", "MIT"),
    "Apache-2.0": ("Apache License", "END OF TERMS AND CONDITIONS", "Apache-2.0"),
    "BSD-3-Clause": ("BSD 3-Clause License", "THIS SOFTWARE IS PROVIDED", "BSD-3-Clause"),
    "Proprietary": ("Copyright (c)", "All rights reserved.", "LicenseRef-Proprietary"),
}
PYTHONS = ("3.11", "3.12", "3.13")
UNUSUAL = {
    "longest-names": {
        "project_name": "A" * 60,
        "repo_name": "r" * 60,
        "package_name": "p" * 50,
        "author_name": 'Zoë "Dr" O\'Brien \\ 🚀',
        "s3_bucket": "b" * 63,
    },
    "shortest-names": {
        "project_name": "X",
        "repo_name": "x",
        "package_name": "x",
        "author_name": "Y",
        "s3_bucket": "abc",
    },
    "accents-and-quotes": {
        "project_name": 'L\'équipe "Été" 🚀',
        "author_name": "Ñandú, O'Brien & <Söhne>",
        "description": "Predicts 'who' \"leaves\" \\ # é 🚀",
    },
    "sorts-last": {"package_name": "zebra_model", "repo_name": "zebra-model"},
    "sorts-first": {"package_name": "aardvark_model", "repo_name": "aardvark-model"},
}


def text_files(project: BakedProject) -> dict[Path, str]:
    """The generated files that are text."""
    texts = {}
    for path in project.files():
        try:
            texts[path] = project.read(str(path))
        except UnicodeDecodeError:
            assert path.suffix in {".png", ".whl"}, f"{path} is neither text, picture nor wheel"
    return texts


def matches(project: BakedProject, pattern: re.Pattern[str]) -> list[str]:
    """Each file that holds the pattern, with the first text found in it."""
    found = {path: pattern.search(text) for path, text in text_files(project).items()}
    return [f"{path}: {match.group()}" for path, match in found.items() if match]


def test_top_level_is_exactly_the_documented_layout(default_project: BakedProject) -> None:
    assert {entry.name for entry in default_project.root.iterdir()} == TOP_LEVEL
    assert {path.name for path in (default_project.root / "docs").glob("*.md")} == DOCUMENTS


def test_a_user_gets_no_more_to_own_than_a_team_can_read(
    default_project: BakedProject, record_property: Record
) -> None:
    files = default_project.files()
    python = [path for path in files if path.suffix == ".py"]
    lines = sum(default_project.read(str(path)).count("\n") for path in python)
    record_property("figure", f"a project: {len(files)} files, {len(python)} Python, {lines} lines")
    assert len(files) <= MOST_FILES
    assert len(python) <= MOST_PYTHON_FILES
    assert lines <= MOST_PYTHON_LINES


def test_the_engines_page_explains_the_window_features_that_are_shipped(
    default_project: BakedProject,
) -> None:
    page = (TEMPLATE / "engine" / "docs" / "features.md").read_text(encoding="utf-8")
    section = page.partition("\n### On the sample\n")[2].partition("\n## ")[0]
    (shown,) = re.findall(r"^```python\n# features/history.py\n(.*?)^```", section, re.M | re.S)
    (file,) = default_project.package.glob("features/history.py")
    assert file.read_text(encoding="utf-8").endswith(shown)


def test_no_file_is_empty(default_project: BakedProject) -> None:
    root = default_project.root
    empty = {path.name for path in default_project.files() if not (root / path).stat().st_size}
    assert empty <= {"py.typed", ".gitkeep", "__init__.py"}


def test_no_template_code_is_left(default_project: BakedProject) -> None:
    left = re.compile(r"\{\{-?\s*cookiecutter|\{%-? *[a-z]+|cookiecutter\.[a-z_]+")
    texts = text_files(default_project)
    assert {
        str(path): left.findall(text) for path, text in texts.items() if left.search(text)
    } == {}
    assert not [path for path in default_project.files() if "{" in str(path)]


def test_no_file_names_this_machine_or_a_registry(default_project: BakedProject) -> None:
    names = [str(TEMPLATE), str(default_project.root), socket.gethostname()]
    machine = "|".join(re.escape(name) for name in names if len(name) > 4)
    options = r"--(extra-)?index-url|--find-links (?!\.\./vendor\n)"
    found = re.compile(rf"{machine}|{options}|pypi\.org|files\.pythonhosted\.org|/simple/")
    texts = text_files(default_project)
    assert {
        str(path): found.search(text) for path, text in texts.items() if found.search(text)
    } == {}


def test_configuration_files_parse(default_project: BakedProject) -> None:
    parsers = {".yaml": yaml.safe_load_all, ".yml": yaml.safe_load_all}
    parsers |= {".toml": tomllib.loads, ".json": json.loads}
    parsed = 0
    for path, text in text_files(default_project).items():
        if path.parts[:2] == ("infra", "aws"):  # CloudFormation's tags; cfn-lint knows the rest
            assert list(yaml.compose_all(text, yaml.SafeLoader)), path
        elif parser := parsers.get(path.suffix):
            assert list(parser(text)), path
            parsed += 1
    assert parsed >= 10


def test_every_module_compiles_without_a_warning(default_project: BakedProject) -> None:
    for path, text in text_files(default_project).items():
        if path.suffix == ".py":
            compile(text, str(path), "exec")


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("license_name", LICENSES)
def test_licence_and_python_version_reach_every_place(
    bake: Bake, license_name: str, python: str
) -> None:
    project = bake(license=license_name, python_version=python)
    first, inside, identifier = LICENSES[license_name]
    text = project.read("LICENSE")
    assert text.startswith(first)
    assert inside in text
    assert "Data Team" in text
    settings = tomllib.loads(project.read("pyproject.toml"))
    assert settings["project"]["license"] == identifier
    assert settings["project"]["requires-python"] == f">={python}"
    assert settings["tool"]["ruff"]["target-version"] == f"py{python.replace('.', '')}"
    assert settings["tool"]["mypy"]["python_version"] == python
    assert_clean(project)


@pytest.mark.parametrize("answers", UNUSUAL.values(), ids=UNUSUAL)
def test_unusual_names_generate_clean_code(bake: Bake, answers: dict[str, str]) -> None:
    assert_clean(bake(**answers))


def assert_clean(project: BakedProject) -> None:
    """The generated code compiles, and its own linter and formatter have nothing to say."""
    assert compileall.compile_dir(project.root / "src", quiet=2, force=True)
    ruff = str(Path(sys.executable).with_name("ruff"))
    formatted = project.run(ruff, "format", "--check", "--no-cache", ".")
    assert formatted.code == 0, re.findall(r"--> (\S+?):", formatted.output)
    linted = project.run(ruff, "check", "--no-cache", "--output-format=concise", ".")
    assert linted.code == 0, linted.output[-3000:]


def test_every_target_has_a_description_and_is_listed(default_project: BakedProject) -> None:
    makefile = default_project.read("Makefile")
    targets = set(re.findall(r"^([a-z][a-z-]*):(?!=)", makefile, re.MULTILINE))
    assert targets == TARGETS
    listed = default_project.make("help").output
    for target in targets:
        assert re.search(rf"^\s*{target}\s{{2,}}\S+", plain(listed), re.MULTILINE), target
    assert default_project.make().output == listed, "help is the default target"


def test_every_target_that_a_document_names_exists(default_project: BakedProject) -> None:
    documents = [path for path in default_project.files() if path.suffix == ".md"]
    named = {
        target
        for path in documents
        for code in re.findall(r"`[^`\n]+`|```.*?```", default_project.read(str(path)), re.DOTALL)
        for target in re.findall(r"\bmake ([a-z][a-z-]*)", code)
    }
    assert len(named) > 20
    assert named <= TARGETS


def test_every_link_in_the_documents_leads_somewhere(default_project: BakedProject) -> None:
    for path in default_project.files():
        if path.suffix == ".md":
            check_links(default_project.root / path)


def test_every_link_in_the_templates_own_documents_leads_somewhere() -> None:
    for path in [TEMPLATE / "README.md", *(TEMPLATE / "docs").glob("*.md")]:
        check_links(path)


def check_links(document: Path) -> None:
    """Every relative link names a file; headings and other hosts are left alone."""
    text = document.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    for target in targets:
        if not target.startswith(("http://", "https://", "#", "mailto:")):
            assert (document.parent / target.split("#")[0]).exists(), f"{document.name}: {target}"


def plain(text: str) -> str:
    """Without a terminal's colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", ["dev", "serving", "airflow"])
def test_lock_installs_on_every_python(
    default_project: BakedProject, tmp_path: Path, lock: str, python: str
) -> None:
    """Resolved for the version by wheels alone; nothing is downloaded but their metadata."""
    finished = run(
        *(str(Path(sys.executable).with_name("uv")), "pip", "install", "--dry-run", "--quiet"),
        *("--require-hashes", "--only-binary", ":all:", "--no-deps"),
        *("--python", sys.executable, "--python-version", python, "--target", str(tmp_path)),
        *("--requirement", f"requirements/{lock}.txt"),
        cwd=default_project.root,
        timeout=300,
        env=clean_environment(),
    )
    assert finished.code == 0, finished.output


def test_hooks_are_valid_for_old_pythons() -> None:
    """Whoever has Cookiecutter may have an older Python than the project wants."""
    for hook in (TEMPLATE / "hooks").glob("*.py"):
        compile(hook.read_text(encoding="utf-8"), hook.name, "exec", dont_inherit=True)
        check = "import ast, sys; ast.parse(open(sys.argv[1]).read(), feature_version=(3, 9))"
        subprocess.run([sys.executable, "-c", check, hook], check=True)


def test_security_fails_where_a_package_was_not_audited(default_project: BakedProject) -> None:
    """Without --strict, pip-audit skips what the database does not answer, and is green."""
    assert "pip-audit --strict " in default_project.read("Makefile")
