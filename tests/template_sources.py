"""The ways to bake a project: from an address, an archive, a folder, and with cruft."""

import json
import os
import zipfile
from collections.abc import Callable

from conftest import Shell

NAME = 'Été "des" clients'
FOLDER = "ete-des-clients"
PACKAGE = "ete_des_clients"
Bake = Callable[[Shell, Shell], str]


def bare(template: Shell) -> str:
    """The address of a bare copy of the template, as a server has it."""
    folder = template.folder.with_suffix(".git")
    if not folder.exists():
        template.git("clone", "--quiet", "--bare", ".", folder)
    else:
        template.git("push", "--quiet", folder, "HEAD:main")
    return f"file://{folder}"


def bake_from_address(shell: Shell, template: Shell) -> str:
    address = bare(template)
    shell("cookiecutter", address, "--no-input", f"project_name={NAME}")
    return address


def bake_from_archive(shell: Shell, template: Shell) -> str:
    """A zip as hosts of repositories make them, which names its commit in cookiecutter.json."""
    archive = shell.folder / "mlops-template-main.zip"
    template.git("archive", "--prefix=mlops-template-main/", f"--output={archive}", "HEAD")
    shell("cookiecutter", archive.name, "--no-input", f"project_name={NAME}")
    return str(archive)


def bake_from_plain_zip(shell: Shell, template: Shell) -> str:
    """A zip that somebody made of the files: nothing in it names a commit."""
    archive = shell.folder / "plain.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.mkdir("mlops-template")
        for name in template.git("ls-files", "-z").split("\0"):
            if name:
                packed.write(template.folder / name, f"mlops-template/{name}")
    shell("cookiecutter", archive, "--no-input", f"project_name={NAME}")
    return str(archive)


def bake_from_folder(shell: Shell, template: Shell) -> str:
    typed = os.path.relpath(template.folder, shell.folder)
    shell("cookiecutter", f"{typed}/", "--no-input", f"project_name={NAME}")
    return str(template.folder)


def bake_with_cruft(shell: Shell, template: Shell) -> str:
    answers = json.dumps({"project_name": NAME})
    shell("cruft", "create", template.folder, "--no-input", "--extra-context", answers)
    return str(template.folder)


BAKES: dict[str, Bake] = {
    "address": bake_from_address,
    "archive": bake_from_archive,
    "plain-zip": bake_from_plain_zip,
    "folder": bake_from_folder,
    "cruft-create": bake_with_cruft,
}
