"""The contract: what a file in methods/ promises to the loop, the command line and the user.

B batch, C channels, H = W pixels. Images inside are [B,C,H,W] in [-1,1].
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from reverie._version import __version__
from reverie.core.options import REQUIRED, convert, options_of_signature, verb_name, with_config_defaults
from reverie.core.stage import Batch, Stage
from reverie.core.train_config import SMOKE
from reverie.media import Image, image_grid
from reverie.metrics.score import Score
from reverie.utils.errors import UserError

if TYPE_CHECKING:
    from reverie.core.imported_network import ImportedNetwork


class Method(nn.Module):
    """A generative system: networks, the step that trains them, and what a user does with them.

    A subclass has a docstring (first line: what it does; a line with the paper and its arXiv number), `Config`,
    `presets` ("smoke" trains in seconds, "laptop" is the default), `data_type`, and the functions below. Where
    `generate` has a parameter `label`, item i without one is of class i mod K, in the order of the config's `names`.
    """

    Config: ClassVar[type]
    presets: ClassVar[dict[str, dict[str, Any]]]
    data_type: ClassVar[Any] = None
    """the kind of data, a class with open(spec); None where nothing is learnt"""
    needs_labels: ClassVar[bool] = False
    is_classifier: ClassVar[bool] = False
    """whether it tells something of pictures that are given, rather than making new ones"""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.origin: dict[str, Any] = {"method": type(self).__module__.rpartition(".")[2]}

    @classmethod
    def preset(cls, name: str) -> dict[str, Any]:
        """The options of a preset; "smoke" has the cadence of all smoke presets beside its own."""
        return {**(SMOKE if name == "smoke" else {}), **cls.presets[name]}

    @classmethod
    def resolve_config(cls, config: Any, facts: dict[str, Any]) -> Any:
        """The config with what the data decides filled in: fields left at None that the facts name.

        facts: those of the data, and "names", the names of its classes
        """
        if getattr(config, "class_names", None) not in (None, facts.get("class_names")):
            raise UserError(f"names are {', '.join(facts['names'])} in the data; leave the option away.")
        known = {k: v for k, v in facts.items() if hasattr(config, k) and getattr(config, k) is None}
        return dataclasses.replace(config, **known)

    @classmethod
    def data_args(cls, config: Any) -> dict[str, Any]:
        """How the data is to be prepared: arguments of its prepare()."""
        return {name: getattr(config, name) for name in ("size", "channels") if hasattr(config, name)}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """The optimizers by name; each owns parameters of its own."""
        raise NotImplementedError

    def stages(self) -> list[Stage]:
        """The stages in order."""
        raise NotImplementedError

    def ema_decays(self) -> dict[str, float]:
        """Networks whose averaged weights are kept (and delivered), with the decay of a step."""
        return {}

    def transient_modules(self) -> tuple[str, ...]:
        """Parts that only training needs, such as images kept for a while: saved to go on from, not with the weights.

        Of several processes each has its own, and a run that is gone on with that of the first.
        """
        return ()

    def persistent_tensors(self, named: Iterable[tuple[str, Tensor]]) -> list[tuple[str, Tensor]]:
        """Those of named tensors that are not of parts that pass."""
        return [(name, tensor) for name, tensor in named if name.partition(".")[0] not in self.transient_modules()]

    def optional_modules(self) -> tuple[str, ...]:
        """Parts that no verb needs, such as a discriminator: weights of another program may come without them."""
        return ()

    @classmethod
    def from_imported(cls, networks: Sequence[ImportedNetwork]) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """(options of the config, weights) made of networks that another program has trained, in the order given.

        None if the method is not made of so many such networks. Raises UserError if they do not fit together.
        """
        return None

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Loads weights as they are saved, without what passes; spare parts that they lack are left away.

        Raises RuntimeError if they are not of this method.
        """
        for part in self.optional_modules():
            if not any(name.startswith(f"{part}.") for name in weights):
                delattr(self, part)
        own = self.state_dict()
        passing = own.keys() - dict(self.persistent_tensors(own.items())).keys()
        self.load_state_dict({**weights, **{name: own[name] for name in passing}})

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        """Pictures of how far training is; `batch` holds the first items of the data, always the same."""
        return {"": image_grid(self.verb("generate")(n=64, seed=0))}

    def method_scores(self, data: Any, n: int, seed: int) -> Iterator[Score]:
        """Scores that only this kind of method has, such as a likelihood, on the first n items of prepared data.

        Further parameters become flags of `reverie evaluate`.
        """
        yield from ()

    @classmethod
    def verbs(cls) -> dict[str, str]:
        """What users call each verb -> the name of its function."""
        return {verb_name(name): name for name, act in vars(cls).items() if getattr(act, "is_verb", False)}

    def verb(self, name: str) -> Any:
        """What this method does under that name; a function with .stream, which yields items as they are made."""
        able = self.verbs()
        if name not in able:
            raise UserError(f"{self.origin['method']} cannot {name}; it can {', '.join(able)}.")
        return getattr(self, able[name])

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.parameters()).device


def verb(body: Callable[..., Iterable[Any]]) -> Any:
    """Marks what users do with a method. The signature becomes flags; what comes out says how it was made.

    The body yields items one by one, in evaluation mode and without gradients. A parameter `items` picks which of
    the n are made; item i must depend on the other arguments and i alone.
    """

    @torch.no_grad()  # on a generator function it is off while the caller holds the item
    def stream(self: Method, *args: Any, **kwargs: Any) -> Iterator[Any]:
        arguments = _check(body, self, args, kwargs)
        record = {
            **self.origin,
            "verb": verb_name(body.__name__),
            "arguments": _plain(arguments),
            "reverie": __version__,
        }
        was_training = self.training
        self.eval()
        try:
            for position, item in enumerate(body(self, **arguments)):
                index = position if item.index is None else item.index
                yield item.with_provenance({"synthetic": not self.is_classifier, **record, "index": index})
        finally:
            self.train(was_training)

    @functools.wraps(body)
    def act(self: Method, *args: Any, **kwargs: Any) -> list[Any]:
        return list(stream(self, *args, **kwargs))

    marked: Any = act  # functions may carry attributes; their type does not say so
    marked.stream, marked.is_verb = stream, True
    return marked


def _check(body: Callable[..., Any], self: Method, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    options, called = options_of_signature(body), verb_name(body.__name__)
    for name in kwargs:
        if name not in [o.name for o in options]:
            raise UserError(f"{called} has no option '{name}'; it has: {', '.join(o.name for o in options)}.")
    given = with_config_defaults(
        options, {**dict(zip([o.name for o in options], args, strict=False)), **kwargs}, self.config
    )
    arguments = {}
    for option in options:
        if option.name == "items":
            arguments["items"] = given.get("items")
        elif option.name not in given and option.default is REQUIRED:
            raise UserError(f"{called} needs '{option.name}'.")
        else:
            arguments[option.name] = convert(given.get(option.name, option.default), option.type, option.name)
    return arguments


def _plain(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments that a record can hold: not which items were made, nor the pictures put in."""
    return {k: v for k, v in arguments.items() if k != "items" and isinstance(v, (int, float, str, tuple))}
