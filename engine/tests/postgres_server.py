"""A real PostgreSQL for tests: on a free port of 127.0.0.1, in a folder of its own."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .ports import free_port

PASSWORD = "secret-word"


def programs() -> Path | None:
    """Where PostgreSQL's programs are: on the PATH, or in Debian's folder."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@contextmanager
def postgres_server(user: str = "shop") -> Iterator[str]:
    """The URL of a server that asks for the password; the test is skipped where there is none."""
    found = programs()
    if found is None:
        pytest.skip("PostgreSQL is not installed (Debian: postgresql)")
    # Not in pytest's folder, which only its owner may enter: PostgreSQL refuses to run as root.
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        base = Path(name)
        as_user: list[str] = []
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(base, nobody.pw_uid, nobody.pw_gid)
            as_user = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}"]
            as_user.append("--clear-groups")
        (base / "password").write_text(PASSWORD)
        (base / "password").chmod(0o644)

        def run(program: str, *arguments: str) -> None:
            # Its output goes nowhere: the server would hold a pipe open.
            subprocess.run(
                [*as_user, str(found / program), "-D", str(base / "data"), *arguments],
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=base,
            )

        port = free_port()
        options = f"-c listen_addresses=127.0.0.1 -p {port} -c fsync=off"
        run("initdb", "-U", user, "-A", "scram-sha-256", "--pwfile=password", "--no-sync")
        run(
            *("pg_ctl", "-w", "-l", str(base / "log")),
            *("-o", f"{options} -c unix_socket_directories=''", "start"),
        )
        try:
            yield f"postgresql://{user}:{PASSWORD}@127.0.0.1:{port}/postgres"
        finally:
            # By the process id in its folder; no other server is touched.
            run("pg_ctl", "-w", "-m", "immediate", "stop")
