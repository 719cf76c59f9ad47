"""What results depend on beside code and data: versions, commit, machine, time."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reverie._version import __version__


def versions() -> dict[str, str]:
    """Versions of reverie, Python and the libraries that results depend on."""
    return {
        "reverie": __version__, "torch": torch.__version__, "numpy": np.__version__,
        "python": platform.python_version(),
    }  # fmt: skip


def commit() -> str | None:
    """The git commit of this package's source, if it is a checkout."""
    git = Path(__file__).parents[3] / ".git"
    try:
        head = (git / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref: "):
            return head
        loose = git / head[5:]
        if loose.is_file():
            return loose.read_text(encoding="utf-8").strip()
        packed = (git / "packed-refs").read_text(encoding="utf-8").splitlines()
        return next((line.split()[0] for line in packed if line.endswith(" " + head[5:])), None)
    except OSError:
        return None


def machine() -> dict[str, Any]:
    """Operating system, processor by name, and the threads and the GPU that torch would use."""
    about = {"system": platform.platform(), "cpu": _cpu(), "threads": torch.get_num_threads()}
    return {**about, "gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else about


def memory_bytes() -> int:
    """Memory that this machine has, or that a container may use of it; 0 where that is not known."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return 0
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="utf-8").strip()
        return min(total, int(limit)) if limit.isdigit() else total
    except OSError:
        return total


def has_fast_bf16() -> bool | None:
    """Whether this CPU multiplies bfloat16 in hardware, without which it takes many times as long; None: not known."""
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # which early releases lack
    flags = [known[name] for name in ("avx512_bf16", "amx_bf16") if name in known]
    return any(flags) if flags else None


def _cpu() -> str:
    try:  # Linux; elsewhere platform knows the name
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def now() -> str:
    """The time in UTC, ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
