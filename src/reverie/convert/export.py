"""Export of a run's weights as one file."""

from __future__ import annotations

import shutil
from pathlib import Path

from reverie.runs.run_place import weights_of
from reverie.runs.weights_file import read_weights
from reverie.utils.atomic_files import disk_errors, replacing
from reverie.utils.errors import UserError


def export(run: str, out: Path) -> Path:
    """Copies the weights of a run, with their config in the header, to the new .safetensors file `out`.

    Returns `out`. Raises UserError if it exists, cannot be written, or the run has no valid weights.
    """
    if out.suffix != ".safetensors":
        raise UserError(f"cannot write {out}; name it {out.stem or 'model'}.safetensors.")
    if out.exists():
        raise UserError(f"{out} is there already; give another --out.")
    source = weights_of(run)
    read_weights(source)
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as fresh:
            shutil.copyfile(source, fresh)
    return out
