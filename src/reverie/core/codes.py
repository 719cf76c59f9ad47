"""From latent codes back to items: what `decode` of a method does.

B batch, N codes, Z latent dimensions.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import numpy as np
import torch

from reverie._version import __version__
from reverie.media import ItemList
from reverie.media.from_python import array_of_codes
from reverie.utils.errors import UserError


def code_width(method: Any) -> int:
    """Z of a method's latent codes. Raises UserError if it has none."""
    latents = getattr(method, "latents", None)
    if latents is None:
        raise UserError(f"{method.origin['method']} has no latent codes to decode.")
    width: int = latents(0)([0]).shape[1]
    return width


def code_digest(values: np.ndarray) -> str:
    """16 hex digits of SHA-256 over the values of a code, float32 [Z]."""
    return hashlib.sha256(values.astype("<f4").tobytes()).hexdigest()[:16]


@torch.no_grad()
def decode_codes(method: Any, codes: Any) -> ItemList[Any]:
    """The items of codes, as `Method.decode` describes; each names the input that its code was made from."""
    width, was_training = code_width(method), method.training
    method.eval()
    try:
        z = torch.from_numpy(array_of_codes(codes, width)).to(method.device)
        found = method.from_codes(lambda items: z[[min(i, len(z) - 1) for i in items]], range(len(z)))
        made = [method.at_output_size(item)[0] for item in found]
    finally:
        method.train(was_training)
    record = {**method.origin, "verb": "decode", "arguments": {}, "reverie": __version__, "synthetic": True}
    given = codes if isinstance(codes, list) else [None] * len(made)
    return ItemList(
        _of_code(item, code, i).with_provenance({**record, "index": i, "code": code_digest(values)})
        for i, (item, code, values) in enumerate(zip(made, given, z.cpu().numpy(), strict=True))
    )


def _of_code(item: Any, code: Any, index: int) -> Any:
    """An item that names the input that its code was made from, and lies in the same folder; or item number `index`."""
    inputs, folder = getattr(code, "inputs", ()), getattr(code, "folder", "")
    return dataclasses.replace(item, inputs=inputs, index=None if inputs else index, folder=folder)
