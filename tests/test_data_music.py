"""From MIDI files to windows: metre, tempo, voices, the grid; splits by piece; reasons of what is rejected."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverie.data.music import midi, synthetic
from reverie.data.music.dataset import MusicDataset
from reverie.data.music.grid import Reading
from reverie.data.music.inspect import describe_music, inspect_music
from reverie.data.music.midi import DRUMS, HOLD, OFF, ON
from reverie.data.music.windows import windows
from reverie.media import Music
from reverie.utils.errors import UserError

T = 96
"""ticks per quarter in the test files: 24 per step"""
Note = tuple[float, float, int]


def midi_file(
    notes: list[Note], metres: dict[float, str] | None = None, tempos: dict[float, int] | None = None, channel: int = 0,
    name: str = "",
) -> bytes:  # fmt: skip
    """A file of notes (begin and end in steps, pitch), metres and tempos at steps."""
    events: list[tuple[int, int, mido.Message | mido.MetaMessage]] = []
    for at, text in (metres or {}).items():
        beats, _, unit = text.partition("/")
        message = mido.MetaMessage("time_signature", numerator=int(beats), denominator=int(unit))
        events.append((round(at * T / 4), 0, message))
    for at, bpm in (tempos or {}).items():
        events.append((round(at * T / 4), 0, mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(bpm))))
    for begin, end, pitch in notes:
        events.append((round(begin * T / 4), 2, mido.Message("note_on", note=pitch, velocity=80, channel=channel)))
        events.append((round(end * T / 4), 1, mido.Message("note_off", note=pitch, channel=channel)))
    events.sort(key=lambda event: event[:2])
    file = mido.MidiFile(ticks_per_beat=T)
    file.tracks.append(track := mido.MidiTrack())
    track.append(mido.MetaMessage("track_name", name=name))
    now = 0
    for at, _, message in events:
        track.append(message.copy(time=at - now))
        now = at
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def band(*tracks: tuple[int, list[Note]], metres: dict[float, str] | None = None) -> bytes:
    """A file of tracks: a program, or -1 for drums, and its notes."""
    file = mido.MidiFile(ticks_per_beat=T)
    for k, (program, notes) in enumerate(tracks):
        channel = 9 if program < 0 else k + (k >= 9)
        alone = midi_file(notes, metres, channel=channel, name=f"t{k}")
        file.tracks.append(mido.MidiFile(file=io.BytesIO(alone)).tracks[0])
        if program >= 0:
            file.tracks[-1].insert(0, mido.Message("program_change", program=program, channel=channel, time=0))
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


BEAT: list[Note] = [(4.0 * k, 4.0 * k + 1, 36) for k in range(16)]


def run(bars: int, start: int = 60) -> list[Note]:
    """A rising line of quarters in some bars."""
    return [(4.0 * k, 4.0 * k + 4, start + k % 12) for k in range(4 * bars)]


def cut(data: bytes, bars: int = 1, part: str = "melody", **reading: Any) -> tuple[np.ndarray, dict[str, int]]:
    rows, why = windows(midi.read(data, drums=reading.get("drums", "")), part, bars, Reading(**reading))
    assert rows.shape[1] == 1
    return rows[:, 0], dict(why)


def test_notes_become_events_on_the_grid() -> None:
    rows, why = cut(midi_file([(0, 2, 60), (4, 8, 64), (8, 12, 65)]))
    assert not why
    assert rows.tolist() == [[62, 0, 1, 0, 66, 0, 0, 0, 67, 0, 0, 0, 1, 0, 0, 0]]


def test_onsets_are_rounded_to_the_nearest_step() -> None:
    rows, _ = cut(midi_file([(0.2, 4, 60), (3.8, 8, 62), (8.1, 11.9, 64), (12, 16, 65)]))
    assert np.flatnonzero(rows[0] >= ON).tolist() == [0, 4, 8, 12]


def test_what_is_off_the_grid_is_left_out() -> None:
    triplets = [(k * 4 / 3, (k + 1) * 4 / 3, 60 + k) for k in range(12)]
    assert cut(midi_file(triplets))[1] == {"off the grid": 1}
    one = [(0.0, 4.0, 60), *[(4 + k * 4 / 3, 4 + (k + 1) * 4 / 3, 60 + k) for k in range(3)], (8.0, 10.0, 62),
           (10.0, 12.0, 62), (12.0, 14.0, 62), (14.0, 16.0, 62)]  # fmt: skip
    rows, why = cut(midi_file(one))  # one triplet in a bar is rounded, as the paper does with all
    assert not why
    assert np.flatnonzero(rows[0] >= ON).tolist() == [0, 4, 5, 7, 8, 10, 12, 14]


def test_metres_other_than_four_four_and_changes_are_counted() -> None:
    assert cut(midi_file(run(3), {0: "3/4"}))[1] == {"not 4/4: 3/4": 4}
    # 2 bars of 4/4, then 2 of 3/4, then 2 of 4/4: in pairs of bars
    rows, why = cut(midi_file(run(6), {0: "4/4", 32: "3/4", 56: "4/4"}), bars=2)
    assert len(rows) == 3
    assert why == {"metre change inside": 2, "not 4/4: 3/4": 1}
    assert np.flatnonzero(rows[1] >= ON).tolist() == list(range(0, 32, 4))  # the grid begins anew at the change


def test_a_metre_that_cuts_a_bar_short_is_a_change() -> None:
    _, why = cut(midi_file(run(3), {0: "4/4", 24: "4/4"}), bars=1)
    assert why == {"metre change inside": 1}  # the second bar ends after half


def test_of_two_metres_or_tempos_at_one_tick_the_last_holds() -> None:
    """Some programs begin every file with 4/4 and 120, and the true values follow at the same tick."""
    for first, second in (((4, 500), (3, 300)), ((3, 300), (4, 500))):
        file = mido.MidiFile(file=io.BytesIO(midi_file(run(3))))
        for beats, milliseconds in (second, first):
            file.tracks[0].insert(0, mido.MetaMessage("time_signature", numerator=beats, denominator=4))
            file.tracks[0].insert(0, mido.MetaMessage("set_tempo", tempo=1000 * milliseconds))
        buffer = io.BytesIO()
        file.save(file=buffer)
        piece = midi.read(buffer.getvalue())
        assert (piece.metres, piece.tempos) == ([(0, second[0], 4)], [(0, 60_000 / second[1])])


def test_tempo_changes_inside_are_counted_but_not_between_windows() -> None:
    data = midi_file(run(4), {0: "4/4"}, {0: 120, 16: 90, 40: 90, 56: 100})
    rows, why = cut(data)
    assert len(rows) == 3  # at 16 a window begins; at 40 nothing changes
    assert why == {"tempo change inside": 1}


def test_the_default_tempo_is_120() -> None:
    assert midi.read(midi_file(run(3))).tempos == [(0, 120.0)]
    rows, why = cut(midi_file(run(3), tempos={24: 90}))
    assert (len(rows), why) == (2, {"tempo change inside": 1})
    assert not cut(midi_file(run(3), tempos={24: 120}))[1]


def test_voices() -> None:
    chord = [(0, 8, 60), (0, 8, 67), (4, 6, 64), (8, 16, 62), (10, 12, 72)]
    rows, _ = cut(midi_file(chord))
    assert midi.notes_of(rows[0]) == [(0, 8, 67), (8, 10, 62), (10, 12, 72)]
    assert cut(midi_file(chord), voice="single")[1] == {"more than one voice": 1}
    legato = [(0, 4.2, 60), (4, 8.1, 62), (8, 16, 64)]  # overlaps that the grid does not see
    assert len(cut(midi_file(legato), voice="single")[0]) == 1


def test_a_named_track_is_taken() -> None:
    lead = mido.MidiFile(file=io.BytesIO(midi_file([(0, 4, 60)], name="Lead")))
    lead.tracks.append(mido.MidiFile(file=io.BytesIO(midi_file([(0, 4, 80)], name="Bells"))).tracks[0])
    buffer = io.BytesIO()
    lead.save(file=buffer)
    assert midi.notes_of(cut(buffer.getvalue(), track="lead")[0][0]) == [(0, 4, 60)]
    with pytest.raises(midi.InvalidFile, match="no track named 'flute': it has Lead, Bells"):
        cut(buffer.getvalue(), track="flute")


def test_rests_and_emptiness() -> None:
    late = [(0.0, 4.0, 60), (24.0, 28.0, 62), (28.0, 32.0, 64)]  # 20 steps of silence
    assert cut(midi_file(late), bars=2)[1] == {"rests for more than a bar": 1}
    assert len(cut(midi_file([(0.0, 16.0, 60), (28.0, 32.0, 62)]), bars=2)[0]) == 1
    rows, why = cut(midi_file([(0.0, 4.0, 60), (32.0, 36.0, 62)]))
    assert len(rows) == 2
    assert why == {"empty": 1}
    assert cut(midi_file(run(1)), bars=2)[1] == {"shorter than 2 bars": 1}


def test_a_note_that_sounds_when_a_window_begins_is_struck() -> None:
    rows, _ = cut(midi_file([(0, 24, 60), (24, 28, 62), (28, 32, 64)]))
    assert rows[1].tolist() == [62, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 66, 0, 0, 0]
    rows, _ = cut(midi_file([(0, 16, 60), (20, 32, 62)]))
    assert rows[1][0] == HOLD  # what ended with the last bar is no event of this one


def test_drums_fall_into_nine_classes() -> None:
    pitches = [36, 40, 44, 46, 41, 47, 50, 57, 59]
    data = midi_file([(k, k + 1, pitch) for k, pitch in enumerate(pitches)] + [(0, 1, 42), (9, 10, 100)], channel=9)
    rows, _ = cut(data, part="drums")
    assert rows[0][:10].tolist() == [1 | 4, 2, 4, 8, 16, 32, 64, 128, 256, 0]  # 100 is no drum of General MIDI
    assert len({pitch for pitches in DRUMS.values() for pitch in pitches}) == sum(map(len, DRUMS.values()))
    assert set(range(35, 82)) <= set(midi.CLASS_OF)
    with pytest.raises(midi.InvalidFile, match="no melody: drums only"):
        cut(data)


def test_a_hit_without_a_length_counts_on_every_barline() -> None:
    piece = midi.read(midi_file(BEAT[:5], channel=9))
    piece.notes[:, 1] = piece.notes[:, 0]
    rows, _ = windows(piece, "drums", 1)
    assert [np.flatnonzero(row).tolist() for row in rows[:, 0]] == [[0, 4, 8, 12], [0]]


def test_a_trio_is_every_combination_of_a_melody_a_bass_and_drums() -> None:
    """Section 5.1: programs 0 to 31, 32 to 39 and channel 10; of several of a kind all combinations are used."""
    low = [(8.0 * k, 8.0 * k + 8, 36 + k) for k in range(8)]
    rare = [(0.0, 4.0, 30), (60.0, 64.0, 30)]
    tracks = [(0, run(4)), (25, run(4, 70)), (33, low), (38, rare), (-1, BEAT), (73, run(4, 90))]
    piece = midi.read(band(*tracks))
    rows, why = windows(piece, "trio", 2)
    assert rows.shape == (6, 3, 32)  # three windows of two melodies; the second bass is never there
    assert why == {"rests for more than a bar (bass)": 4, "empty (bass)": 2}
    assert {int(row[0, 0]) - ON for row in rows} == {60, 68, 64, 70, 78, 74}
    assert {int(row[1, 0]) - ON for row in rows} == {36, 38, 40}
    assert (rows[:, 2, ::4] == 1).all()
    # alone, a bass is what all basses play, the highest; a melody is the rest but drums, flutes too
    assert {int(row[0, 0]) - ON for row in windows(piece, "bass", 2)[0]} == {36, 38, 40}
    assert {int(row[0, 0]) - ON for row in windows(piece, "melody", 2)[0]} == {90, 98, 94}


def test_verbs_take_the_same_melody_of_a_trio_as_training() -> None:
    low = [(8.0 * k, 8.0 * k + 8, 36) for k in range(8)]
    with_flute = Music.read(band((0, run(2)), (33, low), (-1, BEAT), (73, run(2, 90))))
    names = ["melody", "bass", "drums"]
    assert int(with_flute.lines(names, Reading())[0, 0]) - ON == 60
    assert int(with_flute.lines(names, Reading(track="t3"))[0, 0]) - ON == 90  # of a run with --track t3
    assert int(with_flute.lines(["melody"], Reading())[0, 0]) - ON == 90  # alone, a melody is all tracks together
    only_flute = Music.read(band((33, low), (-1, BEAT), (73, run(2, 90))))
    assert int(only_flute.lines(names, Reading())[0, 0]) - ON == 90


def test_what_lacks_an_instrument_is_no_trio(tmp_path: Path) -> None:
    bass = [(8.0 * k, 8.0 * k + 8, 36) for k in range(8)]
    files = {
        "whole.mid": band((0, run(4)), (33, bass), (-1, BEAT)), "no_bass.mid": band((0, run(4, 50)), (-1, BEAT)),
        "no_drums.mid": band((0, run(4, 51)), (33, bass)), "bass.mid": band((35, bass)),
        "flute.mid": band((73, run(4, 52)), (33, bass), (-1, BEAT)),
        "waltz.mid": band((0, run(4, 53)), (33, bass), (-1, BEAT), metres={0: "3/4"}),
        "late.mid": band((0, run(4, 54)), (33, [(0.0, 4.0, 36), (60.0, 64.0, 36)]), (-1, BEAT)),
    }  # fmt: skip
    data = MusicDataset.open(tree(tmp_path, {f"train/{name}": body for name, body in files.items()})).prepare(
        "trio", bars=2
    )
    assert (data.parts, data.array.shape) == (("melody", "bass", "drums"), (3, 3, 32))
    assert {drop.name[6:-4]: drop.reason for drop in data.dropped} == {
        "no_bass": "no bass: no track of programs 32 to 39", "no_drums": "no drums: no notes on channel 10",
        "bass": "no melody: bass only", "flute": "no melody of a trio: no track of programs 0 to 31",
        "waltz": "no window of 2 bars: not 4/4: 3/4", "late": "no window of 2 bars: rests for more than a bar (bass)",
    }  # fmt: skip
    assert data.rejected == {"not 4/4: 3/4": 5, "rests for more than a bar (bass)": 2, "empty (bass)": 1}
    batch = data.batch([0, 1])["events"]
    assert batch.shape == (2, 3, 32)
    findings = inspect_music(tmp_path)
    expected = {"used": 0, "pieces": 0, "rejected": {"shorter than 16 bars": 3}, "bars": 16}
    assert findings["splits"]["train"]["trios"] == expected
    assert "trios    0 of 16 bars, with --part trio" in describe_music(findings)
    for kept, why in (
        (["no_bass"], "holds no bass, only melody and drums: a trio is .* train on one, with --part melody"),
        (["no_drums", "bass"], "holds no drums, only melody and bass"), (["bass"], "holds no melody and no drums"),
        (["no_bass", "no_drums"], "has no piece with all three: a trio"), (["flute"], "no track of programs 0 to 31"),
        (["waltz"], "has no window of 2 bars in 4/4: 5 not 4/4: 3/4"),
    ):  # fmt: skip
        place = tree(tmp_path / "-".join(kept), {f"train/{name}.mid": files[f"{name}.mid"] for name in kept})
        with pytest.raises(UserError, match=why) as caught:
            MusicDataset.open(place).prepare("trio")
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="holds no melody, only bass; train on that, with --part bass"):
        MusicDataset.open(tmp_path / "bass").prepare("melody")
    assert MusicDataset.open(tmp_path / "bass").facts == {"part": "bass"}
    assert (
        len(MusicDataset.open(tmp_path / "flute").prepare("trio", 2, track="t0")) == 3
    )  # a named track may have any program


def test_a_named_track_is_what_verbs_take_too() -> None:
    music = Music.read(band((0, run(2, 80)), (40, run(2, 50))))
    assert music.lines(["melody"])[0, 0] == music.lines(["melody"], Reading(track=" T0 "))[0, 0] == 80 + ON
    assert music.lines(["melody"], Reading(track="t1"))[0, 0] == 50 + ON
    assert music.lines(["melody"], Reading(track="violin"))[0, 0] == 80 + ON


def test_the_digest_is_the_same_in_another_key_and_resolution() -> None:
    a, b = midi.read(midi_file(run(2))), midi.read(midi_file(run(2, 65)))
    other = midi.read(midi_file([*run(2)[:-1], (28.0, 32.0, 70)]))
    fine = a._replace(tpq=2 * T, notes=a.notes * np.array([2, 2, 1, 1, 1]))
    assert a.digest == b.digest == fine.digest != other.digest
    tunes_ = [midi.read(band((0, run(2, 30 + up)), (-1, BEAT))).digest for up in range(12)]
    assert len(set(tunes_)) == 1  # among drums, which are not moved


def tree(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def many(count: int) -> dict[str, bytes]:
    """Different tunes."""
    stream = np.random.default_rng(0)
    return {
        f"{i}.mid": midi_file([(4.0 * k, 4.0 * k + 4, int(p)) for k, p in enumerate(stream.integers(50, 80, 16))])
        for i in range(count)
    }


def test_a_piece_stands_in_one_split_in_whatever_key_and_folder(tmp_path: Path) -> None:
    files = many(60)
    stream = np.random.default_rng(0)
    for i in range(60):  # the same tunes, higher, under other names
        pitches = stream.integers(50, 80, 16)
        files[f"again/{i}.mid"] = midi_file([(4.0 * k, 4.0 * k + 4, int(p) + 5) for k, p in enumerate(pitches)])
    tree(tmp_path, files)
    parts = {split: MusicDataset.open(tmp_path, split) for split in ("train", "test", "val")}
    digests = {split: {entry.digest for entry in data.pieces} for split, data in parts.items()}
    assert sum(map(len, digests.values())) == 60
    assert not digests["train"] & digests["test"] | digests["train"] & digests["val"] | digests["test"] & digests["val"]
    assert len(digests["train"]) > 40
    assert sum(drop.reason.startswith("duplicate") for data in parts.values() for drop in data.dropped) == 60
    (tmp_path / "again" / "0.mid").unlink()  # one file less moves no other piece
    assert {e.digest for e in MusicDataset.open(tmp_path, "test").pieces} == digests["test"]


def test_folders_named_train_and_test_are_splits(tmp_path: Path) -> None:
    files = list(many(6).values())
    names = ["x/train/a.mid", "x/train/deep/b.MIDI", "x/Test/c.mid", "x/valid/d.mid", "x/e.mid"]
    tree(tmp_path, dict(zip(names, files, strict=False)))
    data = MusicDataset.open(tmp_path)
    assert data.splits == ["train", "test", "val"]
    assert [entry.name for entry in data.pieces] == ["x/train/a.mid", "x/train/deep/b.MIDI"]
    assert [(d.name, d.reason) for d in data.dropped] == [("x/e.mid", "outside the folders of the splits")]
    with pytest.raises(UserError, match="no split 'demo'"):
        MusicDataset.open(tmp_path, "demo")


def test_what_cannot_be_used_is_listed(tmp_path: Path) -> None:
    files = many(3)
    good = files["0.mid"]
    files |= {"broken.mid": good[:40], "words.mid": b"do re mi", "empty.mid": b"", "notes.txt": b"hello",
              "waltz.mid": midi_file(run(4, 40), {0: "3/4"}), "copy.mid": good}  # fmt: skip
    data = MusicDataset.open(tree(tmp_path / "all", {f"train/{name}": body for name, body in files.items()})).prepare(
        bars=1
    )
    assert {drop.name[6:]: drop.reason for drop in data.dropped} == {
        "broken.mid": "damaged: cut short", "words.mid": "no MIDI file", "empty.mid": "empty file",
        "notes.txt": "not a MIDI file", "copy.mid": "duplicate: the tune of train/0.mid",
        "waltz.mid": "no window of 1 bars: not 4/4: 3/4",
    }  # fmt: skip
    assert len(data) == 12
    assert data.rejected == {"not 4/4: 3/4": 6}
    assert data.notes == [
        "12 of 18 windows of 1 bars, from 3 of 4 pieces: 6 not 4/4: 3/4",
        "--time-signature 3/4 takes bars of 3/4; --ignore-signatures takes all as 4/4, changes of metre and tempo too.",
    ]
    assert len(data.fingerprint) == 16


def test_a_zip_and_one_file_are_read_too(tmp_path: Path) -> None:
    files = many(12)
    tree(tmp_path / "f", files)
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(f"f/{name}", data)
    a, b = (MusicDataset.open(tmp_path / name).prepare(bars=1) for name in ("f", "f.zip"))
    assert a.fingerprint == b.fingerprint
    assert np.array_equal(a.array, b.array)
    assert len(MusicDataset.open(tmp_path / "f" / "3.mid").prepare(bars=4)) == 1  # one piece is all train
    assert [MusicDataset.recognises(tmp_path / name) for name in ("f", "f.zip", "f/3.mid")] == [True] * 3


def test_bad_input_gets_one_line(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    (tmp_path / "a.txt").write_text("do re mi")
    (tmp_path / "a.zip").write_bytes(b"PK not")
    tree(tmp_path / "drums", {"a.mid": midi_file([(k, k + 1, 36) for k in range(16)], channel=9)})
    tree(tmp_path / "waltz", {"a.mid": midi_file(run(4), {0: "3/4"})})
    tree(tmp_path / "broken", {"a.mid": b"MThd", "b.mid": b""})
    tree(tmp_path / "images", {"a.png": b"x"})
    for spec, why in (
        (tmp_path / "nothing", "it is empty"), (tmp_path / "a.txt", "no MIDI file, folder or zip"),
        ("", "no data named"), ("x" * 5000, "no such path"), ("a\0b", "no such path"),
        (tmp_path / "a.zip", "as a zip"), (tmp_path / "images", r"no MIDI files in .* \(1 other files\)"),
        ("toons", "Did you mean 'tunes'"), (tmp_path / "none", "no such path"), ("tunes:x", "not a number of pieces"),
        (tmp_path / "broken", "none of the 2 MIDI files in .* can be used"),
        (tmp_path / "waltz", "has no window of 2 bars"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=why) as caught:
            MusicDataset.open(spec).prepare()
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="holds no melody, only drums; train on that, with --part drums"):
        MusicDataset.open(tmp_path / "drums").prepare("melody")
    assert MusicDataset.open(tmp_path / "drums").facts == {"part": "drums"}
    assert len(MusicDataset.open(tmp_path / "drums").prepare(bars=1)) == 1
    with pytest.raises(UserError, match="holds no drums, only melody"):
        MusicDataset.open("tunes:4").prepare("drums")
    for wrong, why in ((dict(bars=0), "1 to 64"), (dict(part="flute"), "one of melody, bass, drums, trio")):
        with pytest.raises(UserError, match=why):
            MusicDataset.open("tunes:4").prepare(**wrong)
    with pytest.raises(RuntimeError, match="prepare"):
        _ = MusicDataset.open("tunes:4").array
    assert not MusicDataset.recognises(tmp_path / "images")
    assert not MusicDataset.recognises(tmp_path / "a.zip")


def test_one_window_is_used_once() -> None:
    data = MusicDataset.open("tunes:20").prepare(bars=2)
    assert len(np.unique(data.array[:, 0], axis=0)) == len(data)
    assert len(data) + data.rejected["repeat of an earlier window"] == 20 * 15
    assert len(data.piece_index) == len(data)
    assert data.piece_index.max() == 19


def test_some_windows_alone() -> None:
    data = MusicDataset.open("tunes:9").prepare()
    few = data.subset(np.array([5, 2]))
    assert np.array_equal(few.batch([0, 1])["events"], data.batch([5, 2])["events"])
    assert (len(few), few.fingerprint, few.piece_index.tolist()) == (
        2,
        data.fingerprint,
        data.piece_index[[5, 2]].tolist(),
    )
    assert len(data) > 2


def test_a_batch() -> None:
    data = MusicDataset.open("beats:8").prepare(bars=1)
    batch = data.batch([2, 0, 2])
    assert batch["events"].shape == (3, 1, 16)
    assert str(batch["events"].dtype) == "torch.int64"
    assert np.array_equal(batch["events"].numpy(), data.array[[2, 0, 2]])
    with pytest.raises(IndexError):
        data.batch([len(data)])


@pytest.mark.parametrize("name", ["tunes", "beats", "trios"])
def test_built_in_pieces_depend_on_split_and_number_alone(name: str) -> None:
    make = synthetic.SETS[name]
    few, more = MusicDataset.open(f"{name}:5").prepare(bars=16), MusicDataset.open(f"{name}:9").prepare(bars=16)
    assert np.array_equal(more.array[: len(few)], few.array)
    assert make("train", 3).digest == make("train", 3).digest != make("test", 3).digest
    assert few.fingerprint == MusicDataset.open(f"{name}:5").fingerprint != more.fingerprint
    assert len(MusicDataset.open(f"{name}:5", "test")) == 200


def test_built_in_tunes_are_music() -> None:
    """In one key, at home at the end, with phrases that come back."""
    from reverie.metrics.music import bar_self_similarity, scale_consistency

    data = MusicDataset.open("tunes:60").prepare(bars=16)
    assert scale_consistency(data.array[:, 0]).mean() > 0.98
    assert bar_self_similarity(data.array[:, 0]).mean() > 0.75
    for i in range(60):
        piece = synthetic.tune("train", i)
        assert piece.notes[:, 1].max() == 16 * 4 * synthetic.TPQ
        assert piece.notes[:, 2].min() >= 40
        assert piece.notes[:, 2].max() <= 90
    beats = MusicDataset.open("beats:60").prepare(bars=16).array[:, 0]
    assert bar_self_similarity(beats).mean() > 0.75
    assert (beats[:, ::16] & 1).mean() > 0.9  # a kick on the first beat of nearly every bar


def test_built_in_trios_play_together() -> None:
    """The melody is one that tunes have too, and bass and melody are in one key."""
    from reverie.metrics.music import scale_consistency

    data = MusicDataset.open("trios:60").prepare("trio", bars=16)
    assert data.array.shape == (60, 3, 256)
    assert not data.rejected
    together = scale_consistency(data.array[:, :2].reshape(60, -1)).mean()
    others = scale_consistency(np.concatenate([data.array[:, 0], np.roll(data.array[:, 1], 1, 0)], 1)).mean()
    assert together > 0.97 > 0.9 > others
    assert (data.array[:, 2, ::16] & 1).mean() > 0.9
    for i in range(60):
        piece = synthetic.trio("train", i)
        bass = piece.of("bass")
        assert min(len(piece.of("melody")), len(piece.of("drums"))) > 40
        assert 26 <= bass[:, 2].min() <= bass[:, 2].max() <= 62
        assert bass[:, 1].max() == piece.of("melody")[:, 1].max() == 16 * 4 * synthetic.TPQ
    lows = [int(row[row >= ON][-1]) % 12 for row in data.array[:, 1]]
    tops = [int(row[row >= ON][-1]) % 12 for row in data.array[:, 0]]
    assert lows == tops  # both end on the tonic
    assert MusicDataset.open("trios:9").facts == {"part": "melody"}
    assert len(MusicDataset.open("trios:9").prepare("bass", bars=16)) == 9


def test_inspect_reports_what_a_folder_holds(tmp_path: Path) -> None:
    tree(tmp_path, {**{f"train/{n}": d for n, d in many(4).items()}, "train/bad.mid": b"x",
                    "test/a.mid": midi_file(run(4)), "test/b.mid": many(1)["0.mid"]})  # fmt: skip
    findings = inspect_music(tmp_path)
    json.dumps(findings)
    train = findings["splits"]["train"]
    assert (train["found"], train["used"], train["windows"]["2"]["used"]) == (5, 4, 12)
    assert train["windows"]["16"] == {"used": 0, "pieces": 0, "rejected": {"shorter than 16 bars": 4}, "bars": 16}
    assert train["dropped_by_reason"]["no MIDI file"] == {"count": 1, "names": ["train/bad.mid"]}
    assert findings["shared_windows"] == [{"splits": ["train", "test"], "count": 3, "of": 6}]
    assert "only 4 pieces" in findings["warnings"][0]
    text = describe_music(findings)
    for line in ("train: 4 pieces used of 5 files found", "12 of 2 bars", "also in train: 3 of 6"):
        assert line in text


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000), length=st.sampled_from([16, 32]), part=st.sampled_from(["melody", "drums"])
)  # fmt: skip
def test_windows_of_a_piece_join_to_the_piece(seed: int, length: int, part: str) -> None:
    stream = np.random.default_rng(seed)
    events = stream.choice([0, 0, 0, 1, 60, 64, 67], 96) if part == "melody" else stream.integers(0, 512, 96)
    events = midi.canonical(events, part)
    rows, struck = zip(*(midi.window(events[None], at, length, [part]) for at in range(0, 96, length)), strict=True)
    joined = midi.join_windows(np.stack(rows), struck, [part])[0]
    if part == "drums":
        assert np.array_equal(joined, events)
        return
    sounding = [midi.notes_of(x) for x in (joined, events)]
    # but for silence: a note that ends just where a window begins has its end left out there
    begins = [[(a, p) for a, _, p in notes] for notes in sounding]
    assert begins[0] == begins[1]


def test_the_silence_behind_a_piece_ends_what_sounds() -> None:
    for events, notes in (([62], [(0, 16, 60)]), ([62, 0, 1], [(0, 2, 60)]), ([62, 0, 64], [(0, 2, 60), (2, 16, 62)])):
        line = np.pad(np.array(events), (0, 16 - len(events)))
        for begin in (0, 8):
            row = midi.window(line[None], begin, 32, ["bass"])[0][0]
            assert midi.notes_of(row) == [(max(0, a - begin), b - begin, p) for a, b, p in notes if b > begin]
    assert midi.window(np.array([[1, 1, 1]]), 0, 5, ["drums"])[0].tolist() == [[1, 1, 1, 0, 0]]


def test_skyline_is_the_highest_voice() -> None:
    begin, end, pitch = np.array([0, 0, 2, 4]), np.array([8, 4, 3, 6]), np.array([50, 60, 55, 70])
    assert list(midi.skyline(begin, end, pitch)) == [(0, 4, 60), (4, 6, 70)]


def test_canonical_keeps_what_sounds() -> None:
    assert midi.canonical(np.array([OFF, 60, OFF, OFF, 62]), "melody").tolist() == [0, 60, 1, 0, 62]
