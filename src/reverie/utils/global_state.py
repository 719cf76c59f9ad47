"""What all code of a process shares in torch: random numbers, threads, the flag of deterministic algorithms."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from reverie.utils.errors import UserError

_TRAINING = threading.RLock()
"""held by the thread that trains"""


@contextmanager
def kept_global_state() -> Iterator[None]:
    """After it, torch's random numbers, threads and deterministic flag are what they were; also as a decorator.

    Those of Python and NumPy are left alone by all that we do.
    """
    seed, state, threads = torch.initial_seed(), torch.get_rng_state(), torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    try:
        yield
    finally:
        torch.set_rng_state(state)
        if on_gpus is not None:
            torch.cuda.set_rng_state_all(on_gpus)
        elif torch.cuda.is_available():  # generators that had not begun yet would have begun with the seed of the CPU's
            torch.cuda.manual_seed_all(seed)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)


@contextmanager
def one_training() -> Iterator[None]:
    """`kept_global_state` for one thread at a time: each step seeds the generator that all threads draw from.

    Raises UserError where another thread is inside.
    """
    if not _TRAINING.acquire(blocking=False):
        raise UserError(
            "another thread of this process is training, and both would draw from one generator of random numbers; "
            "wait for it, or start another process for the second."
        )
    try:
        with kept_global_state():
            yield
    finally:
        _TRAINING.release()
