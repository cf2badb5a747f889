"""Lets `python -m` run the command line."""

from goldpath.cli.app import main

if __name__ == "__main__":
    main()
