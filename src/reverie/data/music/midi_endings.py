"""Notes of a MIDI file that never end, since their note-off was lost: they are ended, as readers would leave them out.

Such a note lasts to the next onset of its channel in the track, or to the end of the track: the next onset of its own
pitch may be bars away, and until then it would lie over the melody.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from reverie.data.music.midi_channels import DATA_BYTES, variable

_NOTE_OFF, _NOTE_ON, _SYSTEM = 0x80, 0x90, 0xF0


class _Event(NamedTuple):
    tick: int
    status: int
    begin: int
    """the place of its data, after the status byte, which may be left out"""
    end: int


@lru_cache(2)  # a file is looked at when it is opened, and right after when it is read
def end_notes(data: bytes) -> tuple[bytes, int]:
    """(the bytes of a MIDI file whose notes all end, how many did not); a track that is damaged stays as it is."""
    at, ended = 8 + int.from_bytes(data[4:8], "big"), 0
    whole, quarter = [data[:at]], int.from_bytes(data[12:14], "big")
    while at + 8 <= len(data):
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "big")
        chunk = data[at:end]
        if chunk[:4] == b"MTrk" and end <= len(data) and _counts_endless(data, at + 8, end):
            events = list(_events(data, at + 8, end))
            if endless := _endless(data, events) if events and events[-1].end == end else []:
                body = _with_endings(data, events, endless, quarter)
                chunk, ended = b"MTrk" + len(body).to_bytes(4, "big") + body, ended + len(endless)
        whole.append(chunk)
        at = end
    return (b"".join(whole) + data[at:], ended) if ended else (data, 0)


def _counts_endless(data: bytes, at: int, end: int) -> int:
    """How many notes of a track's bytes never end. One loop without calls, since it goes over every file."""
    sounding, status = [0] * (16 << 7), 0
    try:
        while at < end:
            while data[at] & 0x80:  # the time that passes
                at += 1
            at += 1
            if data[at] & 0x80:
                status, at = data[at], at + 1
            if status >= _SYSTEM:
                size, at = variable(data, at + (status == 0xFF), end)
                at, status = at + size, 0
                continue
            if _NOTE_OFF <= status < 0xA0:
                key = (status & 15) << 7 | data[at]
                if status >= _NOTE_ON and data[at + 1]:
                    sounding[key] += 1
                elif sounding[key]:
                    sounding[key] -= 1
            at += DATA_BYTES[status >> 4]
    except (IndexError, KeyError):  # damaged
        return 0
    return sum(sounding)


def _events(data: bytes, at: int, end: int) -> Iterator[_Event]:
    """The events of a track's bytes from `at` to `end`; it stops at damage."""
    tick = status = 0
    while at < end:
        passed, at = variable(data, at, end)
        tick += passed
        if at < end and data[at] & 0x80:
            status, at = data[at], at + 1
        if status < _NOTE_OFF or at >= end:
            return
        begin = at
        if status < _SYSTEM:
            at += DATA_BYTES[status >> 4]
        else:
            size, at = variable(data, at + (status == 0xFF), end)
            at += size
        yield _Event(tick, status, begin, at)
        status = 0 if status >= _SYSTEM else status


def _endless(data: bytes, events: list[_Event]) -> list[tuple[int, int, int]]:
    """(tick, channel, pitch) of each note that never ends; an end is that of the last onset of its pitch."""
    sounding: dict[tuple[int, int], list[int]] = {}
    for tick, status, begin, _ in events:
        kind = status & 0xF0
        if kind not in (_NOTE_ON, _NOTE_OFF):
            continue
        onsets = sounding.setdefault((status & 15, data[begin]), [])
        if kind == _NOTE_ON and data[begin + 1]:
            onsets.append(tick)
        elif onsets:
            onsets.pop()
    return [(tick, *key) for key, onsets in sounding.items() for tick in onsets]


def _with_endings(data: bytes, events: list[_Event], endless: list[tuple[int, int, int]], quarter: int) -> bytes:
    """The bytes of a track in which these notes end; the last of a channel lasts at least as long as the one before."""
    onsets: dict[int, list[int]] = {}
    for tick, status, begin, _ in events:
        if status & 0xF0 == _NOTE_ON and data[begin + 1]:
            onsets.setdefault(status & 15, []).append(tick)
    ends: dict[int, dict[int, int]] = {}
    for channel, ticks in onsets.items():
        steps = [tick for tick, _ in groupby(ticks)]
        last = steps[-1] + (steps[-1] - steps[-2] if len(steps) > 1 else quarter)
        ends[channel] = dict(zip(steps, [*steps[1:], max(last, events[-1].tick)], strict=True))
    written = list[tuple[int, int, bytes]]()
    for tick, channel, pitch in endless:
        until = ends[channel][tick]
        written.append((until, 0, bytes((_NOTE_OFF | channel, pitch, 0))))  # before what else happens there
    written += [(tick, 1, bytes((status,)) + data[begin:end]) for tick, status, begin, end in events[:-1]]
    written.sort(key=itemgetter(0, 1))
    final = events[-1]
    written.append((max(final.tick, written[-1][0]), 1, bytes((final.status,)) + data[final.begin : final.end]))
    out, now = bytearray(), 0
    for tick, _, message in written:
        out += _encoded(tick - now) + message
        now = tick
    return bytes(out)


def _encoded(number: int) -> bytes:
    """A number as one of variable length."""
    out = [number & 127]
    while number := number >> 7:
        out.append(number & 127 | 128)
    return bytes(reversed(out))
