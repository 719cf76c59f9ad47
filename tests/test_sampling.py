"""Categorical sampling: the distribution, the inverse CDF, and no word of zero probability."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import reverie
from reverie.nn.music_rnn import sample_events
from reverie.utils.categorical import CategoricalSampler, inverse_cdf
from reverie.utils.errors import UserError
from reverie.utils.seeding import uniforms


@pytest.mark.parametrize("words", [2, 3, 50, 101, 1000])
def test_frequencies_are_the_softmax(words: int) -> None:
    """Chi-square against softmax, at one in ten thousand; words expected fewer than 5 times are taken together."""
    torch.manual_seed(words)
    weight, bias, state = torch.randn(words, 8), torch.randn(words), torch.randn(1, 8)
    for temperature in (1.0, 0.7):
        p = ((state @ weight.T + bias) / temperature).softmax(1)[0].double()
        n = 40_000
        drawn = CategoricalSampler(weight, bias, temperature)(state.expand(n, -1), torch.rand(n))
        seen, expected = torch.bincount(drawn, minlength=words).double(), n * p
        rare = expected < 5
        seen = torch.cat([seen[~rare], seen[rare].sum()[None]])
        expected = torch.cat([expected[~rare], expected[rare].sum()[None].clamp_min(1e-9)])
        kept = expected > 1e-6
        free = int(kept.sum()) - 1
        chi = float(((seen - expected) ** 2 / expected)[kept].sum())
        assert chi < free + 3.72 * (2 * free) ** 0.5 + 12, (chi, free)  # Wilson-Hilferty's tail, on the safe side


def test_a_word_is_where_the_cumulative_sum_exceeds_u() -> None:
    torch.manual_seed(0)
    weight, bias, states = torch.randn(500, 6).double(), torch.randn(500).double(), torch.randn(300, 6).double()
    u = torch.rand(300).double()
    running = (states @ weight.T + bias).softmax(1).cumsum(1)
    expected = torch.searchsorted(running, u[:, None], right=True)[:, 0]
    assert torch.equal(CategoricalSampler(weight, bias)(states, u), expected)


def test_words_without_weight_are_never_drawn_at_the_edges() -> None:
    almost_one = torch.tensor(1.0).nextafter(torch.tensor(0.0))
    for words in (4, 5, 9, 100, 5000):
        for weighted in (0, 1, words // 2, words - 1):
            bias = torch.full((words,), -torch.inf)
            bias[weighted] = 3.0
            drawn = CategoricalSampler(torch.zeros(words, 2), bias)(
                torch.zeros(3, 2), torch.tensor([0.0, 0.5, float(almost_one)])
            )
            assert drawn.tolist() == [weighted] * 3
    torch.manual_seed(0)
    draws = CategoricalSampler(torch.randn(777, 4), torch.randn(777), excluded=[0, 1, 776])
    states = torch.randn(20_000, 4) * 3
    for u in (torch.rand(20_000), torch.zeros(20_000), almost_one.expand(20_000)):
        drawn = draws(states, u)
        assert int(drawn.min()) >= 2
        assert int(drawn.max()) <= 775


def test_rows_do_not_depend_on_how_many_there_are() -> None:
    torch.manual_seed(0)
    draws, states, u = (
        CategoricalSampler(torch.randn(5000, 32), torch.randn(5000)),
        torch.randn(400, 32),
        torch.rand(400),
    )
    whole = draws(states, u)
    assert torch.equal(whole[:7], draws(states[:7], u[:7]))
    assert draws(states[:0], u[:0]).shape == (0,)
    twice = draws(states[:200], u.view(200, 2))  # two draws from one state are those of the state repeated
    assert torch.equal(twice.flatten(), draws(states[:200].repeat_interleave(2, 0), u))
    assert whole.dtype == torch.int64


def test_large_logits_do_not_overflow() -> None:
    logits = torch.tensor([[1e4, 0.0, 1e4, -1e4], [-1e4, -1e4, -1e4, -9990.0]])
    assert inverse_cdf(logits, 2, torch.tensor([[0.75, 0.25], [0.99, 0.0]])).tolist() == [[2, 0], [3, 0]]


def test_uniform_numbers_follow_from_seed_and_item() -> None:
    whole = uniforms(3, range(40), 5)
    assert torch.equal(uniforms(3, [7, 39], 5), whole[[7, 39]])
    assert not torch.equal(uniforms(4, [7], 5), whole[[7]])
    assert float(whole.min()) >= 0
    assert float(whole.max()) < 1
    assert np.isclose(float(whole.mean()), 0.5, atol=0.1)
    with pytest.raises(UserError, match="seed is -1"):
        uniforms(-1, [0], 1)


@pytest.mark.parametrize("temperature", [0.0, 1e-50, 1e-40, 1e-7])
def test_next_to_no_temperature_takes_the_likeliest(temperature: float) -> None:
    torch.manual_seed(0)
    logits = 30 * torch.randn(20, 50)
    assert torch.equal(sample_events(logits, torch.rand(20), temperature), logits.argmax(1))


def test_generate_at_temperature_zero_takes_the_likeliest_word(tmp_path: Path) -> None:
    method = reverie.train(
        "seqgan:smoke", data="verses:20", out=tmp_path / "run", pretrain_steps=1, d_pretrain_steps=0, steps=1, threads=1
    )
    lines = {text.line for text in method.verb("generate")(n=5, temperature=0.0)}
    assert lines == {text.line for text in method.verb("generate")(n=5, temperature=1e-5, seed=1)}
    assert len(lines) == 1
    for start, hint in (("QUIET", "Did you mean 'quiet'"), ("zzz", "Give words of the training lines")):
        with pytest.raises(
            UserError, match=f"'{start}' of start is none of the .* words that the run has learnt.*{hint}"
        ):
            next(method.verb("generate")(n=1, start=start))
    with pytest.raises(UserError, match="0 or more"):
        method.verb("generate")(n=1, temperature=-1.0)
