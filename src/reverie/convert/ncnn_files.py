"""Weights in the files of ncnn, a program for networks on phones: .param is a text of layers, .bin their numbers.

Read as data: nothing is run. The sizes that the text asks for are compared with those of the files before memory is
taken for them. Only what networks that enlarge images are made of is known: 3x3 convolutions and PReLU have weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

MAGIC = "7767517"
"""first line of a .param"""
FLAGS: dict[int, np.dtype[Any]] = {0: np.dtype("<f4"), 0x01306B47: np.dtype("<f2")}
"""what stands before the weights of a convolution -> the type of these; biases and PReLU are float32, without a flag"""
WITHOUT_WEIGHTS = {"Input", "Split", "Concat", "Eltwise", "BinaryOp", "Interp", "PixelShuffle"}
NUM_OUTPUT, KERNEL, HAS_BIAS, WEIGHT_SIZE = "0", "1", "5", "6"
"""the numbers that a convolution's parameters have in a .param; of PReLU the first is how many weights it has"""
MOST_LAYERS = 10_000


class Layer(NamedTuple):
    """A layer with weights."""

    kind: str
    """"Convolution" or "PReLU" """
    weight: np.ndarray
    """float32 [out,in,3,3], or [C]"""
    bias: np.ndarray | None
    """float32 [out]"""


def read_ncnn(param: bytes, numbers: bytes) -> list[Layer]:
    """The layers with weights in the order of the file; param, numbers: the contents of the two files.

    Raises ValueError, in words, if they are not of such a network, or not the two files of one.
    """
    at, found = 0, []
    for line, kind, options in _layers(param):
        if kind == "PReLU":
            weight, at = _floats(numbers, at, options.get(NUM_OUTPUT, 0), FLAGS[0], line)
            found.append(Layer(kind, weight, None))
            continue
        out, size = options.get(NUM_OUTPUT, 0), options.get(WEIGHT_SIZE, 0)
        if options.get(KERNEL) != 3 or out < 1 or size % (9 * out):
            raise ValueError(f"line {line} of the .param is no 3x3 convolution")
        flag = int.from_bytes(numbers[at : at + 4], "little")
        if flag not in FLAGS:
            raise ValueError(f"the weights of line {line} are in a form that is not known ({flag:#x})")
        weight, at = _floats(numbers, at + 4, size, FLAGS[flag], line)
        bias = None
        if options.get(HAS_BIAS):
            bias, at = _floats(numbers, at, out, FLAGS[0], line)
        found.append(Layer(kind, weight.reshape(out, -1, 3, 3), bias))
    if at != len(numbers):
        raise ValueError(f"the .bin has {len(numbers):,} bytes, where the .param describes {at:,}")
    return found


def _layers(param: bytes) -> Iterator[tuple[int, str, dict[str, int]]]:
    """(line, kind, whole-numbered options) of the layers with weights. Raises ValueError."""
    try:
        magic, counts, *lines = param.decode("ascii").splitlines()
        layers = int(counts.split()[0])
    except (UnicodeDecodeError, ValueError, IndexError):
        raise ValueError("the .param is not a text of layers") from None
    lines = [line for line in lines if line.strip()]
    if magic.strip() != MAGIC or layers != len(lines) or layers > MOST_LAYERS:
        raise ValueError("the .param is not complete, or of another version of ncnn")
    for number, line in enumerate(lines, 3):
        kind, *rest = line.split()
        if kind not in {"Convolution", "PReLU", *WITHOUT_WEIGHTS}:
            raise ValueError(f"line {number} of the .param is a layer of a kind that is not known ({kind[:40]})")
        if kind in WITHOUT_WEIGHTS:
            continue
        options = (word.partition("=") for word in rest if "=" in word)
        yield number, kind, {name: int(value) for name, _, value in options if value.isdecimal() and len(value) < 10}


def _floats(numbers: bytes, at: int, count: int, kind: np.dtype[Any], line: int) -> tuple[np.ndarray, int]:
    """`count` numbers of a type from a place on, as float32, and where they end: at a multiple of 4 bytes.

    Raises ValueError where there are fewer.
    """
    end = at + -(-count * kind.itemsize // 4) * 4
    if end > len(numbers):
        raise ValueError(f"the .bin ends before the weights of line {line} of the .param")
    return np.frombuffer(numbers, kind, count, at).astype(np.float32), end
