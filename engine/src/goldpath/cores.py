"""How many of the machine's cores this process may use."""


def usable_cores() -> int:
    """Cores within the limits of a container (cgroup), an affinity and `LOKY_MAX_CPU_COUNT`.

    `os.cpu_count()` names all of a machine's: in a container with two of 64 it would start 64
    threads for them.
    """
    from joblib import cpu_count  # costs more than most commands take to start

    return int(cpu_count())
