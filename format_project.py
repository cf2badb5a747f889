"""Format the generated project's sources where they lie, so that they are clean under every name.

Bakes a project with the longest package name, has the project's ruff settings sort its imports
and format it, and writes what changed back with the name as Jinja again. What is wrapped for the
longest name has a trailing comma, so it stays wrapped under a shorter one. A module with other
Jinja in it is only named: format that one by hand.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
SOURCE = ROOT / "{{cookiecutter.repo_name}}"
PACKAGE = "{{ cookiecutter.package_name }}"
LONGEST = "p" * 50  # what hooks/pre_gen_project.py allows
BIN = Path(sys.executable).parent


def main() -> None:
    """Bake, format, write back."""
    with tempfile.TemporaryDirectory() as folder:
        answers = ["repo_name=format-project", f"package_name={LONGEST}"]
        bake = [
            BIN / "cookiecutter",
            ROOT,
            "--no-input",
            "--default-config",
            "--output-dir",
            folder,
        ]
        subprocess.run([*bake, *answers], check=True, capture_output=True)
        project = Path(folder) / "format-project"
        rendered = {file: file.read_text("utf-8") for file in project.rglob("*.py")}
        for command in (["check", "--select=I", "--fix"], ["format"]):
            subprocess.run([BIN / "ruff", *command, "--quiet", "--no-cache", "."], cwd=project)
        for file, before in rendered.items():
            if (after := file.read_text("utf-8")) != before:
                write_back(str(file.relative_to(project)), after)


def write_back(name: str, formatted: str) -> None:
    """Put a formatted module in its template's place."""
    template = SOURCE / name.replace(LONGEST, PACKAGE.replace(" ", ""))
    other_jinja = template.read_text("utf-8").replace(PACKAGE, "")
    if "{{" in other_jinja or "{%" in other_jinja:
        print(f"by hand: {name}")
        return
    template.write_text(formatted.replace(LONGEST, PACKAGE), encoding="utf-8")
    print(f"formatted {name.replace(LONGEST, PACKAGE)}")


if __name__ == "__main__":
    main()
