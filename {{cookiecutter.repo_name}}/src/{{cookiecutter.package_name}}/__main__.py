"""The command line: goldpath's, with this project's definitions."""

from goldpath import Project, run


def definitions() -> Project:
    """Those of project.py, imported here so that `run` says what is wrong in that file."""
    from .project import project

    return project


if __name__ == "__main__":
    run(definitions)
