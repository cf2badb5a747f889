"""The compiled form in a folder: `form.json` says what it is, `arrays.npz` holds NumPy's arrays.

Neither holds a pickle, and nothing is used before it was checked.
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from goldpath.compiled.form import (
    Blend,
    BlendMember,
    CompiledForm,
    CompiledFormError,
    Encoder,
    Trees,
    Weights,
    check_form,
)

FORMAT = 2
"""Format 1 knew no `single_sums`; a form without them is still written as such."""
FORM_FILE = "form.json"
ARRAYS_FILE = "arrays.npz"

BLEND_NUMBERS = ("temperature", "shift", "scale", "lowest")


def write_form(form: CompiledForm, folder: Path) -> None:
    """Store a form in a folder.

    Args:
        form: The form.
        folder: Made where it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model = form.model
    in_single = isinstance(model, Trees) and model.single_sums
    described: dict[str, Any] = {
        "format": FORMAT if in_single else 1,
        "numbers": list(form.numbers),
        "categories": {name: list(known) for name, known in form.categories.items()},
        "model": type(model).__name__.lower(),
        "single": isinstance(model, Trees) and model.single,
        **({"single_sums": True} if in_single else {}),
        "divisor": form.divisor,
        "link": form.link,
        "classes": list(form.classes),
    }
    arrays = {
        f"encoder_{field.name}": getattr(form.encoder, field.name) for field in fields(Encoder)
    }
    if isinstance(model, Blend):
        described["blend"] = {
            **{name: getattr(model, name) for name in BLEND_NUMBERS},
            "members": [[m.weight, m.temperature, len(m.forms)] for m in model.members],
        }
        for number, part in enumerate(model.forms):
            write_form(part, folder / str(number))
    else:
        arrays |= {f"model_{name}": value for name, value in model.arrays.items()}
    np.savez_compressed(folder / ARRAYS_FILE, bias=form.bias, **arrays)
    (folder / FORM_FILE).write_text(json.dumps(described, indent=1), encoding="utf-8")


def read_form(folder: Path) -> CompiledForm:
    """Read a form, and check that nothing in it points outside of it.

    Raises:
        CompiledFormError: If a file is missing, damaged or of another format.
    """
    try:
        described = json.loads((folder / FORM_FILE).read_text(encoding="utf-8"))
        with np.load(folder / ARRAYS_FILE, allow_pickle=False) as archive:
            arrays = {name: np.ascontiguousarray(archive[name]) for name in archive.files}
        form = _assemble(described, arrays, folder)
        check_form(form)
    except CompiledFormError:
        raise
    except Exception as error:  # damage shows in any step: in zlib, in NumPy, in an index
        raise CompiledFormError(
            f"the compiled form in {folder} cannot be read: {type(error).__name__}: {error}",
            "register the model again: make train-local",
        ) from error
    return form


def _assemble(
    described: Mapping[str, Any], arrays: Mapping[str, np.ndarray], folder: Path
) -> CompiledForm:
    if described["format"] not in (1, FORMAT):
        raise ValueError(f"its format is {described['format']}, this code reads up to {FORMAT}")
    names = [described["numbers"], described["classes"], *described["categories"].values()]
    if not all(isinstance(name, str) for each in names for name in each):
        raise ValueError("a feature, a category or a class is no text")
    parts = {
        prefix: {
            name.removeprefix(prefix): value
            for name, value in arrays.items()
            if name.startswith(prefix)
        }
        for prefix in ("encoder_", "model_")
    }
    model: Trees | Weights | Blend
    if described["model"] == "blend":
        model = _read_blend(described["blend"], folder)
    elif described["model"] == "trees":
        model = Trees(
            **parts["model_"],
            single=bool(described["single"]),
            single_sums=bool(described.get("single_sums", False)),
        )
    else:
        model = Weights(**parts["model_"])
    return CompiledForm(
        numbers=tuple(described["numbers"]),
        categories={name: tuple(known) for name, known in described["categories"].items()},
        encoder=Encoder(**parts["encoder_"]),
        model=model,
        bias=arrays["bias"],
        divisor=float(described["divisor"]),
        link=described["link"],
        classes=tuple(described["classes"]),
    )


def _read_blend(described: Mapping[str, Any], folder: Path) -> Blend:
    members, number = [], 0
    for weight, temperature, count in described["members"]:
        forms = tuple(read_form(folder / str(number + place)) for place in range(count))
        members.append(BlendMember(float(weight), float(temperature), forms))
        number += count
    return Blend(tuple(members), **{name: described[name] for name in BLEND_NUMBERS})
