"""Train, resume, load: from names and paths to a trained method. The command line and Python both come here."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

from reverie._version import __version__
from reverie.convert.import_checkpoint import method_for
from reverie.convert.realesrgan import PRETRAINED, read_pretrained
from reverie.core.construct import construct
from reverie.core.method import KEPT_FACTS, Method
from reverie.core.options import build, checks_arguments
from reverie.core.registry import method_class
from reverie.core.resumable import check_resumable
from reverie.core.train_config import TrainConfig
from reverie.data.data_spec import STATED, DataSpec
from reverie.data.kinds import check_medium, reading_warnings
from reverie.data.python_data import python_data
from reverie.report.page import refresh_report, write_report
from reverie.runs.data_place import relative_paths, spec_of_run, split_spec
from reverie.runs.run_folder import Run, manifest
from reverie.runs.run_place import keep_place, run_place, weights_of
from reverie.runs.weights_file import read_weights
from reverie.training.callback import Callback, LogCallback
from reverie.training.initial_weights import (
    Initial,
    begin_with,
    describe_initial,
    drop_initial,
    drop_unbegun,
    keep_initial,
    read_initial,
    restore_initial,
)
from reverie.training.plan import Plan, describe_plan, make_plan
from reverie.training.prepare import (
    Prepared,
    build_method,
    open_on_ranks,
    prepare_data,
    prepare_method,
    settle_machine,
    with_memory_format,
)
from reverie.training.signals import Interrupted
from reverie.training.trainer import fit
from reverie.transforms.working_size import NOTED
from reverie.utils.distributed import Ranks
from reverie.utils.environment import commit, machine, now, versions
from reverie.utils.errors import TrainingFailed, UserError, printable
from reverie.utils.global_state import kept_global_state, one_training


@checks_arguments()
@one_training()
def train(
    method: str, *, data: Any, out: str | Path, command: str = "", splits: str | None = None,
    pairing: str | None = None, labels: str | None = None, init_from: str | Path | Method | None = None,
    callback: Callback | None = None, **options: Any,
) -> Method:  # fmt: skip
    """Trains a method on data into a new run folder, and returns it ready for its verbs.

    method: a name, or name and preset: "name:preset"
    data: a path, the name of a set, open data as reverie.open_data returns it, or data in memory: images, arrays,
        tensors, (images, labels), lines, a torch Dataset, a Hugging Face data set; see reverie.data.python_data
    out: the new folder
    command: what run.json notes as the command that repeats the run; "": this call
    splits, pairing, labels: how a path is read, as in reverie.open_data; None: "auto", as names suggest
    init_from: a run folder or weights file of the same method to begin with the weights of, or what `load` returned of
        one; options of the method that are not given are then those of that run, unless a preset is named. Parts that
        depend on the number of classes begin anew where it is another one, and that is said
    callback: function(step, metrics, run), called at each line of the log; if it returns False, training stops there
        as if it had been interrupted, but without an error; an exception in it is raised when a checkpoint is saved
    options: fields of the method's Config and of TrainConfig

    Raises UserError where something of this is wrong, TrainingFailed where the monitor stops the run, and Interrupted
    after Ctrl-C.
    """
    ranks = Ranks(str(options.get("device", "auto")))
    spec, prepared, model, begun = _prepare(method, data, (splits, pairing, labels), init_from, options, ranks)
    cls, preset, config, settings, opened = prepared
    model.optimizers()  # what a method refuses for its weights is refused before there is a folder
    about = {
        "method": method.partition(":")[0],
        "preset": preset,
        "name": cls.__name__,
        "title": (cls.__doc__ or "").strip().splitlines()[0],
        "stages": {stage.name: stage.steps for stage in model.stages()},
        "monitored": cls.monitored,
        "config": dataclasses.asdict(config),
        "train": dataclasses.asdict(settings),
        "data": {**describe_data(opened), "path": relative_paths(spec, Path(out))},
        "versions": versions(),
        "commit": commit(),
        **begun,
        "command": command or _python_call(method, spec, out, options),
        "machine": {**machine(), "threads": settings.threads, "ranks": ranks.world_size},
        "created": now(),
    }
    run = ranks.run_on_main(lambda: Run.create(out, about)) or Run(out)
    try:
        if ranks.is_main:
            print(describe_plan(model, opened, settings, ranks, Path(out)), file=sys.stderr, flush=True)
        if begun and ranks.is_main:
            keep_initial(run, model, _header(model, about))
            print(printable(describe_initial(model, begun["init"])), file=sys.stderr)
        return _fit(run, model, opened, settings, ranks, about, callback)
    except Exception:
        if ranks.is_main:
            drop_unbegun(run)
        raise
    finally:
        run.release()  # a notebook keeps the exception, and with it the run


@checks_arguments()
@one_training()
def plan(
    method: str, *, data: Any, out: str | Path = "runs/new", splits: str | None = None, pairing: str | None = None,
    labels: str | None = None, init_from: str | Path | Method | None = None, timed: bool = True, **options: Any,
) -> Plan:  # fmt: skip
    """What `train` with these arguments would do: data, networks and their parameters, time, disk and memory.

    A few steps of each stage are timed (seconds), unless timed is False; no run is written. The rest is as of train.
    """
    ranks = Ranks(str(options.get("device", "auto")))
    _, prepared, model, _ = _prepare(method, data, (splits, pairing, labels), init_from, options, ranks)
    return make_plan(model, prepared.data, prepared.settings, ranks, Path(out), timed)


@checks_arguments("run")
@one_training()
def resume(
    run: str | Path | Method,
    *,
    steps: int | None = None,
    data: Any = None,
    callback: Callback | None = None,
    **options: Any,
) -> Method:
    """Goes on with a run as if it had never stopped, and returns the method ready for its verbs.

    run: a run folder, or what `load` or `train` returned of it
    steps: a new total number of steps
    data: where the data is now, if it was moved; open data, or the same data in memory
    callback: as in train
    options: what else may change, since results do not depend on it: `device`, `on_failure`, `log_every`,
        `checkpoint_every`, `sample_every` of TrainConfig

    Raises UserError for any other option, other data, and a folder that is damaged or of another format.
    """
    run = run_place(run)
    folder = Run.open(run)
    about = folder.about
    try:
        cls = method_class(about["method"])
        config = build(cls.Config, about["config"])
        settings = build(TrainConfig, about["train"])
    except UserError as error:
        raise UserError(f"{folder.path / 'run.json'} cannot be used: {error}") from None
    if steps is not None:
        config = build(cls.Config, {**about["config"], "steps": steps})
    options = {name: value for name, value in options.items() if value is not None}
    check_resumable(options, cls.Config, str(run), about["method"])
    settings = build(TrainConfig, {**about["train"], **options})
    ranks = Ranks(settings.device)
    settings = settle_machine(settings, ranks)
    try:
        ranks.run_on_main(folder.lock)
        place = spec_of_run(about["data"], folder.path) if data is None else python_data(data)
        if isinstance(place, str | Path):
            place = DataSpec(place, *(about["data"].get(name) for name in STATED))
        opened = open_on_ranks(ranks, cls, config, place)
        if opened.fingerprint != about["data"]["fingerprint"]:
            raise UserError(
                f"the data at {opened.spec} is not what {run} began with (fingerprint {opened.fingerprint}, was "
                f"{about['data']['fingerprint']}); restore it, give its place with --data, or train a new run."
            )
        prepare_data(ranks, cls, config, opened)
        if (n := about["data"].get("n", len(opened))) != len(opened):
            raise UserError(
                f"{len(opened)} items of {opened.spec} can be used, where {run} began with {n}; `reverie data inspect` "
                "says what is dropped: correct that, or train a new run."
            )
        method = build_method(cls, config, settings, ranks)
        total, done = sum(stage.steps for stage in method.stages()), manifest(folder.path).get("step", 0)
        if steps is not None and total < done:
            raise UserError(f"{run} is at step {done} already; give --steps {done} or more, or train a new run.")
        if steps is not None and ranks.is_main:
            stages = {stage.name: stage.steps for stage in method.stages()}
            folder.update(config=dataclasses.asdict(config), stages=stages)
        kept = {name: getattr(settings, name) for name in options if name != "device"}
        if kept and ranks.is_main:
            folder.update(train={**about["train"], **kept})
        if "init" in about and not manifest(folder.path):
            restore_initial(folder, method)
        return _fit(folder, method, opened, settings, ranks, folder.about, callback)
    finally:
        folder.release()


@kept_global_state()
def load(path: str | Path | Method) -> Method:
    """A trained method, ready for its verbs, from a run folder or a weights file. Raises UserError if it is none.

    Also by the name of a network that the extra `realesrgan` brings, such as "realesr-animevideov3". A method that is
    loaded already is returned as it is.
    """
    if isinstance(path, Method):
        return path
    path = run_place(path)
    if str(path) in PRETRAINED and not Path(path).exists():
        return _load_pretrained(str(path))
    file = weights_of(path)
    header, weights, digest = read_weights(file)
    try:
        cls = method_class(header["method"])
        method = construct(cls, build(cls.Config, header["config"]))
        method.load_weights(weights)
    except UserError as error:
        raise UserError(f"{file} cannot be used: {error}") from None
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(
            f"{file} does not fit its own config ({reason}); it was changed, or is of another version of Reverie: "
            "restore it, or train again."
        ) from None
    keep_place(method, Path(path).absolute())
    method.data_facts = (header.get("data") or {}).get("facts") or {}
    method.origin = {"method": header["method"], "run": digest[:16], "step": header.get("step")}
    if "imported" in header:  # another program has trained it
        method.origin["imported"] = header["imported"]
    return method.eval()


def _load_pretrained(name: str) -> Method:
    """The method that is made of a network of PRETRAINED."""
    network = read_pretrained(name)
    kind, values, weights = method_for([network])
    cls = method_class(kind)
    method = construct(cls, build(cls.Config, values))
    method.load_weights(weights)
    sha256 = PRETRAINED[name].sha256[-1]
    imported = [{"name": network.name, "sha256": sha256}]
    keep_place(method, name)
    method.origin = {"method": kind, "run": sha256[:16], "step": None, "imported": imported}
    return method.eval()


def _prepare(
    method: str, data: Any, stated: tuple[str | None, ...], init_from: str | Path | Method | None,
    options: dict[str, Any], ranks: Ranks,
) -> tuple[Any, Prepared, Method, dict[str, Any]]:  # fmt: skip
    """What train and plan begin with: the data's spec, what is settled, the method, what run.json says of `init_from`.

    stated: splits, pairing and labels
    """
    data, initial = python_data(data), None
    data = DataSpec(data, *stated) if isinstance(data, str | Path) else data
    if init_from is not None:
        initial, options = _inherit(method, init_from, options)
    prepared = prepare_method(method, data, options, ranks)
    if ranks.is_main:
        _print_warnings(prepared.method, prepared.config, data, prepared.data)
    model = build_method(prepared.method, prepared.config, prepared.settings, ranks)
    begun = {"init": begin_with(model, initial)} if initial else {}
    settings = with_memory_format(prepared.settings, model, ranks)
    spec = data if isinstance(data, str | Path) else data.spec
    return spec, prepared._replace(settings=settings), model, begun


def _print_warnings(cls: type[Method], config: Any, data: Any, opened: Any) -> None:
    """Prints what `reverie data inspect` would warn of in how the data was read, before training begins."""
    warnings = reading_warnings(opened)
    if isinstance(data, DataSpec):
        warnings += check_medium(cls.data_type, data)
        if (pairing := getattr(opened.spec, "pairing", data.pairing)) != data.pairing:
            warnings.append(f"read with --pairing {pairing}, since --degradation makes the inputs")
    for warning in warnings:
        print(f"warning: {printable(warning)}", file=sys.stderr)
    for note in getattr(opened, "announced", ()):
        print(f"note: {printable(note)}", file=sys.stderr)
    size, native = getattr(config, "size", None), opened.facts.get("native")
    if opened.kind in ("pairs", "unpaired") and size and native >= NOTED * size:
        print(
            f"note: it learns at {size} pixels, and the images have about {native}: what it paints on them will be as "
            f"fine as at {size}; --size learns at a larger size, translate --working-size {size} scales the result.",
            file=sys.stderr,
        )


def _python_call(method: str, spec: Any, out: str | Path, given: dict[str, Any]) -> str:
    """The Python that repeats a run."""
    arguments = {"data": str(spec), "out": str(out), **getattr(spec, "stated", {}), **given}
    return f"reverie.train({', '.join([repr(method), *(f'{k}={v!r}' for k, v in arguments.items())])})"


def describe_data(data: Any) -> dict[str, Any]:
    """What run.json says of the data."""
    facts = {name: value for name, value in data.facts.items() if not isinstance(value, tuple)}  # no vocabulary
    return {
        "spec": ",".join(Path(part).name if Path(part).is_absolute() else part for part in split_spec(data.spec)),
        "name": data.name, "kind": data.kind, "split": data.split, "n": len(data),
        "fingerprint": data.fingerprint, "facts": facts, "classes": data.classes,
        "dropped": len(data.dropped), "notes": data.notes, **getattr(data.spec, "stated", {}),
        **({"sides": [len(data.a), len(data.b)]} if data.kind == "unpaired" else {}),
    }  # fmt: skip


def _fit(
    run: Run, method: Method, data: Any, settings: TrainConfig, ranks: Ranks, about: dict[str, Any],
    callback: Callback | None = None,
) -> Method:  # fmt: skip
    """Trains, writes the report at each checkpoint and however training ends, and returns the trained method."""
    log = LogCallback(callback, run, ranks)
    try:
        fit(method, data, run, settings, ranks, _header(method, about), lambda: _on_checkpoint(run), log)
    except (Interrupted, TrainingFailed) as stopped:
        ranks.run_on_main(lambda: write_report(run.path))
        if not (log.stopped and isinstance(stopped, Interrupted)):
            raise (log.error or stopped) from None
    else:
        ranks.run_on_main(lambda: write_report(run.path))
        if log.error:
            raise log.error
    return load(run.path)


def _on_checkpoint(run: Run) -> None:
    """What the main rank does after a checkpoint."""
    drop_initial(run)
    refresh_report(run.path)


def _header(method: Method, about: dict[str, Any]) -> dict[str, Any]:
    """What the weights file says of itself."""
    return {
        "method": about["method"],
        "config": dataclasses.asdict(method.config),
        "data": {**{k: about["data"][k] for k in ("name", "kind", "fingerprint", "classes")}, **_kept_facts(about)},
        "reverie": __version__,
    }


def _inherit(method: str, init_from: str | Path | Method, options: dict[str, Any]) -> tuple[Initial, dict[str, Any]]:
    """The weights to begin with, and the options with those of their run where none are given. Raises UserError."""
    name, _, preset = method.partition(":")
    initial = read_initial(run_place(init_from), name)
    inherited = {} if preset else initial.inherited(method_class(name).Config, options)
    return initial, {**inherited, **options}


def _kept_facts(about: dict[str, Any]) -> dict[str, Any]:
    """The facts of the data that verbs need, as "facts", from what run.json says; {} if there are none."""
    facts = about["data"].get("facts") or {}
    kept = {name: facts[name] for name in KEPT_FACTS if facts.get(name)}
    return {"facts": kept} if kept else {}
