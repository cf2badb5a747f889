"""The command line: goldpath's, with this project's definitions."""

from goldpath import run

from .project import project

if __name__ == "__main__":
    run(project)
