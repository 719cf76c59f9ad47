"""What is climbed: layers and single channels with weights, or what a guide picture has in these layers.

B batch, C channels, h, w positions of a map; images [B,3,H,W] in [-1,1].
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from reverie.dreaming.network import DreamNetwork
from reverie.utils.errors import UserError

CALIBRATED_AT = 192
"""pixels of the longer side at which several layers are brought to gradients of equal size"""


class Term(NamedTuple):
    """A layer, or one of its channels, and how much it counts."""

    layer: str
    channel: int | None = None
    weight: float = 1.0


def read_terms(texts: Sequence[str], network: DreamNetwork) -> list[Term]:
    """Terms from texts such as "block9", "block9:17" for channel 17, "block9=0.5" for half the weight.

    Raises UserError for an unknown layer, a channel that it does not have, and other text.
    """
    terms = []
    for text in texts:
        match = re.fullmatch(r"([^:=]+)(?::(\d+))?(?:=(-?\d*\.?\d+))?", text.strip())
        if not match:
            raise UserError(f"layer '{text}' is not LAYER, LAYER:CHANNEL or LAYER=WEIGHT, such as block9:17=0.5.")
        layer = network.layer(match[1])
        channel = None if match[2] is None else int(match[2])
        if channel is not None and channel >= layer.channels:
            raise UserError(f"layer {layer.name} has the channels 0 to {layer.channels - 1}, not {channel}.")
        terms.append(Term(layer.name, channel, float(match[3] or 1)))
    return terms


class LayerObjective:
    """images -> the weighted sum over terms, each summed over positions: what DeepDream climbs."""

    def __init__(self, network: DreamNetwork, terms: Sequence[Term], guide: Tensor | None = None) -> None:
        """guide: a picture [1,3,H,W], of which the image takes on what it has most alike in these layers"""
        self.network, self.terms = network, list(terms)
        self.scales = [1.0] * len(self.terms)
        self.guides: dict[str, Tensor] = {}
        if guide is not None:
            with torch.no_grad():
                maps = network.maps(guide, self.names)
            self.guides = {name: self._seen(name, value)[0].flatten(1) for name, value in maps.items()}  # [C,hw]

    @property
    def names(self) -> list[str]:
        """The layers, each once."""
        return list(dict.fromkeys(term.layer for term in self.terms))

    def __call__(self, x: Tensor) -> Tensor:
        maps = self.network.maps(x, self.names)
        scaled = zip(self.terms, self.scales, strict=True)
        return torch.stack([scale * self._energy(term, maps[term.layer]) for term, scale in scaled]).sum()

    def calibrate(self, x: Tensor) -> None:
        """Scales the terms so that their gradients are of equal size at x, but for their weights."""
        if len(self.terms) < 2:
            return
        k = CALIBRATED_AT / max(x.shape[2:])
        size = [max(1, round(side * k)) for side in x.shape[2:]]
        x = F.interpolate(x, size, mode="bilinear", antialias=k < 1) if k < 1 else x.clone()
        for i, term in enumerate(self.terms):
            with torch.enable_grad():
                seen = x.detach().requires_grad_()
                energy = self._energy(term._replace(weight=1), self.network.maps(seen, [term.layer])[term.layer])
                norm = float(torch.autograd.grad(energy, seen)[0].abs().mean())
            self.scales[i] = 1 / max(norm, 1e-12)

    def _energy(self, term: Term, map_: Tensor) -> Tensor:
        """Of one term: the sum of a channel; of half the squares of a layer; or of products with the guide."""
        if term.channel is not None:
            return term.weight * map_[:, term.channel].sum()
        if term.layer in self.guides:
            return term.weight * self._guided(self._seen(term.layer, map_), self.guides[term.layer])
        return term.weight * self._seen(term.layer, map_).square().sum() / 2

    def _seen(self, name: str, map_: Tensor) -> Tensor:
        """A map as the next layer sees it: where a ReLU follows, a soft one, whose gradient is 0 nowhere."""
        return F.softplus(map_, beta=4) if self.network.layers[name].rectified else map_

    def _guided(self, map_: Tensor, guide: Tensor) -> Tensor:
        """The product of each position of map_ [1,C,h,w] with the position of the guide [C,n] that it is most like."""
        here = map_[0].flatten(1)  # [C,hw]
        best = torch.cat([(part.T @ guide).argmax(1) for part in here.detach().split(4096, 1)])
        return (here * guide[:, best]).sum()
