"""Labelled images that are in memory already, with the interface of Images that training uses."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

from reverie.utils.errors import UserError


class InMemoryImages:
    """Square images and their labels, such as a generator has made.

    array: uint8 [N,H,W,C] with H = W
    labels: int [N], indices into `classes`
    name: what messages and titles call the set

    A run that was trained on them cannot be resumed by path, because they have none.
    """

    kind, split = "images", "train"

    def __init__(self, array: np.ndarray, labels: np.ndarray, classes: Sequence[str], name: str) -> None:
        self.array, self.labels, self.classes = array, labels.astype(np.int64), list(classes)
        self.name = self.spec = name
        self.facts = {"channels": array.shape[3], "classes": len(self.classes), "native": array.shape[1]}
        self.dropped: list[object] = []
        self.notes: list[str] = []
        shape_and_labels = repr((array.shape, self.classes)).encode() + self.labels.tobytes()
        self.fingerprint = hashlib.sha256(shape_and_labels + array.tobytes()).hexdigest()[:16]

    def __len__(self) -> int:
        """The number of images."""
        return len(self.array)

    def prepare(self, size: int, channels: int) -> InMemoryImages:
        """Do nothing, because the pixels are there. Raises UserError for another size or number of channels."""
        if (size, size, channels) != self.array.shape[1:]:
            raise UserError(f"{self.name} are {self.array.shape[1:]}; size {size} and channels {channels} do not fit.")
        return self

    def batch(self, index: Sequence[int] | np.ndarray, device: str | torch.device = "cpu") -> dict[str, torch.Tensor]:
        """The images at the given indices: "image" float32 [B,C,H,W] in [-1,1], "label" int64 [B]."""
        rows = np.asarray(index, np.int64)
        image = torch.from_numpy(self.array[rows]).to(device).permute(0, 3, 1, 2).contiguous()
        return {"image": torch.sub(image, 127.5).div_(127.5), "label": torch.from_numpy(self.labels[rows]).to(device)}
