"""How MIDI is read: which bars are taken, on what grid, how far onsets are moved to it, which tracks and drums.

A step is the shortest note of a grid; a bar has `Grid.bar` of them: 16 sixteenths of 4/4, 12 of 3/4, 24 of 4/4 on the
grid of 24 that holds eighth triplets beside straight eighths.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from reverie.utils.errors import UserError

RESOLUTIONS = (12, 16, 24, 32, 48)
"""steps of a whole note: 12 eighth triplets, 16 sixteenths, 24 both eighths and triplets, 32, 48 all of these"""
OFF_GRID = 0.25
"""steps that the onset of a pitched note may lie away from the grid, by default"""
NEAREST = 0.5
"""as many that every onset is moved to its nearest step: the default of drums, whose timing is played, not written"""


class Grid(NamedTuple):
    """Bars of a time signature in steps."""

    resolution: int = 16
    """steps of a whole note, see RESOLUTIONS"""
    beats: int = 4
    """numerator of the time signature"""
    unit: int = 4
    """its denominator"""

    @property
    def bar(self) -> int:
        """Steps of a bar."""
        return self.resolution * self.beats // self.unit

    @property
    def quarter(self) -> float:
        """Steps of a quarter note."""
        return self.resolution / 4

    @property
    def beat(self) -> int:
        """Steps of a beat: of 6/8, 9/8 and 12/8 a dotted quarter, else the denominator's note; at least 1."""
        compound = self.unit >= 8 and self.beats % 3 == 0 and self.beats > 3
        return max(1, self.resolution * (3 if compound else 1) // self.unit)

    @property
    def signature(self) -> str:
        """The time signature as it is written: "4/4"."""
        return f"{self.beats}/{self.unit}"

    @property
    def step_name(self) -> str:
        """What a step is called, in the plural."""
        return {16: "sixteenths", 12: "eighth triplets"}.get(self.resolution, f"1/{self.resolution} notes")


SIXTEENTHS = Grid()
"""the default: sixteenths, bars of 4/4"""


def make_grid(time_signature: str = "4/4", resolution: int = 16) -> Grid:
    """The grid of a time signature such as "3/4". Raises UserError if it is none, or the grid cannot hold its bars."""
    found = re.fullmatch(r"\s*(\d{1,2})\s*/\s*(\d{1,2})\s*", time_signature)
    beats, unit = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= beats <= 32 or unit not in (1, 2, 4, 8, 16, 32):
        raise UserError(f"time_signature is '{time_signature}'; it must be one such as 4/4, 3/4 or 6/8.")
    if resolution not in RESOLUTIONS:
        raise UserError(
            f"grid is {resolution}; it must be one of {', '.join(map(str, RESOLUTIONS))} steps a whole note."
        )
    if resolution * beats % unit:
        fitting = next((str(other) for other in RESOLUTIONS if other * beats % unit == 0), "")
        raise UserError(
            f"a grid of {resolution} steps a whole note cannot hold bars of {beats}/{unit}; take {fitting}."
        )
    return Grid(resolution, beats, unit)


class Reading(NamedTuple):
    """How a piece is read."""

    grid: Grid = SIXTEENTHS
    quantize: float | None = None
    """steps that an onset may lie away from its step, 0 to NEAREST; None: OFF_GRID, of drums NEAREST"""
    ignore_signatures: bool = False
    """whether bars are laid from the first tick on, whatever the file says its time signature is, and windows are taken
    in which the tempo changes"""
    voice: str = "skyline"
    """of a melody, see data/music/windows.py"""
    track: str = ""
    """name or number of the track that plays the first instrument; "": all that may"""
    drums: str = ""
    """name of the track, or number of the channel, that is the drums; "": channel 10"""

    def tolerance(self, instrument: str) -> float:
        """Steps that an onset of an instrument may lie away from its step."""
        if self.quantize is not None:
            return self.quantize
        return NEAREST if instrument == "drums" else OFF_GRID

    @property
    def drum_channel(self) -> int:
        """The channel of the drums, from 1; 0 if they are found by a name, or are on channel 10 as usual."""
        return int(self.drums) if self.drums.strip().isdecimal() else 0


AS_WRITTEN = Reading()
"""the default: bars of 4/4 as the file says, on the grid of sixteenths"""
