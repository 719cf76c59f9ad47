"""LSTMs that learn in bfloat16 where the CPU can, and in float32 where it cannot."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class LSTM(nn.LSTM):
    """nn.LSTM, in float32 under autocast on CPUs without AVX512: oneDNN has no LSTM in bfloat16 for them.

    torch passes it on all the same, and it ends in "could not create a primitive descriptor".
    """

    def forward(self, input: Any, hx: tuple[Tensor, Tensor] | None = None) -> Any:
        if not torch.is_autocast_enabled("cpu") or input.device.type != "cpu" or has_bfloat16_lstm():
            return super().forward(input, hx)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.float(), None if hx is None else (hx[0].float(), hx[1].float()))


def has_bfloat16_lstm() -> bool:
    """Whether this CPU computes an LSTM in bfloat16."""
    return "AVX512" in torch.backends.cpu.get_cpu_capability()
