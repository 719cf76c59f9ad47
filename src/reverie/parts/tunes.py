"""Tunes as tensors: moved to another key, what they are like in numbers, and the directions of z that go with it.

B batch, T steps, A attributes, Z latents.

Roberts 2018, arXiv:1803.05428, section 5.5: an attribute's vector is the mean code of the quarter of tunes that have
most of it, less the mean code of the quarter that have least.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..data.midi import DRUMS, EVENTS, ON
from ..errors import UserError

ATTRIBUTES = {"melody": ("denser", "higher", "leaping", "offbeat"), "drums": ("denser", "offbeat")}
"""part -> their names: more onsets; a higher mean pitch; wider steps from note to note; more onsets between beats"""


def transposed(x: Tensor, most: int) -> Tensor:
    """Melodies [B,T] moved by random intervals from 1 - most to most, as far as their notes stay among the 128."""
    if not most:
        return x
    top, on = EVENTS["melody"] - 1, x >= ON
    by = torch.randint(1 - most, most + 1, (len(x), 1), device=x.device)
    by = by.minimum(top - x.amax(1, keepdim=True)).maximum(ON - x.where(on, top).amin(1, keepdim=True))
    return x.where(~on, x + by)


def attributes(events: Tensor, part: str) -> Tensor:
    """[B,A] of events [B,T], int64, in the order of ATTRIBUTES."""
    steps = torch.arange(events.shape[1], device=events.device)
    if part == "drums":
        struck = (events[:, :, None] >> torch.arange(len(DRUMS), device=events.device) & 1).sum(2).float()  # [B,T]
        on = struck > 0
        return torch.stack([struck.sum(1), share(on, steps)], 1)
    on, pitch = events >= ON, (events - ON).float()
    count = on.sum(1).clamp_min(1)
    last = torch.where(on, steps, -1).cummax(1).values  # the step of the last onset so far, itself included
    before = torch.cat([last.new_full((len(last), 1), -1), last[:, :-1]], 1)
    leap = (pitch - pitch.gather(1, before.clamp_min(0))).abs() * (on & (before >= 0))
    higher = (pitch * on).sum(1) / count
    return torch.stack([on.sum(1).float(), higher, leap.sum(1) / (count - 1).clamp_min(1), share(on, steps)], 1)


def share(on: Tensor, steps: Tensor) -> Tensor:
    """The share [B] of onsets [B,T] that do not fall on a quarter."""
    return (on & (steps % 4 != 0)).sum(1) / on.sum(1).clamp_min(1)


class Quarters(nn.Module):
    """The vector [A,Z] of each attribute: a moving average that follows training."""

    sums: Tensor
    weight: Tensor

    def __init__(self, names: tuple[str, ...], latent: int, decay: float = 0.99) -> None:
        super().__init__()
        self.names, self.decay = names, decay
        self.register_buffer("sums", torch.zeros(len(names), latent))
        self.register_buffer("weight", torch.zeros(()))

    @torch.no_grad()
    def follow(self, codes: Tensor, values: Tensor) -> None:
        """Takes in codes [B,Z] of tunes with attributes [B,A]."""
        quarter, order = max(1, len(codes) // 4), values.argsort(dim=0, stable=True)  # [B,A]
        found = [codes[rows[-quarter:]].mean(0) - codes[rows[:quarter]].mean(0) for rows in order.T]
        self.sums.lerp_(torch.stack(found).to(self.sums), 1 - self.decay)
        self.weight.lerp_(torch.ones_like(self.weight), 1 - self.decay)

    def direction(self, along: str) -> Tensor:
        """The vector [Z] of an attribute. Raises UserError if there is none of that name."""
        if along not in self.names:
            raise UserError(f"there is no direction '{along}'; there are: {', '.join(self.names)}.")
        return self.sums[self.names.index(along)] / self.weight.clamp_min(1e-12)
