"""Options: types and constraints in annotations, for the command line and Python alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

import reverie
from reverie.cli import main as cli
from reverie.core.constraints import (
    Count,
    CountOrNone,
    Decay,
    MultipleOf,
    NonNegative,
    Positive,
    PowerOfTwo,
    Range,
    Share,
)
from reverie.core.options import (
    build,
    check_config,
    constraints,
    convert,
    describe,
    options_of_dataclass,
    options_of_signature,
)
from reverie.utils.errors import UserError

Size = Annotated[int, PowerOfTwo(16)]
Side = Annotated[int, MultipleOf(8, 16)]


@pytest.mark.parametrize(
    ("wanted", "text", "value"),
    [
        (int, "1_000", 1000), (int, "-3", -3), (int, 4.0, 4), (float, "1e-3", 0.001), (float, 2, 2.0),
        (bool, "yes", True), (bool, "False", False), (str, "none", "none"), (str | None, "x", "x"),
        (str | None, "none", None), (tuple[str, ...] | None, "None", None),
        (int | None, "none", None), (int | None, None, None), (Literal["a", 2], "2", 2), (Path, "a/b", Path("a/b")),
        (tuple[int, ...], "1,2, 3", (1, 2, 3)), (tuple[float, ...], [1, 2], (1.0, 2.0)), (list[str], "a,b", ["a", "b"]),
        (Positive, "2e-4", 2e-4), (NonNegative, 0, 0.0), (Share, 1, 1.0), (Decay, "0.999", 0.999), (Count, "1", 1),
        (CountOrNone, 0, 0), (Size, "32", 32), (Size | None, None, None), (Side, 24, 24),
        (tuple[Share, ...], "0,0.5,1", (0.0, 0.5, 1.0)),
    ],
)  # fmt: skip
def test_text_and_python_objects_become_the_type(wanted: Any, text: Any, value: Any) -> None:
    converted = convert(text, wanted, "x")
    assert converted == value
    assert type(converted) is type(value)
    assert convert(converted, wanted, "x") == value, "what was converted is valid"


@pytest.mark.parametrize(
    ("wanted", "value", "message"),
    [
        (int, "1.5", "x is '1.5'; it must be a whole number."),
        (int, True, "x is True; it must be a whole number."),
        (int, float("inf"), "x is inf; it must be a whole number."),
        (float, "nan", "x is 'nan'; it must be a finite number."),
        (bool, "maybe", "x is 'maybe'; it must be true or false."),
        (int | None, "few", "x is 'few'; it must be a whole number or none."),
        (Literal["a", "b"], "c", "x is 'c'; it must be one of 'a', 'b'."),
        (Positive, 0, "x is 0.0; it must be a finite number, above 0."),
        (NonNegative, "-1", "x is -1.0; it must be a finite number, 0 or more."),
        (Share, 1.5, "x is 1.5; it must be a finite number, from 0 to 1."),
        (Decay, 1, "x is 1.0; it must be a finite number, from 0 to below 1."),
        (Count, "0", "x is 0; it must be a whole number, 1 or more."),
        (Annotated[int, Range(most=5)], 6, "x is 6; it must be a whole number, at most 5."),
        (Annotated[float, Range(above=0, below=1)], 1, "x is 1.0; it must be a finite number, above 0 to below 1."),
        (Size, 24, "x is 24; it must be a whole number, a power of two: 16, 32, 64 ...."),
        (Size, 8, "x is 8; it must be a whole number, a power of two: 16, 32, 64 ...."),
        (Size | None, 24, "x is 24; it must be a whole number, a power of two: 16, 32, 64 ..., or none."),
        (Side, 20, "x is 20; it must be a whole number, a multiple of 8, 16 or more."),
        (Side, 8, "x is 8; it must be a whole number, a multiple of 8, 16 or more."),
    ],
)
def test_messages(wanted: Any, value: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        convert(value, wanted, "x")
    assert str(caught.value) == message


def test_a_constraint_of_a_tuple_holds_for_every_element() -> None:
    wanted = tuple[Share, ...]
    with pytest.raises(UserError, match="from 0 to 1"):
        convert("0,2", wanted, "box")
    around = Annotated[tuple[int, ...], Range(1)]
    assert convert("3,4", around, "sizes") == (3, 4)
    with pytest.raises(UserError, match=r"sizes is \(3, 0\)"):
        convert((3, 0), around, "sizes")


def test_constraints_are_read_off_unions_too() -> None:
    assert constraints(Size | None) == (PowerOfTwo(16),)
    assert constraints(int) == ()
    assert describe(Count) == "a whole number, 1 or more"


@dataclass(frozen=True)
class Config:
    """What every config looks like."""

    size: Size | None = None
    """pixels"""
    lr: Positive = 2e-4
    """learning
    rate"""


def test_a_config_is_built_and_checked() -> None:
    assert [(o.name, o.default, o.help) for o in options_of_dataclass(Config)] == [
        ("size", None, "pixels"),
        ("lr", 2e-4, "learning rate"),
    ]
    assert build(Config, {"size": "32"}) == Config(32)
    with pytest.raises(UserError, match=r"has no option 'sizes'. Did you mean 'size'\?"):
        build(Config, {"sizes": 32})
    check_config(Config(64))
    with pytest.raises(UserError, match="size is 65"):  # what the data decided is checked as well
        check_config(Config(65))


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", "0"), ("latent_dim", "0"), ("size", "24"), ("steps", "none"), ("batch_size", "0"), ("ema_decay", "1"),
     ("precision", "fp16"), ("log_every", "-1")],
)  # fmt: skip
def test_command_line_and_python_refuse_alike(
    name: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "dcgan:smoke", "--data", "letters:32", "--out", str(tmp_path / "run")]
    assert cli.main([*words, f"--{name.replace('_', '-')}", value]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    with pytest.raises(UserError) as caught:
        reverie.train("dcgan:smoke", data="letters:32", out=tmp_path / "run", **{name: value})
    assert str(caught.value).startswith(f"{name} is ")
    assert line.removeprefix("reverie: --") == f"{name.replace('_', '-')}{str(caught.value).removeprefix(name)}"
    assert not (tmp_path / "run").exists()


def test_a_verb_refuses_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    method = reverie.train("dcgan:smoke", data="letters:32", out=run, steps=1)
    capsys.readouterr()
    for name, value in (("n", "0"), ("n", "many")):
        assert cli.main(["generate", str(run), "--out", str(tmp_path / "out"), f"--{name}", value]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        with pytest.raises(UserError) as caught:
            method.generate(**{name: value})
        assert line == f"reverie: --{caught.value}"


def test_the_help_of_a_parameter_goes_on_where_lines_are_indented() -> None:
    def verb(n: int, side: int = 8) -> None:
        """What it does.

        n: how many, which takes
            two lines to say
        side: in pixels
        """

    assert [o.help for o in options_of_signature(verb)] == ["how many, which takes two lines to say", "in pixels"]
