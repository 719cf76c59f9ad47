"""The fonts that letters and sheets of text are drawn with, so that they look the same on every machine.

The files are those that matplotlib 3.11 ships: DejaVu 2.37 (LICENSE_DEJAVU), STIX 1.1 (LICENSE_STIX) and the BaKoMa
version of Computer Modern (LICENSE_BAKOMA), unmodified. The fingerprint of the `letters` data set is taken over their
bytes: replacing a file makes another data set.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def font_file(name: str) -> Path:
    """The file of a font that comes with reverie, such as "DejaVuSans"."""
    return Path(__file__).with_name(f"{name}.ttf")


def system_fonts() -> list[Path]:
    """The TrueType and OpenType files in the font folders of this machine, sorted; those of collections (.ttc) too."""
    found: set[Path] = set()
    for folder in _system_folders():
        for directory, _, names in os.walk(folder):  # passes over folders that it may not read
            found.update(Path(directory, name) for name in names if name.lower().endswith((".ttf", ".ttc", ".otf")))
    return sorted(found)


def _system_folders() -> list[Path]:
    """Where the operating system keeps fonts: for everyone, and for this user."""
    home = Path.home()
    if sys.platform == "win32":
        windows = Path(os.environ.get("WINDIR", r"C:\Windows"))
        local = Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local"))
        return [windows / "Fonts", local / "Microsoft" / "Windows" / "Fonts"]
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library" / "Fonts"]
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), data / "fonts", home / ".fonts"]
