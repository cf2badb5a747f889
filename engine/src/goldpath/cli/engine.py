"""The commands under `engine`: patch the engine that the project carries as a wheel."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True, help="Unpack, edit and rebuild the engine's wheel in vendor/."
)

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Folder = Annotated[
    Path | None, typer.Argument(help="Folder of the engine's sources; engine-src by default.")
]


@app.command()
def unpack(folder: Folder = None, as_json: Json = False) -> None:
    """Write the sources of the wheel in vendor/ into a new folder."""
    from goldpath.presentation import show
    from goldpath.services.engine_patch import SOURCES, unpack_engine
    from goldpath.settings import project_root

    root = project_root()
    show(unpack_engine(root, folder.resolve() if folder else root / SOURCES), as_json)


@app.command()
def build(folder: Folder = None, as_json: Json = False) -> None:
    """Build the edited sources as VERSION+local.N, replace the wheel in vendor/ and pin it."""
    from goldpath.presentation import show
    from goldpath.services.engine_patch import SOURCES, build_patch
    from goldpath.settings import project_root

    root = project_root()
    show(build_patch(root, folder.resolve() if folder else root / SOURCES), as_json)
