"""What is particular to MusicVAE: its decoders, its sampling, attribute vectors, trios and continuations."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import torch

from reverie.cli.main import main
from reverie.core.generation import BLOCK, Shard
from reverie.core.options import build
from reverie.core.update import Update
from reverie.data.music.dataset import MusicDataset
from reverie.data.music.midi import OFF, ON, PARTS
from reverie.media import Music
from reverie.methods.music_vae import MusicVAE
from reverie.nn.losses import kl_to_standard_normal
from reverie.nn.music_rnn import lstm_state, normal_to_uniform, sample_events
from reverie.transforms.music import AttributeVectors, attribute_names, attributes, random_transpose
from reverie.utils.distributed import Ranks
from reverie.utils.errors import UserError

TINY = dict(part="melody", latent_dim=6, encoder_hidden_dim=12, hidden_dim=16, conductor_dim=10, embed_dim=8)


def model(**options: object) -> MusicVAE:
    torch.manual_seed(0)
    made = MusicVAE(MusicVAE.Config(**{**TINY, **options}))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "weight" in name:
                parameter.mul_(2)  # so that z has an effect
    return made.eval()


def tune(seed: int = 0, bars: int = 2, part: str = "melody") -> Music:
    stream = np.random.default_rng(seed)
    row = np.where(stream.random(16 * bars) < 0.4, stream.integers(ON + 50, ON + 75, 16 * bars), 0)
    return Music({part: row if part == "melody" else row % 512}, name=f"{seed}.mid")


def events(pieces: list[Music]) -> list[list[int]]:
    return [next(iter(piece.parts.values())).tolist() for piece in pieces]


@pytest.mark.parametrize("part", ["melody", "trio"])
@pytest.mark.parametrize("decoder", ["flat", "hierarchical"])
def test_teacher_forcing_and_sampling_agree(decoder: str, part: str) -> None:
    """Step by step and all at once the decoder gives the same logits."""
    vae = model(decoder=decoder, bars=3, part=part)
    x, z = torch.randint(0, 130, (5, len(vae.parts), 48)), torch.randn(5, 6)
    with torch.no_grad():
        for stepwise, forced in zip(vae.logits(z, x, 1.1), vae.logits(z, x), strict=True):
            assert torch.allclose(stepwise, forced, atol=1e-5)
        greedy = vae.decode_events(z, torch.zeros(x.shape), 0.0)
        assert torch.equal(torch.stack([logits.argmax(2) for logits in vae.logits(z, greedy)], 1), greedy)


def test_bars_depend_on_each_other_through_the_conductor_alone() -> None:
    """Section 3.2: the events of one bar reach the next through z alone."""
    x, z = torch.randint(0, 130, (1, 1, 48)), torch.randn(1, 6)
    other = x.clone()
    other[:, :, :16] = torch.randint(0, 130, (1, 16))
    with torch.no_grad():
        for decoder, reaches in (("hierarchical", False), ("flat", True)):
            vae = model(decoder=decoder, bars=3)
            apart = (vae.logits(z, x)[0] - vae.logits(z, other)[0])[:, 16:].abs().max()
            assert bool(apart > 1e-6) is reaches


def test_a_bar_s_context_is_the_conductor_s_output_plus_a_linear_map_of_z() -> None:
    conductor, z = model(decoder="hierarchical", bars=3).conductor, torch.randn(2, 6)
    assert conductor is not None
    with torch.no_grad():
        output = conductor.lstm(z[:, None].expand(-1, 3, -1), lstm_state(conductor.initial(z), 2))[0]
        rest = conductor(z).view(2, 3, 10) - output
        bias = conductor.skip.bias.view(3, 10)
        for bar, weight in enumerate(conductor.skip.weight.view(3, 10, 6)):
            assert torch.allclose(rest[:, bar], z @ weight.T + bias[bar], atol=1e-6)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_hierarchical_encoder_reads_each_bar_alone(layers: int) -> None:
    """The LSTM reads a bar at a time from the zero state; z is a linear map of the final states of all bars."""
    vae = model(encoder="hierarchical", encoder_num_layers=layers, bars=3)
    encoder, x = vae.encoder, torch.randint(0, 130, (4, 1, 48))
    half, final = vae.config.encoder_hidden_dim, []
    for bar in x[:, 0].split(16, 1):
        top = encoder.lstm(encoder.embedding(bar))[0]  # the final states of both directions
        final += [top[:, -1, :half], top[:, 0, half:]]
    assert torch.allclose(encoder(x)[0], encoder.mean(torch.cat(final, 1)), atol=1e-6)


def test_a_draw_follows_the_probabilities_and_the_temperature() -> None:
    logits = torch.tensor([[0.0, math.log(2), math.log(5)]])
    u = (torch.arange(8000)[:, None].float() + 0.5) / 8000
    for temperature, shares in ((1.0, (1 / 8, 2 / 8, 5 / 8)), (0.5, (1 / 30, 4 / 30, 25 / 30))):
        found = sample_events(logits.expand(8000, -1), u[:, 0], temperature)
        assert [(found == k).float().mean() for k in range(3)] == pytest.approx(shares, abs=1e-3)
    assert sample_events(logits, torch.tensor([0.0]), 0.0).tolist() == [2]
    assert sample_events(logits, torch.tensor([1.0]), 1.0).tolist() == [2]
    normal = torch.linspace(-4, 4, 9)
    assert torch.allclose(normal_to_uniform(normal), 0.5 * (1 + torch.erf(normal / math.sqrt(2))), atol=1e-6)
    assert 0 <= normal_to_uniform(torch.tensor([-40.0])) <= normal_to_uniform(torch.tensor([40.0])) < 1


def losses(vae: MusicVAE, step: int, x: torch.Tensor) -> dict[str, float]:
    update = Update(vae.optimizers(), Ranks("cpu"))
    update.step = step
    update.set_lr_factor(0.0)  # so that all see the same weights
    torch.manual_seed(1)
    return {name: float(value.detach()) for name, value in vae.step({"events": x}, update).items()}


def test_the_weight_and_the_free_bits_of_the_kl() -> None:
    x = torch.from_numpy(MusicDataset.open("tunes:8").prepare().array[:12].astype(np.int64))
    for step in (0, 10, 1000):
        metrics = losses(model(max_transpose=0, beta=0.2, beta_rate=0.99), step, x)
        penalty = 0.2 * (1 - 0.99**step) * metrics["kl_bits"] * math.log(2)
        assert metrics["loss"] - metrics["recon_nll"] == pytest.approx(penalty, rel=1e-3, abs=1e-3)
    vae = model(max_transpose=0)
    with torch.no_grad():
        bits = kl_to_standard_normal(*vae.encoder(x)).sum(1) / math.log(2)
    free = losses(model(max_transpose=0, beta=1.0, beta_rate=0.0, free_bits=float(bits.mean())), 5, x)
    over = (bits - bits.mean()).clamp_min(0).mean() * math.log(2)
    assert free["loss"] - free["recon_nll"] == pytest.approx(float(over), rel=1e-3)
    assert metrics["kl_bits"] == pytest.approx(float(bits.mean()), rel=1e-4)


def test_scheduled_sampling_begins_with_the_truth() -> None:
    """Bengio 2015, section 2.4: at first the true event is nearly always read, later never."""
    x = torch.from_numpy(MusicDataset.open("tunes:8").prepare().array[:12].astype(np.int64))
    forced = losses(model(max_transpose=0), 0, x)["recon_nll"]
    assert losses(model(max_transpose=0, scheduled_sampling_k=1e6), 0, x)["recon_nll"] == pytest.approx(
        forced, rel=1e-4
    )
    assert losses(model(max_transpose=0, scheduled_sampling_k=10), 10_000, x)["recon_nll"] != pytest.approx(
        forced, rel=1e-4
    )


def test_transposing_moves_notes_alone_and_keeps_them_on_the_keyboard() -> None:
    x = torch.tensor([[0, 1, 62, 0], [2, 0, 0, 0], [129, 2, 0, 1], [0, 0, 0, 0]])
    torch.manual_seed(0)
    moved = torch.stack([random_transpose(x[:, None], ["melody"], 6)[:, 0] for _ in range(400)])
    assert torch.equal(moved < ON, (x < ON).expand_as(moved))
    assert sorted(set((moved[:, 0, 2] - 62).tolist())) == list(range(-5, 7))  # each of twelve keys
    assert set(moved[:, 1, 0].tolist()) == set(range(2, 9))
    assert set((moved[:, 2] - x[2]).flatten().tolist()) == {0}
    assert torch.equal(random_transpose(x[:, None], ["melody"], 0)[:, 0], x)
    assert torch.equal(random_transpose(x[:, None], ["drums"], 6)[:, 0], x)
    # the melody and the bass of a trio move together, as far as both can; its drums stay
    trio = torch.tensor([[[62, 0], [42, 42], [7, 0]], [[129, 0], [60, 0], [1, 2]]])
    moved = torch.stack([random_transpose(trio, ["melody", "bass", "drums"], 6) for _ in range(400)]) - trio
    assert set(moved[:, 0, 0, 0].tolist()) == set(range(-5, 7))
    assert torch.equal(moved[:, 0, 0, 0], moved[:, 0, 1, 1])
    assert set(moved[:, 1, 1, 0].tolist()) == set(range(-5, 1))
    assert set(moved[:, :, 2].flatten().tolist()) == {0} == set(moved[:, 0, 0, 1].tolist())


def test_attributes_of_known_bars() -> None:
    row = torch.zeros(1, 1, 16, dtype=torch.int64)
    row[0, 0, [0, 4, 6, 8]] = torch.tensor([60, 64, 61, 61]) + ON
    assert attributes(row, ["melody"])[0].tolist() == pytest.approx([4, 61.5, 7 / 3, 1 / 4])
    assert attributes(torch.zeros_like(row), ["melody"])[0].tolist() == [0, 0, 0, 0]
    drums = torch.tensor([[[0b11, 0, 1, 0] + [0] * 12]])
    assert attributes(drums, ["drums"])[0].tolist() == [3, 0.5]
    trio = attributes(torch.cat([row, torch.zeros_like(row), drums], 1), PARTS["trio"])[0]
    values = dict(zip(attribute_names(PARTS["trio"]), trio.tolist(), strict=True))
    assert (values["denser"], values["melody-higher"], values["bass-denser"], values["drums-offbeat"]) == (
        7,
        61.5,
        0,
        0.5,
    )


def test_directions_are_found_from_the_quarters() -> None:
    torch.manual_seed(0)
    quarters = AttributeVectors(("denser", "higher"), 3)
    for _ in range(50):
        codes = torch.randn(64, 3)
        quarters.update(codes, torch.stack([codes[:, 0] * 5, -codes[:, 2]], 1))
    for name, axis, sign in (("denser", 0, 1), ("higher", 2, -1)):
        found = quarters.direction(name)
        assert found[axis] * sign > 2  # the quarters of a normal lie 2.54 apart
        assert found.abs().sum() - found[axis].abs() < 0.3
    with pytest.raises(UserError, match="there are: denser, higher"):
        quarters.direction("louder")


@pytest.mark.parametrize("decoder", ["flat", "hierarchical"])
def test_a_piece_is_the_same_alone_and_among_others(decoder: str) -> None:
    vae = model(decoder=decoder)
    whole = events(vae.generate(n=40, seed=3))
    assert len({tuple(row) for row in whole}) > 30
    for n in (1, 7):
        assert events(vae.generate(n=n, seed=3)) == whole[:n]
    assert events(vae.generate(n=40, seed=3, items=[39, 5, 17])) == [whole[i] for i in (39, 5, 17)]
    parts = [vae.generate(n=40, seed=3, items=Shard(k, 3)) for k in (1, 2, 3)]
    assert events([piece for part in parts for piece in part]) == whole
    assert events(vae.generate(n=40, seed=4)) != whole
    assert BLOCK < 40
    tunes = [tune(k, bars) for k, bars in enumerate((2, 3, 40, 2))]
    for verb in (vae.reconstruct, partial(vae.edit, temperature=0.0)):
        made = verb(tunes)
        each = len(made) // 4
        assert events([piece for one in tunes for piece in verb([one])]) == events(made)
        assert [len(row) for row in events(made)][::each] == ([32, 48, 640, 32] if each == 1 else [32] * 4)


def test_temperature_zero_takes_the_likeliest() -> None:
    vae = model()
    made = vae.generate(n=3, temperature=0)
    z = vae.latents(0)(range(BLOCK))
    with torch.no_grad():
        again = vae.decode_events(z, torch.rand(BLOCK, 1, 32), 0.0)[:3]
    assert events(made) == events([Music.of(["melody"], lines) for lines in again.numpy()])
    with pytest.raises(UserError, match=r"temperature is -1\.0; .* 0 or more"):
        vae.generate(n=1, temperature=-1)


def test_interpolations_begin_and_end_at_the_given_codes() -> None:
    vae = model()
    row = vae.interpolate(n=2, frames=5, seed=1, temperature=0)
    ends = vae.generate(n=4, seed=1, temperature=0)
    assert [piece.columns for piece in row] == [5] * 10
    assert events([row[0], row[4], row[5], row[9]]) == events(ends)
    tunes = [tune(0), tune(1), tune(2)]
    between = vae.interpolate(tunes, frames=3, temperature=0)
    again = vae.reconstruct(tunes)
    assert events([between[0], between[2], between[3], between[5]]) == events([again[0], again[1], again[1], again[2]])
    assert between[0].record is not None
    assert [source["name"] for source in between[0].record["inputs"]] == ["0.mid", "1.mid", "2.mid"]
    alike = vae.edit([tunes[0]], frames=4, amount=0.0)  # z stays, and so do the draws of a row
    assert len({tuple(row) for row in events(alike)}) == 1
    with pytest.raises(UserError, match="two or more"):
        vae.interpolate(tunes[:1])


@pytest.mark.parametrize("decoder", ["flat", "hierarchical"])
def test_a_trio_has_a_decoder_for_each_instrument_under_one_conductor(decoder: str) -> None:
    """Section 3.3: the decoders depend on each other through z alone; the encoder reads all instruments."""
    vae = model(decoder=decoder, part="trio", bars=2)
    x, z = torch.randint(0, 130, (4, 3, 32)), torch.randn(4, 6)
    for k in range(3):
        other = x.clone()
        other[:, k] = torch.randint(0, 130, (4, 32))
        with torch.no_grad():
            apart = [(a - b).abs().max() for a, b in zip(vae.logits(z, x), vae.logits(z, other), strict=True)]
            assert [bool(gap > 0) for gap in apart] == [j == k for j in range(3)]
            assert (vae.encoder(x)[0] - vae.encoder(other)[0]).abs().max() > 1e-3
    assert [logits.shape[2] for logits in vae.logits(z, x)] == [130, 130, 512]
    assert vae.encoder.embedding.num_embeddings == 130 + 130 + 512
    both = (x[:, 0], x[:, 1], x[:, 2] % 130)  # the same event of another instrument is read as another
    with torch.no_grad():
        first, second = (vae.encoder(torch.stack(lines, 1))[0] for lines in (both, (both[1], both[0], both[2])))
    assert (first - second).abs().max() > 1e-3
    assert list(vae.ema_decays()) == []
    names = list(model(decoder=decoder, part="trio", ema_decay=0.9).ema_decays())
    conductor = ["conductor"] if decoder == "hierarchical" else []
    assert names == ["encoder", *conductor, "decoder", "other_decoders"]


def test_every_verb_handles_a_trio(tmp_path: Path) -> None:
    """Three parts come out; an item is the same alone and among others; what is read is what was written."""
    vae = model(part="trio", decoder="hierarchical", bars=2)
    three = ["melody", "bass", "drums"]
    whole = vae.generate(n=20, seed=3)
    assert all(list(piece.parts) == three for piece in whole)
    assert vae.generate(n=20, seed=3, items=[17])[0].digest == whole[17].digest
    tunes = [Music.of(three, np.stack([next(iter(tune(10 * k + j, 2 + k, part).parts.values()))
             for j, part in enumerate(three)]), 90.0) for k in range(3)]  # fmt: skip
    again = vae.reconstruct(tunes)
    assert [piece.lines(three).shape for piece in again] == [(3, 32), (3, 48), (3, 64)]
    assert vae.reconstruct(tunes[2:])[0].digest == again[2].digest
    row = vae.interpolate(tunes, frames=3, temperature=0)
    firsts = [vae.reconstruct([Music.of(three, piece.lines(three)[:, :32])])[0] for piece in tunes]
    assert [row[k].digest for k in (0, 2, 5)] == [piece.digest for piece in firsts]
    vae.directions.update(torch.randn(8, 6), torch.randn(8, len(vae.directions.names)))
    moved = vae.edit(tunes[:1], direction="bass-higher", frames=3, amount=9.0)
    assert len({piece.digest for piece in moved}) > 1
    longer = vae.continue_(tunes, bars=3, num_proposals=8)
    for piece, before in zip(longer, tunes, strict=True):
        assert np.array_equal(piece.lines(three)[:, : before.steps], before.lines(three))
        assert piece.steps == before.steps + 48
        assert piece.lines(three)[:, before.steps :].any(1).all()
        assert piece.tempo == 90.0
    for piece in (*whole[:3], *longer):
        assert Music.load(piece.save(tmp_path / "a.mid")).digest == piece.digest
    with pytest.raises(UserError, match="holds no bass, only melody and drums"):
        vae.reconstruct([Music({"melody": tune(0).part("melody"), "drums": tune(0, part="drums").part("drums")})])
    with pytest.raises(UserError, match=r"there are: denser, melody-denser, .* drums-offbeat"):
        vae.edit(direction="higher")


def test_a_trio_is_cut_and_resumed_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import reverie
    from reverie.cli.verify import verify
    from reverie.training import trainer as loop
    from reverie.training.signals import Interrupted

    options: dict[str, Any] = dict(data="trios:12", part="trio", steps=6, checkpoint_every=3, ema_decay=0.5)
    trained = reverie.train("music_vae:smoke", out=tmp_path / "whole", **options)
    original, steps = loop.seed_of, []

    def seed_of(*numbers: int) -> int:
        steps.append(numbers[1])
        if numbers[1] == 4:
            raise KeyboardInterrupt
        return original(*numbers)

    monkeypatch.setattr(loop, "seed_of", seed_of)
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        reverie.train("music_vae:smoke", out=tmp_path / "cut", **options)
    monkeypatch.undo()
    reverie.resume(tmp_path / "cut")
    a, b = ((tmp_path / run / "weights.safetensors").read_bytes() for run in ("whole", "cut"))
    assert a == b
    made = trained.verb("generate")(n=3, seed=1)
    for name in ("a.mid", "a.wav", "a.png"):
        assert verify(made[2].save(tmp_path / name), tmp_path / "whole", [])["same"], name
    rows = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    metrics = [line["metrics"] for line in rows if "metrics" in line]
    assert {f"token_accuracy_{part}" for part in ("melody", "bass", "drums")} < set(metrics[-1])


def test_wrong_input_for_a_trio_gets_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is missing is named, of data and of files; so are metres and tempos that do not fit."""

    def song(name: str, *events: mido.MetaMessage | mido.Message) -> str:
        """A file of a piano, a bass and a drum in quarters for 16 bars; a tempo is given, changed before each bar."""
        file = mido.MidiFile(ticks_per_beat=96)
        for channel, program, pitch in ((0, 0, 60), (1, 33, 40), (9, 0, 36)):
            file.tracks.append(track := mido.MidiTrack())
            track.append(mido.Message("program_change", channel=channel, program=program))
            for k in range(64):
                track.extend(e for e in events if channel == 0 and (k == 0 or (e.type == "set_tempo" and k % 4 == 0)))
                track.append(mido.Message("note_on", channel=channel, note=pitch + k % 7, velocity=9, time=0))
                track.append(mido.Message("note_off", channel=channel, note=pitch + k % 7, time=96))
                events = tuple(e.copy(tempo=e.tempo + 9000) if e.type == "set_tempo" else e for e in events)
        (tmp_path / name).mkdir()
        file.save(tmp_path / name / "a.mid")
        return str(tmp_path / name)

    run, out = str(tmp_path / "run"), str(tmp_path / "out")
    assert main(["train", "music_vae:smoke", "--part", "trio", "--data", "trios:9", "--steps", "2", "--out", run]) == 0
    melody, drums = (str(tune(0, part=part).save(tmp_path / f"{part}.mid")) for part in ("melody", "drums"))
    waltz = song("waltz", mido.MetaMessage("time_signature", numerator=3, denominator=4))
    turns = song("turns", mido.MetaMessage("set_tempo", tempo=500_000))
    whole = song("whole")
    assert main(["continue", run, f"{whole}/a.mid", f"{turns}/a.mid", "--bars", "1", "--out", out]) == 0
    capsys.readouterr()
    train = ["train", "music_vae:smoke", "--out", str(tmp_path / "new"), "--part", "trio", "--data"]
    for words, message in (
        ([*train, "tunes:9"], "tunes:9 holds no bass and no drums, only melody: a trio is a melody, a bass"),
        ([*train, "beats:9"], "beats:9 holds no melody and no bass, only drums: a trio"),
        ([*train, melody], "holds no bass and no drums, only melody"),
        ([*train, drums], "holds no melody and no bass, only drums"),
        ([*train, waltz], "has no window of 2 bars in 4/4: 21 not 4/4: 3/4"),
        ([*train, turns], "has no window of 2 bars in 4/4: 15 tempo change inside"),
        ([*train, whole, "--track", "flute"], "no track named 'flute'"),
        (["reconstruct", run, melody, "--out", out], "melody.mid holds no bass and no drums, only melody: a bass has"),
        (["continue", run, drums, "--out", out], "drums.mid holds no melody and no bass, only drums"),
        (["interpolate", run, f"{waltz}/a.mid", melody, "--out", out], "no bar of 4/4, but of 3/4"),
        (["edit", run, "--direction", "bass", "--out", out], "there are: denser, melody-denser"),
        ([*train[:-2], "band", "--data", "trios:9"], "--part is 'band'; it must be one of 'melody', 'bass', 'drums'"),
    ):  # fmt: skip
        assert main(words) == 2, words
        error = capsys.readouterr().err
        assert message in error
        assert [line for line in error.splitlines() if not line.startswith("passed over: ")] == [error.splitlines()[-1]]


def test_continue_keeps_the_given_events() -> None:
    for decoder, bars in (("flat", 2), ("hierarchical", 4), ("flat", 3)):
        vae = model(decoder=decoder, bars=bars)
        tunes = [tune(0, 2), tune(1, 5), Music({"melody": tune(2, 1).part("melody")[:9]})]
        made = vae.continue_(tunes, bars=3, num_proposals=8)
        assert [piece.steps for piece in made] == [80, 128, 64]
        for piece, before in zip(made, tunes, strict=True):
            assert events([piece])[0][: before.steps] == events([before])[0]
        assert events(made)[2][9:16] == [OFF, 0, 0, 0, 0, 0, 0]  # its last note is not held through its last bar
        assert events(vae.continue_(tunes[1:2], bars=3, num_proposals=8)) == events(made)[1:2]
        assert events(vae.continue_(tunes, bars=3, num_proposals=8, seed=1)) != events(made)
    with pytest.raises(UserError, match="2 bars or more"):
        model(bars=1).continue_([tune(0)])


def test_the_code_of_a_continuation_is_drawn_from_the_posterior() -> None:
    """The codes give the known bar the likelihood that many draws of the prior, weighted by it, have on average."""
    vae = model(part="melody")
    with torch.no_grad():
        known = vae.decode_events(torch.randn(1, 6) * 2, torch.zeros(1, 1, 32), 0.0)[0, :, :16]

        def log_likelihood(z: torch.Tensor) -> torch.Tensor:
            log_p = vae.logits(z, torch.cat([known, known], 1).expand(len(z), 1, -1))[0][:, :16].log_softmax(2)
            return log_p.gather(2, known.expand(len(z), -1)[:, :, None]).sum((1, 2))

        torch.manual_seed(1)
        prior = log_likelihood(torch.randn(20_000, 6))
        exact = (prior.softmax(0) * prior).sum()
        choices = torch.special.ndtri((torch.arange(150) + 0.5) / 150)
        found = log_likelihood(
            torch.stack([vae.sample_posterior(known, torch.randn(1024, 6), choice) for choice in choices])
        ).mean()
    assert exact > prior.mean() + 1
    assert float(found) == pytest.approx(float(exact), abs=0.5)


def test_files_of_every_kind_are_verified_against_the_run(tmp_path: Path) -> None:
    import reverie
    from reverie.cli.verify import verify
    from reverie.media import image_grid, medley, read_record, rolls

    vae, run = reverie.train("music_vae:smoke", data="tunes:12", out=tmp_path / "run"), tmp_path / "run"
    made, given = vae.verb("generate")(n=20, seed=2), [tune(0), tune(1, 5)]
    files = [made[17].save(tmp_path / f"a{ending}") for ending in (".mid", ".wav", ".png")]
    files.append(image_grid(rolls(made)).save(tmp_path / "all.png"))
    files.append(vae.verb("continue")(given, bars=2)[1].save(tmp_path / "longer.mid"))
    assert read_record(files[-1])["verb"] == "continue"
    several = {"again": vae.verb("reconstruct")([*given, given[0]]), "row": vae.verb("interpolate")(given, frames=3),
               "moved": vae.verb("edit")(given[1:], frames=3), "new": made}  # fmt: skip
    for name, pieces in several.items():
        files += [medley(pieces).save(tmp_path / f"{name}{ending}") for ending in (".mid", ".wav")]
    for file in files:
        assert read_record(file)["run"] == vae.origin["run"]
        assert verify(file, run, given)["same"], file
    inputs = {file.stem: [source["name"] for source in read_record(file).get("inputs", [])] for file in files[-8:]}
    assert inputs == {"again": ["0.mid", "1.mid", "0.mid"], "row": ["0.mid", "1.mid"], "moved": ["1.mid"], "new": []}
    with pytest.raises(
        UserError, match="cannot continue_; it can generate, reconstruct, encode, interpolate, edit, continue"
    ):
        vae.verb("continue_")
    with pytest.raises(UserError, match="continue has no option 'bar'"):
        vae.continue_(given, bar=2)
    forged = Music(made[3].parts, record=made[17].record).save(tmp_path / "forged.mid")
    assert verify(forged, run, [])["same"] is False
    with pytest.raises(UserError, match=r"made from 1\.mid"):
        verify(tmp_path / "longer.mid", run, given[:1])


def test_wrong_input_gets_one_line() -> None:
    vae = model()
    with pytest.raises(UserError, match="holds no melody, only drums"):
        vae.reconstruct([tune(0, part="drums")])
    with pytest.raises(UserError, match="no direction 'louder'"):
        vae.edit(direction="louder")
    for wrong in (
        dict(bars=0), dict(latent_dim=0), dict(beta=-1), dict(lr_decay=0), dict(ema_decay=1), dict(clip=0),
        dict(max_transpose=40), dict(bars=65), dict(free_bits=-1),
    ):  # fmt: skip
        with pytest.raises(UserError):
            build(MusicVAE.Config, wrong)


def test_the_paper_s_network() -> None:
    from reverie.training.prepare import parse_method

    _, _, config, settings = parse_method("music_vae:paper", {})
    assert (config.bars, config.latent_dim, config.decoder, settings.batch_size) == (16, 512, "hierarchical", 512)
    _, _, trio, settings = parse_method("music_vae:paper_trio", {})
    assert (trio.part, trio.bars, trio.latent_dim, settings.batch_size) == ("trio", 16, 512, 256)
    with torch.device("meta"):
        vae, trio_vae = (MusicVAE(MusicVAE.resolve_config(c, {"part": "melody"})) for c in (config, trio))
    assert [decoder.output.out_features for decoder in trio_vae.decoders()] == [130, 130, 512]
    assert {decoder.lstm.hidden_size for decoder in trio_vae.decoders()} == {1024}
    assert vae.encoder.lstm.hidden_size == 2048
    assert vae.encoder.lstm.num_layers == 2
    assert vae.decoder.lstm.hidden_size == 1024
    assert vae.decoder.output.out_features == 130
    stage = vae.stages()[0]
    assert stage.lr_factor(0) == 1
    assert stage.lr_factor(0.1) == pytest.approx(0.01 + 0.99 * 0.9999**10_000)


@pytest.mark.parametrize(("data", "part"), [("tunes:12", "melody"), ("beats:12", "drums"), ("trios:12", "trio")])
def test_it_learns(data: str, part: str) -> None:
    """After a few steps on a few windows each is reconstructed, and not as another one."""
    tunes = MusicDataset.open(data).prepare(part, bars=1)
    vae = model(
        part=part,
        bars=1,
        latent_dim=16,
        encoder_hidden_dim=48,
        hidden_dim=64,
        embed_dim=16,
        max_transpose=0,
        beta=0.01,
        lr=5e-3,
    )
    update, rows = Update(vae.train().optimizers(), Ranks("cpu")), np.arange(24)
    for step in range(150):
        update.step = step
        torch.manual_seed(step)
        metrics = vae.step(tunes.batch(rows), update)
    assert float(metrics["token_accuracy"]) > 0.9
    given = [Music.of(tunes.parts, tunes.array[i]) for i in rows]
    made = np.stack([music.lines(tunes.parts) for music in vae.reconstruct(given)])
    assert ((made == tunes.array[rows]).mean((0, 2)) > 0.85).all()
    assert attribute_names(tunes.parts)[0] == "denser"


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "run")
    assert main(["train", "music_vae:smoke", "--data", "beats:20", "--out", run]) == 0
    assert main(["generate", run, "-n", "3", "--out", str(tmp_path / "new")]) == 0
    files = sorted((tmp_path / "new").glob("*.mid"))
    assert [file.name for file in files] == ["000000.mid", "000001.mid", "000002.mid"]
    for name in ("all.png", "all.wav", "all.mid"):
        assert main(["generate", run, "-n", "3", "--out", str(tmp_path / name)]) == 0
        assert (tmp_path / name).is_file()
    drums = tune(0, 2, "drums").save(tmp_path / "in" / "a.mid")
    assert main(["continue", run, str(drums), "--bars", "2", "--out", str(tmp_path / "longer")]) == 0
    assert Music.load(tmp_path / "longer" / "a.mid").steps == 64
    capsys.readouterr()
    with pytest.raises(SystemExit, match="0"):
        main(["continue", run, "--help"])
    assert capsys.readouterr().out.startswith("usage: reverie continue ")
    (tmp_path / "words.mid").write_text("la la")
    melody = tune(0).save(tmp_path / "m.mid")
    for words, message in (
        (["reconstruct", run, str(tmp_path / "words.mid"), "--out", str(tmp_path / "x")], "no MIDI file"),
        (["reconstruct", run, str(melody), "--out", str(tmp_path / "x")], "holds no drums, only melody"),
        (["reconstruct", run, "--out", str(tmp_path / "x")], "reconstruct needs tunes"),
        (["continue", run, "--out", str(tmp_path / "x")], "continue needs tunes"),
        (["continue_", run, str(drums), "--out", str(tmp_path / "x")], "Did you mean 'continue'"),
        (["extend", run, str(drums), "--out", str(tmp_path / "x")], "no command 'extend'"),
        (["edit", run, "--direction", "higher", "--out", str(tmp_path / "x")], "there are: denser, offbeat"),
        (["train", "music_vae:smoke", "--data", "beats:9", "--part", "melody", "--out", str(tmp_path / "y")],
         "holds no melody, only drums"),
    ):  # fmt: skip
        assert main(words) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
