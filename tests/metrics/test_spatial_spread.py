import pytest
import torch

from nmf_nets.metrics.spatial_spread import spatial_spread
from nmf_nets.refusal import Refusal


def image(*pixels, shape=(8, 6)):
    M = torch.zeros(shape)
    for i, j in pixels:
        M[i, j] = 2.0
    return M.reshape(1, -1)


def test_an_even_grey_has_one_a_pixel_and_a_dead_component_none():
    W = torch.cat([torch.full((1, 48), 3.0), image((2, 4)), image()])
    torch.testing.assert_close(spatial_spread(W, (8, 6)), torch.tensor([1.0, 0, 0], dtype=torch.float64))


def test_it_is_the_distance_from_the_centre_whatever_the_scale_and_the_place():
    even = torch.tensor([(8**2 - 1) / 12 + (6**2 - 1) / 12]).double().sqrt()  # of uniform integers
    for pair in (((1, 1), (5, 1)), ((2, 5), (6, 5))):
        torch.testing.assert_close(spatial_spread(7 * image(*pair), (8, 6)), 2 / even)


def test_opposite_corners_reach_further_than_an_even_grey():
    assert float(spatial_spread(image((0, 0), (7, 5)), (8, 6))) > 1


def test_colours_are_added_up():
    W = torch.rand(3, 48, generator=torch.Generator().manual_seed(0))
    coloured = (W[:, :, None] * torch.tensor([0.2, 0.5, 0.3])).reshape(3, -1)
    torch.testing.assert_close(spatial_spread(coloured, (8, 6, 3)), spatial_spread(W, (8, 6)), rtol=1e-6, atol=1e-7)


def test_what_is_no_image_of_that_shape_is_refused():
    with pytest.raises(Refusal, match="no images of 5 × 6"):
        spatial_spread(torch.rand(2, 48), (5, 6))
