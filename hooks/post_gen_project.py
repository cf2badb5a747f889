"""Make the first commit where git is there, and print the next three commands.

Runs in the finished project. Whatever is missing or fails here, the bake has worked: the exit code
is always 0. Standard library only, Python 3.9 or newer, no network.
"""

import json
import os
import shutil
import subprocess
import sys


def main():
    """Commit, then say what to do next."""
    # tojson escapes single quotes, line breaks and what is not ASCII: no answer ends this string.
    answers = json.loads(r'''{{ cookiecutter | tojson }}''')  # fmt: skip
    sys.stdout.reconfigure(errors="backslashreplace")
    git_line = first_commit(answers["author_name"], answers["author_email"])
    print(
        f"\n{answers['project_name']} is in {os.getcwd()}\n  {git_line}\n\nNext:\n"
        f"  cd {shown_folder()}\n"
        "  make setup        # the environment, from locks with hashes\n"
        "  make demo         # sample data to a served, monitored model\n"
    )


def shown_folder():
    """The folder as the user would type it, from where Cookiecutter was called."""
    folder = os.getcwd()
    called_from = os.environ.get("PWD", "")
    if called_from and folder.startswith(os.path.join(called_from, "")):
        folder = os.path.relpath(folder, called_from)
    return f'"{folder}"' if " " in folder else folder


def first_commit(name, email):
    """Put the project under git, unless it already is; returns what was done, or why not."""
    if os.path.exists(".git"):
        return "git: this folder has a repository already; nothing was committed"
    if shutil.which("git") is None:
        return "git: not found; when it is there, run git init and commit"
    try:
        if git("rev-parse", "--is-inside-work-tree", check=False).stdout.strip() == "true":
            return "git: the folder lies inside another repository; nothing was committed"
        git("init", "--quiet")
        git("symbolic-ref", "HEAD", "refs/heads/main")  # --initial-branch came with git 2.28
        git("add", "--all")
        identity = []
        for setting, value in (("user.name", name), ("user.email", email)):
            if not git("config", setting, check=False).stdout.strip():
                identity += ["-c", f"{setting}={value}"]
        git(
            *identity,
            "-c",
            "commit.gpgsign=false",
            "commit",
            "--quiet",
            "--no-verify",
            "--message=Generate the project",
        )
    except (OSError, subprocess.SubprocessError) as error:
        reason = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1:]
        return f"git: no first commit ({' '.join(reason)}); commit by hand"
    return "git: first commit made on branch main"


def git(*arguments, check=True):
    """Run git here, whatever repository the caller's environment names."""
    environment = {
        k: v
        for k, v in os.environ.items()
        if k not in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    }
    return subprocess.run(
        ["git", *arguments],
        capture_output=True,
        check=check,
        env={**environment, "GIT_TERMINAL_PROMPT": "0"},
        stdin=subprocess.DEVNULL,
        encoding="utf-8",
        errors="replace",
        timeout=60,
    )


if __name__ == "__main__":
    main()
