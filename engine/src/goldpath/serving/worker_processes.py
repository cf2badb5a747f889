"""Which of the service's processes are still there."""

import os


def is_alive(pid: int) -> bool:
    """Whether a process of this machine has the id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
