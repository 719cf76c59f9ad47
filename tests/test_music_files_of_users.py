"""Music as users have it: versions of songs, other signatures and grids, odd files, what verbs do with them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest

from reverie.cli.main import main
from reverie.core import pace
from reverie.data.data_spec import DataSpec
from reverie.data.music import midi
from reverie.data.music.dataset import MusicDataset
from reverie.data.music.grid import Grid, Reading, make_grid
from reverie.data.music.inspect import describe_music, inspect_music
from reverie.data.music.midi import ON
from reverie.data.music.midi_writer import velocity_at
from reverie.data.music.splits import group_pieces
from reverie.data.music.windows import windows
from reverie.evaluation.evaluate_music import MusicEvaluator
from reverie.media import Music, read_record
from reverie.media.piano_roll import GUTTER, MARKED
from reverie.metrics.music import copying_scores
from reverie.utils.errors import UserError

T = 96
"""ticks per quarter"""
Note = tuple[float, float, int]
"""begin and end in quarters, pitch"""


def track(notes: list[Note], channel: int = 0, name: str = "", program: int | None = None, **signs: Any) -> Any:
    """A track; signs: at_N="3/4", a signature at quarter N."""
    events = [(round(float(at[3:]) * T), 0, mido.MetaMessage("time_signature", numerator=int(text.split("/")[0]),
               denominator=int(text.split("/")[1]))) for at, text in signs.items()]  # fmt: skip
    if program is not None:
        events.append((0, 1, mido.Message("program_change", program=program, channel=channel)))
    for begin, end, pitch in notes:
        events.append((round(begin * T), 3, mido.Message("note_on", note=pitch, velocity=70, channel=channel)))
        events.append((round(end * T), 2 + 2 * (end <= begin), mido.Message("note_off", note=pitch, channel=channel)))
    made, now = mido.MidiTrack([mido.MetaMessage("track_name", name=name)]), 0
    for at, _, message in sorted(events, key=lambda event: event[:2]):
        made.append(message.copy(time=at - now))
        now = at
    return made


def song(*tracks: Any, form: int = 1) -> bytes:
    file, buffer = mido.MidiFile(type=form, ticks_per_beat=T), io.BytesIO()
    file.tracks.extend(tracks)
    file.save(file=buffer)
    return buffer.getvalue()


def line(seed: int, quarters: int = 32, up: int = 0) -> list[Note]:
    stream = np.random.default_rng(seed)
    return [(k / 2, k / 2 + 0.5, int(p) + up) for k, p in enumerate(stream.integers(50, 72, 2 * quarters))]


def steady(quarters: int) -> list[Note]:
    return [(float(k), k + 1.0, 60 + k % 7) for k in range(quarters)]


def save(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def split_of_each(root: Path) -> dict[str, str]:
    """name -> split of the files that are used."""
    splits = MusicDataset.open(root).splits
    return {entry.name: split for split in splits for entry in MusicDataset.open(root, split).pieces}


# -- splits ------------------------------------------------------------------------------------------------------------


def test_versions_of_a_song_stand_in_one_split(tmp_path: Path) -> None:
    """A folder for each song, names with marks of versions, the same phrases in another key and under other names."""
    folders, marks, phrases = dict[str, int](), dict[str, int](), dict[str, int]()  # name -> song
    bodies = {}
    for i in range(60):
        files = {
            f"{i:03}/{i:03}.mid": line(i),
            f"{i:03}/versions/{i:03}-v1.mid": line(1000 + i),
        }  # with no note in common
        folders |= dict.fromkeys(files, i)
        marked = ("", "-v2", " (1)", ".2", "_transposed", "_take3", "-alt", " copy")
        files |= {f"song {chr(97 + i % 26)}{i}{mark}.mid": line(100 * i + k + 5000) for k, mark in enumerate(marked)}
        marks |= dict.fromkeys(list(files)[2:], i)
        other = line(i, 24, up=5) + [(b + 24, e + 24, p) for b, e, p in line(2000 + i, 8)]
        phrases |= {f"{i}.mid": i, f"{500 + 7 * i}.mid": i}
        files |= {f"{i}.mid": line(i), f"{500 + 7 * i}.mid": other}
        bodies |= {name: song(track(notes)) for name, notes in files.items()}
    for k, songs in enumerate((folders, marks, phrases)):
        found = split_of_each(save(tmp_path / str(k), {name: bodies[name] for name in songs}))
        assert found.keys() == songs.keys()
        assert set(found.values()) == {"train", "test", "val"}
        assert len({(songs[name], split) for name, split in found.items()}) == 60, k


def test_a_small_collection_is_learnt_from_as_a_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And what is held out of a larger one is said; a piece stays in its split when others are added."""
    files = {f"{i}.mid": song(track(line(i, 8))) for i in range(90)}
    few = save(tmp_path / "few", {name: files[name] for name in list(files)[:12]})
    assert set(split_of_each(few).values()) == {"train"}
    words = ["train", "music_vae:smoke", "--out", str(tmp_path / "run"), "--dry-run", "--data"]
    assert main([*words, str(few)]) == 0
    assert "note: nothing is held out of fewer than 50 different pieces, here 12" in capsys.readouterr().err
    some = split_of_each(save(tmp_path / "some", {name: files[name] for name in list(files)[:55]}))
    more = split_of_each(save(tmp_path / "more", files))
    assert some == {name: more[name] for name in some}
    count = {split: list(more.values()).count(split) for split in ("test", "val")}
    assert main([*words, str(tmp_path / "more")]) == 0
    said = f"{count['test']} of 90 pieces, chosen by a hash of their notes, are held out as test and {count['val']} as"
    assert said in capsys.readouterr().err
    assert said in describe_music(inspect_music(tmp_path / "more"))
    assert MusicDataset.open(DataSpec(tmp_path / "more", splits="none")).splits == ["train"]


def test_different_tunes_with_numbers_are_no_versions(tmp_path: Path) -> None:
    names = [f"reel_{i}.mid" for i in range(1, 41)]
    groups = group_pieces(names, names, [np.array([i], np.uint64) for i in range(40)])
    assert groups == list(range(40))
    groups = group_pieces(["a/x.mid", "a/x_2.mid", "b/x_2.mid"], ["1", "2", "3"], [np.zeros(0, np.uint64)] * 3)
    assert groups == [0, 0, 2]  # a number is a mark where the name without it is there too


def test_a_leak_is_warned_of_and_no_goal_of_a_score(tmp_path: Path) -> None:
    files = {f"train/{i}.mid": song(track(line(i))) for i in range(6)}
    files |= {f"test/{i}.mid": song(track(line(i, up=3))) for i in (0, 1)}
    root = save(tmp_path, files | {"test/new.mid": song(track(line(50)))})
    data, test = MusicDataset.open(root).prepare(), MusicDataset.open(root, "test").prepare()
    share = f"{len(test) * 2 // 3} of {len(test)}"
    assert data.warnings == [f"windows of test that are also in train, in some key: {share}; scores flatter copying"]
    findings = inspect_music(root)
    assert data.warnings[0] in findings["warnings"]
    assert findings["shared_windows"] == [{"splits": ["train", "test"], "count": 14, "of": 21}]
    distances, unseen = np.array([0.5, 0.4]), np.array([0.0, 0.0, 0.0, 0.3])
    near, exact = copying_scores(distances, unseen, data, 0, "windows of the test split")
    assert (near.real, near.better) == (0.3, "match")
    assert (exact.value, exact.real, exact.better) == (0.0, 0.75, "lower")  # not "near the floor"
    assert exact.real_source.endswith("of which 3 stand in the training data too: a leak, no goal")


def test_where_test_has_no_window_val_is_scored_with(tmp_path: Path) -> None:
    files = {f"train/{i}.mid": song(track(line(i))) for i in range(3)}
    files |= {"test/a.mid": song(track(steady(16), at_0="6/8")), "val/b.mid": song(track(line(9)))}
    root = save(tmp_path, files)
    train = MusicDataset.open(root)
    assert MusicEvaluator._reference(train, root, None, {}).split == "val"
    with pytest.raises(UserError, match=r"\(test\) has no window of 2 bars in 4/4"):
        MusicEvaluator._reference(train, root, "test", {})
    (root / "val" / "b.mid").unlink()
    with pytest.raises(UserError, match=r"\(test\) has no window of 2 bars in 4/4"):
        MusicEvaluator._reference(MusicDataset.open(root), root, None, {})


# -- signatures, grids, tracks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("signature", ["4/4", "2/2", "8/8", "2/4", "1/4", "4/8", "8/4", "16/16", "1/2"])
def test_bars_are_taken_by_their_length(signature: str) -> None:
    rows, why = windows(midi.read(song(track(steady(16), at_0=signature))), "melody", 2)
    assert (len(rows), dict(why)) == (3, {})
    assert np.flatnonzero(rows[0, 0] >= ON).tolist() == list(range(0, 32, 4))


@pytest.mark.parametrize(
    ("signature", "grid", "bar", "beat"),
    [("3/4", 16, 12, 4), ("6/8", 16, 12, 6), ("12/8", 24, 36, 9), ("5/4", 16, 20, 4), ("7/8", 16, 14, 2),
     ("4/4", 12, 12, 3), ("4/4", 48, 48, 12), ("9/8", 16, 18, 6)],
)  # fmt: skip
def test_other_signatures_and_grids(signature: str, grid: int, bar: int, beat: int, tmp_path: Path) -> None:
    chosen = make_grid(signature, grid)
    assert (chosen.bar, chosen.beat) == (bar, beat)
    notes = steady(round(8 * bar / grid * 4))
    rows, why = windows(midi.read(song(track(notes, at_0=signature))), "melody", 2, Reading(chosen))
    assert (rows.shape[1:], dict(why)) == ((1, 2 * bar), {})
    music = Music.of(["melody"], rows[0], grid=chosen)
    again = Music.load(music.save(tmp_path / "a.mid"))
    assert (again.grid, again.digest, again.steps) == (chosen, music.digest, 2 * bar)
    assert music.image().pixels.shape[1] > GUTTER
    assert len(music.sound()) == pytest.approx(44_100 * (1 + 0.5 * 2 * bar / grid * 4), abs=2)


def test_wrong_signatures_and_grids_get_one_line() -> None:
    for wrong, why in (
        (dict(time_signature="waltz"), "one such as 4/4"), (dict(time_signature="3/5"), "one such as"),
        (dict(time_signature="0/4"), "one such as"), (dict(grid=10), "one of 12, 16, 24, 32, 48"),
        (dict(time_signature="7/32", grid=16), "cannot hold bars of 7/32; take 32"), (dict(voice="lead"), "--track"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=why):
            MusicDataset.open("tunes:4").prepare(**wrong)


def test_signatures_that_are_wrong_can_be_ignored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """ "Take it as 4/4": also where the file changes its signature, or begins with a bar of its own for the pickup."""
    waltzes = {f"train/{i}.mid": song(track(line(i), at_0="3/4", at_9="1/4", at_10="5/4")) for i in (1, 2)}
    root = save(tmp_path / "root", waltzes)
    with pytest.raises(UserError, match=r"no window of 2 bars in 4/4: .*--ignore-signatures takes all as 4/4"):
        MusicDataset.open(root).prepare()
    waltz = save(tmp_path / "waltz", {"a.mid": song(track(line(1), at_0="3/4"))})
    assert any("--time-signature 3/4 takes bars of 3/4" in warning for warning in inspect_music(waltz)["warnings"])
    assert main(["data", "inspect", str(waltz)]) == 0
    assert "methods that can learn from it: none" in capsys.readouterr().out
    data = MusicDataset.open(root).prepare(ignore_signatures=True)
    assert (len(data), data.dropped) == (14, [])
    assert "the time signatures of the files are ignored: all is taken as 4/4" in data.notes
    assert len(MusicDataset.open(root).prepare(time_signature="3/4")) == 4  # the first three bars of each
    rubato = track(steady(32))
    rubato[:] = [x for k, m in enumerate(rubato) for x in (m, mido.MetaMessage("set_tempo", tempo=500_000 + 9_000 * k))]
    slow = save(tmp_path / "rubato", {"train/a.mid": song(rubato)})
    with pytest.raises(UserError, match=r"7 tempo change inside.*changes of metre and tempo too"):
        MusicDataset.open(slow).prepare()
    assert len(MusicDataset.open(slow).prepare(ignore_signatures=True)) == 7
    unsigned = save(tmp_path / "unsigned", {"train/a.mid": song(track(line(3)))})
    assert MusicDataset.open(unsigned).prepare(time_signature="3/4").array.shape[2] == 24


def played(seed: int = 0, spread: float = 0.08, swing: float = 0.5) -> bytes:
    """Drums as a human plays them: sixteen bars of eighths, the second of each beat at `swing` of it."""
    stream = np.random.default_rng(seed)
    notes = []
    for k in range(64):
        for at, pitch in ((k + 0.0, 36 if k % 2 == 0 else 38), (k + swing, 42)):
            at = max(0.0, at + float(stream.uniform(-spread, spread)))
            notes.append((at, at + 0.1, pitch))
    return song(track(notes, channel=9))


def test_drums_are_quantised_and_a_shuffle_needs_a_grid_of_triplets(tmp_path: Path) -> None:
    rows, why = windows(midi.read(played()), "drums", 2)
    assert (len(rows), dict(why)) == (15, {})
    assert set(np.flatnonzero(rows.any((0, 1))).tolist()) <= set(range(0, 32, 2))
    assert windows(midi.read(played()), "drums", 2, Reading(quantize=0.25))[1]["off the grid"] > 5
    root = save(tmp_path, {"train/a.mid": played(), "train/b.mid": played(1, 0.01, 2 / 3)})
    data = MusicDataset.open(root).prepare()
    assert [(drop.name, drop.reason) for drop in data.dropped] == [("train/b.mid", "no window of 2 bars: triplets")]
    assert any("swing and timing finer than the grid are lost" in note for note in data.notes)
    assert data.notes[-1].startswith("--grid 24 holds triplets and eighths; --quantize 0.5")
    assert len(MusicDataset.open(root).prepare(grid=24).array) > len(data)
    assert not MusicDataset.open(root).prepare(quantize=0.5).dropped
    rows, why = windows(midi.read(played(1, 0.01, 2 / 3)), "drums", 1, Reading(make_grid("4/4", 12)))
    assert (len(rows), dict(why)) == (16, {})
    assert np.flatnonzero(rows[0, 0]).tolist() == [0, 2, 3, 5, 6, 8, 9, 11]
    triplets = [(k / 3, (k + 1) / 3, 60 + k % 5) for k in range(48)]
    assert len(windows(midi.read(song(track(triplets))), "melody", 2, Reading(make_grid("4/4", 24)))[0]) == 3
    assert len(windows(midi.read(song(track(triplets))), "melody", 2, Reading(quantize=0.5))[0]) == 3


def test_a_track_is_chosen_by_name_or_number_and_drums_by_name_or_channel(tmp_path: Path) -> None:
    beat: list[Note] = [(float(k), k + 0.5, 36) for k in range(32)]
    data = song(track(line(1), 2, "Lead", 80), track(line(2, up=20), 3, "Bells", 9), track(beat, 0, "Kit"),
                track([], 5, "empty"))  # fmt: skip
    root = save(tmp_path, {"train/a.mid": data})
    lead, bells = (line(k, up=up)[0][2] + ON for k, up in ((1, 0), (2, 20)))
    for chosen, first in (("lead", lead), ("1", lead), ("BELLS ", bells), ("2", bells), ("", bells)):
        assert MusicDataset.open(root).prepare("melody", track=chosen).array[0, 0, 0] == first, chosen
    with pytest.raises(UserError, match="no track named '9': it has Lead, Bells, Kit"):
        MusicDataset.open(root).prepare("melody", track="9")
    for chosen in ("1", "kit"):  # channel 1, or the track of that name
        found = MusicDataset.open(root).prepare("drums", drums=chosen)
        assert np.flatnonzero(found.array[0, 0]).tolist() == list(range(0, 32, 4)), chosen
    for chosen, where in (("11", "channel 11"), ("snare drum", "a track named snare drum")):
        with pytest.raises(UserError, match=f"no drums: no notes in {where}"):
            MusicDataset.open(root).prepare("drums", drums=chosen)
    findings = inspect_music(root)
    assert [(t["number"], t["name"]) for t in findings["tracks"]] == [(1, "Lead"), (2, "Bells"), (3, "Kit")]
    assert "1 Lead (1), 2 Bells (1), 3 Kit (1)" in describe_music(findings)
    music = Music.read(data)
    assert music.lines(["melody"], Reading(track="lead"))[0, 0] == lead
    assert (music.lines(["drums"], Reading(drums="1"))[0] > 0).sum() == 32


def test_notes_below_the_highest_voice_are_counted(tmp_path: Path) -> None:
    chords = [(b, e, p - below) for b, e, p in line(1) for below in (0, 4, 7)]
    right, left = track(line(2), name="right"), track([(float(k), k + 1.0, 40) for k in range(32)], name="left")
    doubled = save(tmp_path / "doubled", {"a.mid": song(track(line(1)), track(line(1)))})
    for name, data, lost in (("chords", song(track(chords)), "128 of 192"), ("hands", song(right, left), "32 of 96")):
        found = MusicDataset.open(save(tmp_path / name, {"a.mid": data})).prepare()
        assert found.announced[-1].startswith(f"{lost} notes begin with a higher one or while it sounds"), name
        assert found.announced[-1] in describe_music(inspect_music(tmp_path / name))
    for quiet in (MusicDataset.open(tmp_path / "hands").prepare(track="right"), MusicDataset.open(doubled).prepare()):
        assert not any("higher one" in note for note in [*quiet.notes, *quiet.announced])


def test_counts_are_sums(tmp_path: Path) -> None:
    files = {f"{i}.mid": song(track(line(i), at_0="3/4" if i % 3 == 0 else "2/4")) for i in range(40)}
    files |= {
        "cut.mid": files["1.mid"][:50],
        "same.mid": files["1.mid"],
        "words.txt": b"la la",
        "drums.mid": song(track([(k, k + 1, 36) for k in range(32)], 9)),
        "short.mid": song(track(steady(3))),
    }
    findings = inspect_music(save(tmp_path, files))
    parts = findings["splits"].values()
    assert sum(part["found"] for part in parts) == len(files)
    for part in parts:
        assert part["found"] == part["used"] + sum(drop["count"] for drop in part["dropped_by_reason"].values())
        assert part["windows"]["2"]["pieces"] == part["used"]
    assert sum(part["windows"]["2"]["rejected"].get("not 4/4: 3/4", 0) for part in parts) == 14 * (32 // 3)


# -- odd files ---------------------------------------------------------------------------------------------------------


def running(notes: list[Note]) -> bytes:
    """A file under running status, in which the ends of notes are beginnings of velocity 0."""
    body = b"\x00\xff\x58\x04\x04\x02\x18\x08"
    for k, (_, _, pitch) in enumerate(notes):
        body += (b"\x00\x92" if k == 0 else b"\x00") + bytes((pitch, 80, T, pitch, 0))
    body += b"\x00\xff\x2f\x00"
    return b"MThd" + bytes((0, 0, 0, 6, 0, 0, 0, 1, 0, T)) + b"MTrk" + len(body).to_bytes(4, "big") + body


def test_odd_files_are_read_or_named(tmp_path: Path) -> None:
    plain = steady(16)
    endless = track(plain)
    endless[:] = [message for k, message in enumerate(endless) if message.type != "note_off" or k % 5]
    readable = {
        "type 0": song(track(plain), form=0), "type 2, one song": song(track(plain), form=2),
        "empty tracks": song(track([]), track(plain), track([])), "some without end": song(endless),
        "zero-length": song(track([(b, b, p) for b, _, p in plain])), "running status": running(plain),
        "128 tracks": song(*(track(plain, k % 9, f"t{k}") for k in range(128))), "pickup": song(track(plain, at_0="1/4",
        at_1="4/4")), "one note": song(track([(0.0, 64.0, 60)])), "many tempos": song(track(plain), track([])),
    }  # fmt: skip
    for name, data in readable.items():
        music = Music.read(data, name)
        assert music.lines(["melody"]).max() >= ON, name
        for drums in ("1", "3", "16", "10"):
            Music.read(data).read_as(["melody"], Reading(drums=drums))
    assert midi.read(running(plain), drums="3").of("drums")[:, 2].tolist() == [p for _, _, p in plain]
    for data, why in (
        (song(track(plain), track(plain), form=2), "format 2"), (song(track([])), "no notes"),
        (song(track(plain))[:12] + b"\xe7\x28" + song(track(plain))[14:], "SMPTE"),
    ):  # fmt: skip
        with pytest.raises(midi.InvalidFile, match=why):
            midi.read(data)


def unended(notes: list[Note], every: int) -> bytes:
    """A file in which every so many-th note has no note-off."""
    whole, cut, passed, ends = track(notes), mido.MidiTrack(), 0, 0
    for message in whole:
        ends += message.type == "note_off"
        passed += message.time
        if message.type != "note_off" or ends % every:
            cut.append(message.copy(time=passed))
            passed = 0
    return song(cut)


def test_notes_that_never_end_last_to_the_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whether all of them or some; files whose notes all end are read as they were, also with overlapping ones."""
    melody = [(k / 2, k / 2 + 0.5, 60 + 3 * k % 7) for k in range(32)]
    files = {"all": unended(melody, 1), "half": unended(melody, 2)}
    for name, data in files.items():
        assert midi.read(data).notes[:, :3].tolist() == midi.read(song(track(melody))).notes[:, :3].tolist(), name
    overlapping = song(track([(0.0, 2.0, 60), (1.0, 3.0, 60), (4.0, 5.0, 62)]))
    assert midi.whole_part(overlapping) == (overlapping, "")
    chord = unended([(0.0, 0.5, 60), (0.0, 0.5, 64), (1.0, 1.5, 67)], 1)
    assert midi.read(chord).notes[:, :3].tolist() == [[0, T, 60], [0, T, 64], [T, 2 * T, 67]]
    words = ["train", "music_vae:smoke", "--out", str(tmp_path / "run"), "--dry-run", "--data"]
    assert main([*words, str(save(tmp_path / "data", {"a.mid": files["all"]}))]) == 0
    assert "a.mid (32 notes without an end, taken to last to the next one" in capsys.readouterr().err


# -- verbs -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def waltzes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on waltzes."""
    root = tmp_path_factory.mktemp("waltzes")
    save(root / "data", {f"train/{i}.mid": song(track(line(i, 24), at_0="3/4")) for i in range(12)})
    words = ["train", "music_vae:smoke", "--data", str(root / "data"), "--time-signature", "3/4", "--steps", "2"]
    assert main([*words, "--out", str(root / "run")]) == 0
    return root


def test_every_verb_works_in_three_four(waltzes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, tune = str(waltzes / "run"), str(waltzes / "data" / "train" / "0.mid")
    for words in (
        ["reconstruct", run, tune], ["edit", run, tune, "--frames", "2"],
        ["continue", run, tune, "--bars", "2", "--num-proposals", "4"],
        ["generate", run, "-n", "2", "--tempo", "90", "--velocity", "60"],
    ):  # fmt: skip
        assert main([*words, "--out", str(waltzes / words[0])]) == 0, words
    assert Music.load(waltzes / "continue" / "0.mid").steps == 24 * 4 + 24
    new = mido.MidiFile(waltzes / "generate" / "000000.mid")
    messages = [message for message in new.tracks[0] if message.is_meta]
    assert [(m.numerator, m.denominator) for m in messages if m.type == "time_signature"] == [(3, 4)]
    assert [round(mido.tempo2bpm(m.tempo)) for m in messages if m.type == "set_tempo"] == [90]
    loud = {message.velocity for message in new.tracks[1] if message.type == "note_on"}
    assert loud <= {72, 64, 52}
    assert main(["provenance", str(waltzes / "generate" / "000000.mid"), "--verify", run]) == 0
    capsys.readouterr()
    four = song(track(line(3), at_0="4/4"))
    (waltzes / "four.mid").write_bytes(four)
    assert main(["reconstruct", run, str(waltzes / "four.mid"), "--out", str(waltzes / "x")]) == 2
    assert "no bar of 3/4, but of 4/4" in capsys.readouterr().err


def test_velocities_follow_the_beats() -> None:
    assert [velocity_at(k, Grid(), 90) for k in (0, 1, 4, 16)] == [102, 82, 94, 102]
    assert [velocity_at(k, make_grid("6/8"), 90) for k in (0, 2, 6, 12)] == [102, 82, 94, 102]
    assert (velocity_at(0, Grid(), 127), velocity_at(1, Grid(), 3)) == (127, 1)


def test_a_continuation_keeps_what_else_sounds_and_marks_the_join(tmp_path: Path) -> None:
    import reverie
    from reverie.cli.verify import verify

    vae = reverie.train("music_vae:smoke", data="tunes:8", out=tmp_path / "run", steps=2)
    beat: list[Note] = [(float(k), k + 0.5, 36) for k in range(32)]
    chords: list[Note] = [(4.0 * k, 4.0 * k + 4, 48) for k in range(8)]
    whole = song(track(line(1, up=10), 2, "Lead", 80), track(chords, 1, "Chords", 0), track(beat, 9, "Kit"))
    (tmp_path / "a.mid").write_bytes(whole)
    given = Music.load(tmp_path / "a.mid")
    made = vae.verb("continue")([given], bars=2, num_proposals=4)[0]
    assert made.marks == ((128, "continued"),)
    file = mido.MidiFile(made.save(tmp_path / "b.mid"))
    assert [track.name for track in file.tracks] == ["", "melody", "Chords (kept)", "Kit (kept)"]
    played = [[m.note for m in track if m.type == "note_on"] for track in file.tracks[2:]]
    assert played == [[48] * 8, [36] * 32]
    markers = [m for m in file.tracks[0] if m.type == "marker"]
    assert [(m.text, sum(x.time for x in file.tracks[0][: file.tracks[0].index(m) + 1])) for m in markers] == [
        ("continued", 32 * 480)
    ]
    red = (made.image().pixels == MARKED).all(2)
    assert np.flatnonzero(red.any(0)).tolist() == [GUTTER + 128 * 3]
    assert Music.load(tmp_path / "b.mid").digest == made.digest  # what was kept is no part of it
    assert verify(tmp_path / "b.mid", tmp_path / "run", [given])["same"]
    longer = vae.verb("continue")([Music.load(tmp_path / "b.mid")], bars=1, num_proposals=4)[0]
    assert [other.name for other in longer.kept] == ["Chords", "Kit"]
    trio = MusicDataset.open("trios:1").prepare("trio").array[0]
    kept = vae.verb("continue")([Music.of(["melody", "bass", "drums"], trio)], bars=1, num_proposals=4)[0].kept
    assert [other.name for other in kept] == ["bass", "drums"]


def test_a_bad_file_does_not_stop_a_folder(waltzes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = {"0empty.mid": b"", "1cut.mid": song(track(line(1)))[:40], "2words.mid": b"la la",
           "3drums.mid": song(track([(float(k), k + 1.0, 36) for k in range(12)], 9, at_0="3/4")),
           "4four.mid": song(track(line(2), at_0="4/4"))}  # fmt: skip
    good = {f"{k}.mid": song(track(line(k, 24), at_0="3/4")) for k in (5, 6)}
    root, run = save(waltzes / "mixed", bad | good), str(waltzes / "run")
    for words, count in (
        (["reconstruct"], 2), (["continue", "--bars", "1", "--num-proposals", "4"], 2),
        (["interpolate", "--frames", "3"], 3), (["edit", "--frames", "2"], 4),
    ):  # fmt: skip
        out = waltzes / "of-mixed" / words[0]
        capsys.readouterr()
        assert main([words[0], run, str(root), *words[1:], "--out", str(out)]) == 2
        error = capsys.readouterr().err.strip()
        assert "(and 4 more)" in error
        listed = [line for line in error.splitlines() if line.startswith("passed over: ")]
        assert all(sum(name in line for line in listed) == 1 for name in bad)
        assert len(error.splitlines()) == 5 + 1
        assert len(list(out.glob("*.mid"))) == count, words
    only_bad = save(waltzes / "bad", bad)
    assert main(["reconstruct", run, str(only_bad), "--out", str(waltzes / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 5 + 1
    assert read_record(waltzes / "of-mixed" / "continue" / "5.mid")["verb"] == "continue"


def test_a_long_job_says_how_long_it_takes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = [0.0]
    monkeypatch.setattr(pace.time, "monotonic", lambda: clock[0])
    job = pace.Pace(20_000, "bars")
    for seconds in (0.2, 2.0, 4.0):
        clock[0] = seconds
        job.advance(2)
    assert capsys.readouterr().err == "20,000 bars: about 2 h 47 min more\n"
    quick = pace.Pace(20, "bars")
    clock[0] += 2
    quick.advance(10)
    assert capsys.readouterr().err == ""
