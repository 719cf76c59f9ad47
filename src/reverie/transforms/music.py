"""MusicDataset as tensors: moved to another key, what they are like in numbers, and the directions of z that go with it.

B batch, I instruments, T steps, A attributes, Z latents.

Roberts 2018, arXiv:1803.05428, section 5.5: an attribute's vector is the mean code of the quarter of tunes that have
most of it, less the mean code of the quarter that have least.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from reverie.data.music.midi import DRUMS, EVENTS, ON
from reverie.utils.errors import UserError

_PITCHED = ("denser", "higher", "leaping", "offbeat")
ATTRIBUTES = {"melody": _PITCHED, "bass": _PITCHED, "drums": ("denser", "offbeat")}
"""of each instrument: more onsets; a higher mean pitch; wider steps from note to note; more onsets between beats"""


def transposed(x: Tensor, instruments: Sequence[str], most: int) -> Tensor:
    """Music [B,I,T] moved by random intervals from 1 - most to most, as far as its notes stay among the 128.

    What plays together moves together, but for drums.
    """
    pitched = [k for k, name in enumerate(instruments) if name != "drums"]
    if not most or not pitched:
        return x
    moved = x.clone()
    moved[:, pitched] = _moved(x[:, pitched].flatten(1), most).unflatten(1, (len(pitched), -1))
    return moved


def _moved(x: Tensor, most: int) -> Tensor:
    """Melodies [B,T] moved by random intervals."""
    top, on = EVENTS["melody"] - 1, x >= ON
    by = torch.randint(1 - most, most + 1, (len(x), 1), device=x.device)
    by = by.minimum(top - x.amax(1, keepdim=True)).maximum(ON - x.where(on, top).amin(1, keepdim=True))
    return x.where(~on, x + by)


def names_of(instruments: Sequence[str]) -> tuple[str, ...]:
    """Their names: of one instrument as they stand; of several "denser" as a whole, then as "bass-denser"."""
    if len(instruments) == 1:
        return ATTRIBUTES[instruments[0]]
    return ("denser", *(f"{who}-{name}" for who in instruments for name in ATTRIBUTES[who]))


def attributes(events: Tensor, instruments: Sequence[str]) -> Tensor:
    """[B,A] of events [B,I,T], int64, in the order of names_of."""
    each = [_attributes(line, who) for line, who in zip(events.unbind(1), instruments, strict=True)]
    whole = [] if len(each) == 1 else [torch.stack([found[:, 0] for found in each]).sum(0)[:, None]]
    return torch.cat([*whole, *each], 1)


def _attributes(events: Tensor, instrument: str) -> Tensor:
    """[B,A] of events [B,T] of one instrument, in the order of ATTRIBUTES."""
    steps = torch.arange(events.shape[1], device=events.device)
    if instrument == "drums":
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


class AttributeVectors(nn.Module):
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
