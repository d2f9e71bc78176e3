import dataclasses

import pytest
import torch

from nmf_nets.factorization import Factorization


def factors(n: int = 6, n_components: int = 3, m: int = 4) -> Factorization:
    chance = torch.Generator().manual_seed(0)
    H, W = (torch.rand(s, generator=chance, dtype=torch.float64) for s in ((n, n_components), (n_components, m)))
    return Factorization(H, W)


def test_the_reconstruction_is_the_product():
    F = factors()
    assert torch.equal(F.reconstruction, F.H @ F.W)
    assert F.reconstruction.shape == (6, 4)
    assert F.n_components == 3


def test_a_factorization_is_a_value():
    with pytest.raises(dataclasses.FrozenInstanceError):
        factors().H = torch.zeros(6, 3)


def test_a_clone_shares_nothing():
    F = factors()
    copy = F.clone()
    copy.H.zero_()
    copy.W.zero_()
    assert torch.equal(F.H, factors().H)
    assert torch.equal(F.W, factors().W)


def test_detached_factors_have_no_history():
    F = factors()
    F = Factorization(F.H.requires_grad_() * 2, F.W.requires_grad_() * 2).detach()
    assert not F.H.requires_grad
    assert not F.W.requires_grad
    assert torch.equal(F.H, 2 * factors().H)


def test_both_factors_go_to_another_dtype():
    F = factors().to(torch.float32)
    assert (F.H.dtype, F.W.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(F.to(torch.float64).reconstruction, factors().reconstruction, rtol=1e-6, atol=0)


@pytest.mark.parametrize("scale", [1.0, 1e-8, 1e8])
def test_balancing_keeps_the_product_and_equals_the_norms(scale):
    F = factors()
    D = scale * torch.tensor([1e-3, 1.0, 50.0], dtype=torch.float64)
    balanced = Factorization(F.H * D, F.W / D[:, None]).balanced()
    torch.testing.assert_close(balanced.reconstruction, F.reconstruction, rtol=1e-13, atol=0)
    h, w = torch.linalg.vector_norm(balanced.H, dim=0), torch.linalg.vector_norm(balanced.W, dim=1)
    torch.testing.assert_close(h, w, rtol=1e-13, atol=0)
    torch.testing.assert_close(balanced.H, F.balanced().H, rtol=1e-13, atol=0)


def test_balancing_twice_is_balancing_once():
    once = factors().balanced()
    torch.testing.assert_close(once.balanced().H, once.H, rtol=1e-14, atol=0)
    torch.testing.assert_close(once.balanced().W, once.W, rtol=1e-14, atol=0)


@pytest.mark.parametrize("side", ["H", "W", "both"])
def test_a_dead_component_becomes_zero_on_both_sides(side):
    F = factors()
    if side != "W":
        F.H[:, 1] = 0
    if side != "H":
        F.W[1] = 0
    balanced = F.balanced()
    assert not balanced.H[:, 1].any()
    assert not balanced.W[1].any()
    torch.testing.assert_close(balanced.reconstruction, F.reconstruction, rtol=1e-14, atol=0)
