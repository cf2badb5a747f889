"""The compiled form beside its pipeline: written at registration, read to serve."""

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from goldpath.compiled.compiler import NotCompilableError, compile_pipeline
from goldpath.compiled.form import CompiledFormError
from goldpath.compiled.form_files import FORM_FILE, read_form, write_form
from goldpath.compiled.parity import Parity, prove_parity
from goldpath.compiled.scorer import CompiledModel
from goldpath.contract import Contract
from goldpath.model_version import ModelVersion
from goldpath.settings import Settings

if TYPE_CHECKING:
    from goldpath.learning.scoring import LoadedModel

FOLDER = "compiled"
PARITY_FILE = "parity.json"

log = logging.getLogger(__name__)


def kernel_folder(settings: Settings) -> Path:
    """Where this machine's scoring kernel is kept."""
    return settings.run_directory / "kernels"


def write_compiled(model: "LoadedModel", folder: Path, settings: Settings) -> str:
    """Compile a fitted model, prove parity, and store the form below its folder.

    Args:
        model: A fitted pipeline and its contract.
        folder: The model's folder, before it is signed. Gets `compiled/`, unless the pipeline has
            no compiled form or parity does not hold.
        settings: How many rows the proof draws, and its seed.

    Returns:
        The proof's figures; `no:` and the reason where there is no compiled form to serve.
    """
    try:
        form = compile_pipeline(model.pipeline, model.contract)
    except NotCompilableError as error:
        return f"no: {error.message}"
    compiled = CompiledModel(form, model.contract, kernels=kernel_folder(settings))
    limits = settings.training
    proof = prove_parity(
        model.pipeline, form, model.contract, compiled.answers, limits.parity_rows, limits.seed
    )
    spoken = _spoken(proof)
    if not proof.passed:
        log.warning("the compiled form is not used: %s", spoken)
        return f"no: {spoken}"
    target = folder / FOLDER
    write_form(form, target)
    described = asdict(proof) | {"engine": compiled.engine}
    (target / PARITY_FILE).write_text(json.dumps(described, indent=1), encoding="utf-8")
    return spoken


def read_compiled(
    folder: Path, contract: Contract, version: ModelVersion, settings: Settings
) -> CompiledModel | None:
    """The compiled form of a model's verified folder; None where it has none that may serve."""
    target = folder / FOLDER
    if not settings.serving.compiled or not (target / FORM_FILE).is_file():
        return None
    try:
        return CompiledModel(read_form(target), contract, version, kernel_folder(settings))
    except CompiledFormError as error:
        log.warning("version %s serves without its compiled form: %s", version.version, error)
        return None


def _spoken(proof: Parity) -> str:
    return (
        f"{proof.rows} rows, largest difference {proof.largest_difference:.2g}, "
        f"{proof.flipped_labels} other labels"
    )
