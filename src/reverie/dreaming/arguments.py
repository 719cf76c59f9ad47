"""What dream, visualize and atlas do alike: check their arguments, open the network, note both in a record."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from typing import Any

from tqdm import tqdm

from reverie._version import __version__
from reverie.core.options import REQUIRED, convert, options_of_signature
from reverie.dreaming.network import DreamNetwork
from reverie.dreaming.open_network import open_network


def checked_arguments(function: Callable[..., Any], given: dict[str, Any], media: Collection[str]) -> dict[str, Any]:
    """Arguments of a function by name, with its defaults filled in, converted and checked.

    media: names of those that are taken as they are. Raises UserError.
    """
    checked = {}
    for option in options_of_signature(function):
        value = given.get(option.name, None if option.default is REQUIRED else option.default)
        checked[option.name] = value if option.name in media else convert(value, option.type, option.name)
    return checked


def as_network(weights: Any) -> DreamNetwork:
    """The network that an argument `weights` names, or is."""
    return weights if isinstance(weights, DreamNetwork) else open_network(weights)


def record_of(
    verb: str, networks: Sequence[DreamNetwork], given: dict[str, Any], media: Collection[str]
) -> dict[str, Any]:
    """How an item was made, but for its index: command, networks, arguments."""
    hidden = {*media, "progress"}
    arguments = {name: value for name, value in given.items() if name not in hidden and value not in (None, "", ())}
    return {
        "method": verb,
        "run": networks[0].fingerprint,
        "networks": [network.name for network in networks],
        "fingerprints": [network.fingerprint for network in networks],
        "verb": verb,
        "arguments": arguments,
        "reverie": __version__,
        "synthetic": True,
    }


def progress_bar(total: int, label: str, shown: bool, unit: str = "px") -> Any:
    """A progress bar on stderr, which a terminal shows."""
    return tqdm(
        total=total, desc=label[:40], unit=unit, unit_scale=True, delay=1, leave=False, file=sys.stderr,
        disable=None if shown else True,
    )  # fmt: skip
