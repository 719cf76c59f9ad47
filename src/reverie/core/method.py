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
from reverie.core.codes import decode_codes
from reverie.core.generation import at_size, generate_images
from reverie.core.options import (
    REQUIRED,
    convert,
    media_inputs,
    options_of_signature,
    short_repr,
    verb_name,
    with_config_defaults,
)
from reverie.core.stage import Batch, Stage
from reverie.core.train_config import SMOKE
from reverie.data.images.conversion import Levels
from reverie.media import Image, ItemList, LazyFiles, image_grid
from reverie.media.from_python import items_of
from reverie.metrics.score import Score
from reverie.runs.weights_file import check_values
from reverie.utils.errors import UserError

if TYPE_CHECKING:
    from reverie.core.imported_network import Imported


CODE_NETWORKS = ("mean_image", "decoder", "generator")
"""what a method may call its network, or function, from codes [B,Z] to images; the first that it has is taken"""
KEPT_FACTS = ("output_size", "levels", "labels")
"""Facts of the data that are kept with the weights, where there is something to say: pixels a side of the images that
verbs make, if the networks work at another size; how values of files become levels (`data/images/levels.py`); how
labels are kept apart (`data/images/label_codes.py`)"""


class Method(nn.Module):
    """A generative system: networks, the step that trains them, and the verbs that users call.

    A file in methods/ holds one subclass, `class Name(Method)`, and is found by being there. It states

    - a docstring: first line what the method does (shown by `reverie methods`), then a line with the paper and its
      arXiv number or DOI;
    - `Config`, a flat frozen dataclass with a string under each field (`core/options.py`), and `steps` among them; what
      the data decides (channels, class_names, a vocabulary) is a field with default None, see `resolve_config`;
    - `presets`, `data_type`, `monitored`, and where they apply `needs_labels`, `needs_colour` and `is_classifier`;
    - `__init__(self, config)`, which calls `super().__init__(config)` and makes the networks; random numbers of
      initialisation are torch's, seeded by the loop;
    - `optimizers`, `stages`, the step or steps, and verbs: functions with the decorator `verb`.

    The rest has defaults below. Conventions that verbs, scores and tests rely on:

    - `generate(self, n, seed, items)` makes new items of any medium: item i is a function of (seed, i) alone, as
      `core/generation.py` describes. Its return annotation, Iterator[Image], says which medium a verb yields.
    - Where `generate` has a parameter `label: str = ""`, it names a class; item i without one is of class i mod K, in
      the order of the config's `class_names`. Augmentation and class-conditional scores use it.
    - A method with a code per item has `latents(seed)`, which returns a function from item numbers to codes [B,Z], and
      a network (or function) of CODE_NETWORKS from codes to images: `decode` and the tests use it.
    """

    Config: ClassVar[type]
    """options that the method decides; see core/options.py"""
    presets: ClassVar[dict[str, dict[str, Any]]]
    """Options by preset name, of Config and of TrainConfig. "laptop" is the default and trains in minutes on a CPU;
    "smoke" trains in seconds, and names only what makes networks small: its cadence is core/train_config.SMOKE."""
    data_type: ClassVar[Any] = None
    """the kind of data, a class with open(spec); None where nothing is learnt"""
    monitored: ClassVar[dict[str, str]] = {}
    """What metrics of the step mean to the monitor: metric -> role, one of "discriminator_auc", "diversity",
    "active_units", "loss" (`training/monitor.py` explains each). A metric that is not named here raises no alert unless
    it is not finite. Example: {"d_auc": "discriminator_auc", "nn_distance_ratio": "diversity"}."""
    needs_labels: ClassVar[bool] = False
    """whether it can only be trained on data with classes"""
    needs_colour: ClassVar[bool] = False
    """whether it can only be trained on images in colour"""
    is_classifier: ClassVar[bool] = False
    """whether it predicts something of given images, rather than making new ones"""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.origin: dict[str, Any] = {"method": type(self).__module__.rpartition(".")[2]}
        """what the record of every item says of where it is from; api.load adds run and step"""
        self.data_facts: dict[str, Any] = {}
        """what verbs need to know of the data that the run learnt from: KEPT_FACTS, those that there are"""

    # -- config and data -----------------------------------------------------------------------------------------------

    @classmethod
    def preset(cls, name: str) -> dict[str, Any]:
        """The options of a preset; "smoke" has the cadence of all smoke presets beside its own."""
        return {**(SMOKE if name == "smoke" else {}), **cls.presets[name]}

    @classmethod
    def resolve_config(cls, config: Any, facts: dict[str, Any]) -> Any:
        """The config with what the data decides filled in: fields that are None and that the facts name.

        It is called twice: when the data has been opened, and when it has been prepared. Override it to derive other
        options, or to refuse data that does not fit; call super() first.

        facts: what is known of the data, such as {"size": 28, "channels": 1, "class_names": ("a", "b")}.
        Raises UserError if class names are given that are not those of the data.
        """
        if getattr(config, "class_names", None) not in (None, facts.get("class_names")):
            names = ", ".join(facts["class_names"])
            raise UserError(f"class_names are {names} in the data; leave the option away.")
        known = {k: v for k, v in facts.items() if hasattr(config, k) and getattr(config, k) is None}
        return dataclasses.replace(config, **known)

    @classmethod
    def data_args(cls, config: Any) -> dict[str, Any]:
        """Arguments for the data's prepare(): how items are decoded. By default size and channels."""
        return {name: getattr(config, name) for name in ("size", "channels") if hasattr(config, name)}

    @classmethod
    def open_args(cls, config: Any) -> dict[str, Any]:
        """Arguments for the data's open(): how its files are read. By default none."""
        return {}

    # -- training ------------------------------------------------------------------------------------------------------

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """The optimizers by name, for `update(name, loss)`. No two own the same parameter."""
        raise NotImplementedError

    def stages(self) -> list[Stage]:
        """The stages of training in order. Most methods have one: [Stage("train", self.config.steps, self.step)]."""
        raise NotImplementedError

    def ema_decays(self) -> dict[str, float]:
        """Networks of which the loop keeps averaged weights (EMA), with the decay of a step: {"generator": 0.999}.

        Samples and the weights file have the averaged weights; training goes on with the others.
        """
        return {}

    def sample_grids(self, batch: Batch) -> dict[str, Image]:
        """Images that show how far training is: "" for samples/step-N.png, "name" for samples/step-N-name.png.

        batch: up to 32 items of the data, the same throughout a run.
        """
        return {"": image_grid(self.verb("generate")(n=64, seed=0))}

    def method_scores(self, data: Any, n: int, seed: int) -> Iterator[Score]:
        """Scores that only this kind of method has, such as a likelihood, on the first n items of prepared data.

        Further parameters become flags of `reverie evaluate`.
        """
        yield from ()

    # -- weights -------------------------------------------------------------------------------------------------------

    def transient_modules(self) -> tuple[str, ...]:
        """Modules that only training needs, such as a pool of past images: in checkpoints, not in the weights file.

        Each rank has its own; all resume with that of rank 0.
        """
        return ()

    def persistent_tensors(self, named: Iterable[tuple[str, Tensor]]) -> list[tuple[str, Tensor]]:
        """Those of named tensors that are not of transient modules."""
        return [(name, tensor) for name, tensor in named if name.partition(".")[0] not in self.transient_modules()]

    def optional_modules(self) -> tuple[str, ...]:
        """Modules that no verb needs, such as a discriminator: imported weights may come without them."""
        return ()

    @classmethod
    def from_imported(cls, networks: Sequence[Imported]) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """(options of the config, weights) from networks that another program has trained, in the order given.

        None if the method is not made of so many such networks. Raises UserError if they do not fit together.
        """
        return None

    def load_weights(self, weights: dict[str, Tensor]) -> None:
        """Loads the weights of a weights file; optional modules that it lacks are deleted, and those that are in
        it alone are passed over.

        Raises RuntimeError if names, shapes or types are not those of this method, or values are not finite.
        """
        for module in self.optional_modules():
            if hasattr(self, module) and not any(name.startswith(f"{module}.") for name in weights):
                delattr(self, module)
        absent = {module for module in self.optional_modules() if not hasattr(self, module)}
        weights = {name: x for name, x in weights.items() if name.partition(".")[0] not in absent}
        own = self.state_dict()
        check_values(own, weights)
        transient = own.keys() - dict(self.persistent_tensors(own.items())).keys()
        self.load_state_dict({**weights, **{name: own[name] for name in transient}})

    # -- verbs ---------------------------------------------------------------------------------------------------------

    @classmethod
    def verbs(cls) -> dict[str, str]:
        """Verbs as users call them -> the names of their functions (`continue` -> `continue_`)."""
        return {verb_name(name): name for name, member in vars(cls).items() if getattr(member, "is_verb", False)}

    def verb(self, name: str) -> Any:
        """The verb of that name: a function that returns a list of items, whose .stream yields them one by one.

        Raises UserError if the method has no such verb.
        """
        able = self.verbs()
        if name not in able:
            raise UserError(f"{self.origin['method']} cannot {name}; it can {', '.join(able)}.")
        return getattr(self, able[name])

    # -- latent codes --------------------------------------------------------------------------------------------------

    def from_codes(self, latents: Callable[[Sequence[int]], Tensor], items: Sequence[int]) -> Iterator[Any]:
        """The item of each code, of a method that has codes; latents: item numbers -> codes [B,Z]."""
        network = next(getattr(self, name) for name in CODE_NETWORKS if hasattr(self, name))
        yield from generate_images(network, latents, items)

    def decode(self, codes: Any) -> ItemList[Any]:
        """The items that latent codes stand for: decode(encode(images)) is reconstruct(images).

        codes: what `encode` returns, or an array or tensor [N,Z] or [Z]

        Item i depends on code i alone. Raises UserError for other shapes, and where the method has no latent codes.
        """
        return decode_codes(self, codes)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "Config" in vars(cls):
            cls.Config.__repr__ = short_repr  # type: ignore[assignment]

    def __repr__(self) -> str:
        count = sum(parameter.numel() for parameter in self.parameters())
        size = getattr(self.config, "size", None)
        parts = [f"{size} x {size}"] if size else []
        parts.append(f"{count / 1e6:.1f} M parameters" if count >= 1e5 else f"{count} parameters")
        if self.origin.get("step") is not None:
            parts.append(f"step {self.origin['step']}")
        return f"<{type(self).__name__}: {', '.join(parts)}; verbs: {', '.join(self.verbs())}>"

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return next(self.parameters()).device

    def input_domain(self, arguments: dict[str, Any]) -> str:
        """The domain, "a" or "b", of data of two that the images given to a verb with these arguments are of."""
        return "a"

    def read_by_levels(self, media: Any, domain: str) -> Any:
        """Images given to a verb, read by the same rule as those of the data; other arguments as they are."""
        levels = self.data_facts.get("levels") or {}
        record = levels.get(domain) if levels.keys() <= {"a", "b"} else levels
        if not record or not isinstance(media, Sequence) or isinstance(media, str) or not len(media):
            return media
        if isinstance(media, LazyFiles):
            return media.with_(lambda item: item.with_levels(Levels.of(record)))
        able = all(hasattr(item, "with_levels") for item in media)
        return [item.with_levels(Levels.of(record)) for item in media] if able else media

    def at_output_size(self, item: Any) -> Any:
        """An item in the size of the data, and None; or, resized to it, and the size at which the networks made it."""
        size, own = self.data_facts.get("output_size"), getattr(self.config, "size", None)
        if not size or not isinstance(item, Image) or item.pixels.shape[:2] != (own, own):
            return item, None
        return at_size(item, size), own


def verb(body: Callable[..., Iterable[Any]]) -> Any:
    """Marks a function of a method as one that users call: `reverie NAME RUN ...`, `load(run).NAME(...)`.

    The body is a generator of items (Image, Text, Music, Code) and runs in evaluation mode without gradients. Its
    signature becomes the options: each parameter needs an annotation (with constraints, `core/constraints.py`) and a
    line `name: what it is` in the docstring; a parameter `list[Image]` takes files. One whose default is None takes
    the value of the config's field of that name. A parameter `items: Items = None` selects which of the n items are
    made (`core/generation.py`). Every item gets a record of how it was made.
    """

    @torch.no_grad()  # on a generator function it is off while the caller holds the item
    def stream(self: Method, *args: Any, **kwargs: Any) -> Iterator[Any]:
        arguments = _parse_arguments(body, self, args, kwargs)
        record = _record(self, body, arguments)
        was_training = self.training
        self.eval()
        try:
            domain = self.input_domain(arguments)
            given = {name: self.read_by_levels(value, domain) for name, value in arguments.items()}
            for position, item in enumerate(body(self, **given)):
                index = position if item.index is None else item.index
                item, made_at = self.at_output_size(item)
                size = {"made_at": made_at} if made_at else {}
                yield item.with_provenance({"synthetic": not self.is_classifier, **record, **size, "index": index})
        finally:
            self.train(was_training)

    @functools.wraps(body)
    def call(self: Method, *args: Any, **kwargs: Any) -> ItemList[Any]:
        return ItemList(stream(self, *args, **kwargs))

    marked: Any = call  # functions may carry attributes; their type does not say so
    marked.stream, marked.is_verb = stream, True
    marked.record = lambda self, **kwargs: _record(self, body, _parse_arguments(body, self, (), kwargs))
    return marked


def _parse_arguments(
    body: Callable[..., Any], method: Method, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The arguments of a verb by name, converted and checked, with defaults filled in. Raises UserError."""
    options, called = options_of_signature(body), verb_name(body.__name__)
    names = [option.name for option in options]
    for name in kwargs:
        if name not in names:
            raise UserError(f"{called} has no option '{name}'; it has: {', '.join(names)}.")
    given = with_config_defaults(options, {**dict(zip(names, args, strict=False)), **kwargs}, method.config)
    arguments, media = {}, {option.name: medium for option, medium in media_inputs(body)}
    for option in options:
        if option.name == "items":
            arguments["items"] = given.get("items")
        elif option.name not in given and option.default is REQUIRED:
            raise UserError(f"{called} needs '{option.name}'.")
        else:
            value = given.get(option.name, option.default)
            if option.name in media:
                value = items_of(value, media[option.name], option.name)
            arguments[option.name] = convert(value, option.type, option.name)
    return arguments


def _record(method: Method, body: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """What the record of every item of a call holds."""
    called = {"verb": verb_name(body.__name__), "arguments": _recordable(arguments), "reverie": __version__}
    return {**method.origin, **called}


def _recordable(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments that a record holds: neither the selection of items nor the media given."""
    return {k: v for k, v in arguments.items() if k != "items" and isinstance(v, (int, float, str, tuple))}
