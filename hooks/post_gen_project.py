"""Record where the project came from, make the first commit, and print the next three commands.

Runs in the finished project. Whatever is missing or fails here, the bake has worked: the exit code
is always 0. Standard library only, Python 3.9 or newer, no network.

Cruft renders the template into temporary folders when it updates a project or shows the difference;
it then compares these folders file by file, so a repository in one of them breaks the comparison.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from urllib.parse import urlsplit

RECORD = ".cruft.json"
# Places on the machine that baked: of no use to the next reader of the record.
LOCAL_ANSWERS = ("_output_dir", "_repo_dir", "_checkout", "_jinja2_env_vars")
# Addresses of archives, as GitHub, GitLab, Gitea and Bitbucket form them from a repository's.
ARCHIVE = re.compile(r"(https?://.+?)(?:/-)?/(?:archive|get)/.+\.zip", re.IGNORECASE)


def main():
    """Record and commit, then say what to do next."""
    # tojson escapes single quotes, line breaks and what is not ASCII: no answer ends this string.
    answers = dict(json.loads(r'''{{ cookiecutter.items() | list | tojson }}'''))  # fmt: skip
    if is_temporary_render(answers):
        return
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        write_record(answers)
    except (OSError, ValueError) as error:
        print(f"{RECORD} was not written ({error}); make template-update needs it")
    git_line = first_commit(answers["author_name"], answers["author_email"])
    print(
        f"\n{answers['project_name']} is in {os.getcwd()}\n  {git_line}\n\nNext:\n"
        f"  cd {shown_folder()}\n"
        "  make setup        # the environment, from locks with hashes\n"
        "  make demo         # sample data to a served, monitored model\n"
    )


def is_temporary_render(answers):
    """Whether cruft updates or compares a project, and throws this folder away afterwards.

    `cruft create` calls this hook with the same answers, in the folder where the project stays.
    """
    if "_output_dir" in answers:  # Cookiecutter's own command line sets it, cruft does not
        return False
    command = cruft_command()
    if command is not None:
        return command != "create"
    # Called as a library: its folders come from Python's tempfile and hold this render alone.
    parent = os.path.realpath(os.path.dirname(os.getcwd()))
    return (
        os.path.dirname(parent) == os.path.realpath(tempfile.gettempdir())
        and re.fullmatch(r"tmp[a-z0-9_]{8}", os.path.basename(parent)) is not None
        and len(os.listdir(parent)) == 1
    )


def cruft_command():
    """The subcommand of the cruft that runs this hook; None if it is not seen among processes."""
    try:
        with open(f"/proc/{os.getppid()}/cmdline", "rb") as file:
            words = os.fsdecode(file.read()).split("\0")
    except OSError:  # not Linux
        words = parent_arguments().split()
    for word, after in zip(words, words[1:]):
        program = os.path.splitext(os.path.basename(word))[0]
        if program == "cruft" and after in ("create", "update", "diff"):
            return after
    return None


def parent_arguments():
    """The command line of the parent process, as ps prints it; empty without ps."""
    command = ["ps", "-o", "args=", "-p", str(os.getppid())]
    try:
        return subprocess.run(command, capture_output=True, timeout=10, text=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def write_record(answers):
    """Write template, commit and answers as cruft does, so that it can update the project."""
    template, commit, directory = origin(answers)
    kept = {name: value for name, value in answers.items() if name not in LOCAL_ANSWERS}
    kept["_template"], kept["_commit"] = template, commit
    record = {
        "template": template,
        "commit": commit,
        "checkout": answers.get("_checkout"),
        "context": {"cookiecutter": kept},
        "directory": directory,
    }
    # In cruft's own format: `cruft create` writes the file again, after the first commit.
    text = json.dumps(record, ensure_ascii=False, indent=2, separators=(",", ": ")) + "\n"
    with open(RECORD, "w", encoding="utf-8") as file:
        file.write(text)


def origin(answers):
    """The template's address, commit (None if it cannot be known) and folder in its repository."""
    if "_commit" in answers:
        return answers["_template"], answers["_commit"], None
    template = answers.get("_template", "")
    archived = answers.get("_template_commit", "")
    commit = archived if re.fullmatch(r"[0-9a-f]{40}", archived) else None
    if not template:  # a program that rendered the files itself
        return "", commit, None
    if template.lower().endswith(".zip"):
        repository = ARCHIVE.fullmatch(template)
        address = repository[1] if repository else absolute(template, answers)
        return without_password(address), commit, None
    folder = absolute(answers.get("_repo_dir", template), answers)
    try:
        git("-C", folder, "ls-files", "--error-unmatch", "cookiecutter.json")
        commit = git("-C", folder, "rev-parse", "HEAD").stdout.strip()
        directory = git("-C", folder, "rev-parse", "--show-prefix").stdout.strip().rstrip("/")
        repository = git("-C", folder, "rev-parse", "--show-toplevel").stdout.strip()
        if folder != absolute(template, answers):  # a clone that Cookiecutter made of an address
            repository = git("-C", folder, "config", "remote.origin.url").stdout.strip()
    except (OSError, subprocess.SubprocessError):  # no git, or a folder that is not under git
        return without_password(absolute(template, answers)), commit, None
    return without_password(repository), commit, directory or None


def absolute(path, answers):
    """A local path as seen from where Cookiecutter was called; an address as it is."""
    path = os.path.expanduser(path)
    # The hook's own folder is the project; a program that calls Cookiecutter may not set PWD.
    for called_from in (os.environ.get("PWD", ""), answers.get("_output_dir", "")):
        found = os.path.normpath(os.path.join(called_from, path))
        if os.path.isabs(found) and os.path.exists(found):
            return found
    return path


def without_password(address):
    """An address as a file in a repository may hold it: no user, no token."""
    parts = urlsplit(address)
    if parts.scheme in ("http", "https") and "@" in parts.netloc:
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return address


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
