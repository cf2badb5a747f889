"""Lets `python -m` run the command line."""

from goldpath.cli.app import run

if __name__ == "__main__":
    run()
