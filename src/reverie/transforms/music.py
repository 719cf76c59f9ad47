"""Transposition of music, its attributes, and the latent directions of these attributes.

B batch, I instruments, T steps, A attributes, Z latent dimensions; events are those of data/music/midi.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from reverie.data.music.midi import DRUMS, EVENTS, ON
from reverie.utils.errors import UserError

_PITCHED = ("denser", "higher", "leaping", "offbeat")
ATTRIBUTES = {"melody": _PITCHED, "bass": _PITCHED, "drums": ("denser", "offbeat")}
"""of each instrument: number of onsets; mean pitch; mean interval between notes; share of onsets between the beats"""


def random_transpose(x: Tensor, instruments: Sequence[str], max_transpose: int) -> Tensor:
    """Events [B,I,T], each piece transposed by a random interval from 1 - max_transpose to max_transpose semitones.

    The interval is limited so that all notes stay within MIDI's 128 pitches. All instruments of a piece move together,
    drums excepted.
    """
    pitched = [k for k, name in enumerate(instruments) if name != "drums"]
    if not max_transpose or not pitched:
        return x
    transposed = x.clone()
    transposed[:, pitched] = _transpose(x[:, pitched].flatten(1), max_transpose).unflatten(1, (len(pitched), -1))
    return transposed


def _transpose(x: Tensor, max_transpose: int) -> Tensor:
    """Events [B,T] of pitched instruments, each row transposed by a random interval."""
    top, onset = EVENTS["melody"] - 1, x >= ON
    interval = torch.randint(1 - max_transpose, max_transpose + 1, (len(x), 1), device=x.device)
    highest, lowest = x.amax(1, keepdim=True), x.where(onset, top).amin(1, keepdim=True)
    interval = interval.minimum(top - highest).maximum(ON - lowest)
    return x.where(~onset, x + interval)


def attribute_names(instruments: Sequence[str]) -> tuple[str, ...]:
    """The attributes of music: of one instrument as in ATTRIBUTES; of several "denser", then "melody-denser" ..."""
    if len(instruments) == 1:
        return ATTRIBUTES[instruments[0]]
    of_each = [f"{instrument}-{name}" for instrument in instruments for name in ATTRIBUTES[instrument]]
    return ("denser", *of_each)


def attributes(events: Tensor, instruments: Sequence[str], beat: int = 4) -> Tensor:
    """Attributes [B,A] of events [B,I,T], int64, in the order of attribute_names; beat: steps of a beat."""
    of_each = [_attributes(line, name, beat) for line, name in zip(events.unbind(1), instruments, strict=True)]
    if len(of_each) == 1:
        return of_each[0]
    onsets = torch.stack([values[:, 0] for values in of_each]).sum(0)[:, None]
    return torch.cat([onsets, *of_each], 1)


def _attributes(events: Tensor, instrument: str, beat: int) -> Tensor:
    """Attributes [B,A] of events [B,T] of one instrument, in the order of ATTRIBUTES."""
    steps = torch.arange(events.shape[1], device=events.device)
    if instrument == "drums":
        hits = (events[:, :, None] >> torch.arange(len(DRUMS), device=events.device) & 1).sum(2).float()  # [B,T]
        return torch.stack([hits.sum(1), offbeat_share(hits > 0, steps, beat)], 1)
    onset, pitch = events >= ON, (events - ON).float()
    count = onset.sum(1).clamp_min(1)
    latest = torch.where(onset, steps, -1).cummax(1).values  # the step of the latest onset up to each step
    previous = torch.cat([latest.new_full((len(latest), 1), -1), latest[:, :-1]], 1)
    interval = (pitch - pitch.gather(1, previous.clamp_min(0))).abs() * (onset & (previous >= 0))
    mean_pitch = (pitch * onset).sum(1) / count
    mean_interval = interval.sum(1) / (count - 1).clamp_min(1)
    return torch.stack([onset.sum(1).float(), mean_pitch, mean_interval, offbeat_share(onset, steps, beat)], 1)


def offbeat_share(onset: Tensor, steps: Tensor, beat: int = 4) -> Tensor:
    """The share [B] of onsets, bool [B,T], that fall between beats of `beat` steps; steps: [T], 0, 1, 2 ..."""
    return (onset & (steps % beat != 0)).sum(1) / onset.sum(1).clamp_min(1)


class AttributeVectors(nn.Module):
    """The latent direction [Z] of each attribute, a moving average over training.

    It is the mean code of the quarter of a batch that has most of the attribute, minus that of the quarter that has
    least (Roberts 2018, arXiv:1803.05428, section 5.5).
    """

    sums: Tensor
    weight: Tensor

    def __init__(self, names: tuple[str, ...], latent_dim: int, decay: float = 0.99) -> None:
        super().__init__()
        self.names, self.decay = names, decay
        self.register_buffer("sums", torch.zeros(len(names), latent_dim))
        self.register_buffer("weight", torch.zeros(()))

    @torch.no_grad()
    def update(self, codes: Tensor, values: Tensor) -> None:
        """Takes in codes [B,Z] of pieces with attributes [B,A]."""
        quarter, order = max(1, len(codes) // 4), values.argsort(dim=0, stable=True)  # [B,A]
        vectors = [codes[rows[-quarter:]].mean(0) - codes[rows[:quarter]].mean(0) for rows in order.T]
        self.sums.lerp_(torch.stack(vectors).to(self.sums), 1 - self.decay)
        self.weight.lerp_(torch.ones_like(self.weight), 1 - self.decay)

    def direction(self, name: str) -> Tensor:
        """The vector [Z] of an attribute. Raises UserError if there is none of that name."""
        if name not in self.names:
            raise UserError(f"there is no direction '{name}'; there are: {', '.join(self.names)}.")
        return self.sums[self.names.index(name)] / self.weight.clamp_min(1e-12)
