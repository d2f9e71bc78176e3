import pytest
import torch

from nmf_nets.constraints.exponential import Exponential
from nmf_nets.constraints.projected import Projected
from nmf_nets.constraints.softplus import Softplus
from nmf_nets.constraints.square import Square
from nmf_nets.decoders.linear import Linear
from nmf_nets.factorization import Factorization

START = Factorization(torch.rand(6, 3, dtype=torch.float64) + 0.1, torch.rand(3, 5, dtype=torch.float64) + 0.1)


@pytest.mark.parametrize(
    "constraint", [Projected(), Softplus(), Square(), Exponential()], ids=lambda c: type(c).__name__
)
def test_the_decoder_keeps_w_and_makes_h_w(constraint):
    decoder = Linear(START, constraint)
    torch.testing.assert_close(decoder.W, START.W)
    torch.testing.assert_close(decoder(START.H), START.H @ START.W)
    decoder.assign_(2 * START.W)
    torch.testing.assert_close(decoder.W, 2 * START.W)
    with torch.no_grad():
        decoder.weight.theta -= 10
    decoder.project_()
    assert (decoder.W >= 0).all()
    assert [name for name, _ in decoder.named_parameters()] == ["weight.theta"]
