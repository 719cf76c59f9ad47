"""Networks of other programs, filled with the weights of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reverie.utils.errors import UserError


def filled(net: nn.Module, weights: dict[str, Tensor], name: str, path: Path) -> Any:
    """The network with these weights, in float32, for evaluation; it may be on the meta device.

    name, path: of the network and its file, for messages. Raises UserError, naming what is wrong, if they do not fit.
    """
    wanted, given = net.state_dict(), dict(weights)
    for key in wanted:
        if key.endswith("num_batches_tracked"):  # missing in older files, and not used in evaluation
            given.setdefault(key, torch.tensor(0))
    problems = [f"{key} is missing" for key in wanted if key not in given]
    problems += [f"{key} is unexpected" for key in given if key not in wanted]
    problems += [
        f"{key} is {tuple(given[key].shape)}, not {tuple(value.shape)}"
        for key, value in wanted.items()
        if key in given and given[key].shape != value.shape
    ]
    if problems:
        raise UserError(f"{path} looks like {name}, but {problems[0]} ({len(problems)} such); get the file again.")
    net.load_state_dict(given, assign=True)
    return net.float().eval().requires_grad_(False)
