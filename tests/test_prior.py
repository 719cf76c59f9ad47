"""The prior of new codes: N(0, I), or fitted to the codes of the data."""

from __future__ import annotations

import pytest
import torch

from reverie.nn.latent_prior import Prior


def lopsided(n: int = 4_000) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Codes [n,3], their mean and their covariance."""
    torch.manual_seed(0)
    root, mean = torch.tensor([[2.0, 0.0, 0.0], [1.0, 0.3, 0.0], [-0.5, 0.2, 0.1]]), torch.tensor([1.0, 0.0, -2.0])
    return mean + torch.randn(n, 3) @ root.T, mean, root @ root.T


def fitted() -> Prior:
    codes, prior = lopsided()[0], Prior(3, fitted=True, decay=0.9)
    for part in codes.split(40):
        prior.update(part)
    return prior


def test_what_is_drawn_has_the_mean_and_the_covariance_of_the_codes() -> None:
    _, mean, covariance = lopsided()
    drawn = fitted()(torch.randn(20_000, 3))
    assert torch.allclose(drawn.mean(0), mean, atol=0.2)
    assert torch.allclose(drawn.T.cov(), covariance, atol=0.6)
    assert torch.corrcoef(drawn.T)[0, 1] > 0.9


def test_the_density_is_that_of_what_is_drawn() -> None:
    prior, (codes, _, _) = fitted(), lopsided(50)
    covariance = prior.root() @ prior.root().T
    expected = torch.distributions.MultivariateNormal(prior.mean, covariance).log_prob(codes)
    assert torch.allclose(prior.log_density(codes), expected, atol=1e-3, rtol=1e-4)


def test_before_any_code_and_where_it_is_not_fitted_it_is_the_standard_normal() -> None:
    normal = torch.randn(5, 3)
    expected = torch.distributions.Normal(0, 1).log_prob(normal).sum(1)
    for prior in (Prior(3, fitted=False), Prior(3, fitted=True)):
        assert torch.allclose(prior(normal), normal, atol=1e-5)
        assert torch.allclose(prior.log_density(normal), expected, atol=1e-4)
    plain = Prior(3, fitted=False)
    plain.update(torch.ones(4, 3))
    assert torch.equal(plain(normal), normal)
    assert not plain.state_dict()  # weights of runs without it are as they were


@pytest.mark.parametrize("rows", [1, 17, 100])
def test_a_code_does_not_depend_on_how_many_are_drawn_with_it(rows: int) -> None:
    prior, normal = fitted(), torch.randn(200, 3)
    assert torch.equal(prior(normal)[:rows], prior(normal[:rows]))


def test_codes_that_do_not_vary_at_all_can_be_drawn_from() -> None:
    prior = Prior(3, fitted=True, decay=0.5)
    for _ in range(200):
        prior.update(torch.ones(1, 3))
    assert torch.allclose(prior(torch.randn(9, 3)), torch.ones(9, 3), atol=0.02)


def test_codes_far_from_zero_that_hardly_vary_are_drawn_as_they_are() -> None:
    codes, prior = 1_000 + torch.randn(4_000, 3) * torch.tensor([5.0, 0.1, 1.0]), Prior(3, fitted=True, decay=0.5)
    for part in codes.split(100):
        prior.update(part)
    drawn = prior(torch.randn(20_000, 3))
    assert torch.allclose(drawn.mean(0), codes.mean(0), atol=1)
    assert torch.allclose(drawn.std(0), codes.std(0), rtol=0.3)
