"""Strips, parts and signs."""

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from nmf_nets.factorization import Factorization
from nmf_nets.plots.parts import Parts, draw_parts
from nmf_nets.plots.signs import cosines, draw_signs
from nmf_nets.plots.strips import draw_reconstructions, draw_strips


def pixels(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def test_a_strip_is_on_the_scale_of_the_first_and_shows_what_is_hidden():
    X = np.random.default_rng(0).random((3, 20))
    seen = np.where(X < 0.5, np.nan, X)
    figure = draw_strips({"image": X, "seen": seen, "half": X / 2}, (5, 4))
    shown = [axes.images[0].get_array() for axes in figure.axes]
    np.testing.assert_allclose(shown[0], X[0].reshape(5, 4) / X.max())
    np.testing.assert_allclose(shown[6], X[0].reshape(5, 4) / X.max() / 2)
    picture = pixels(figure)
    assert (np.abs(picture[..., :3].astype(int) - [217, 95, 2]).sum(2) < 4).any(), "orange"


@pytest.mark.parametrize("shape", [(4, 3), (2, 2, 3)])
def test_parts_stand_in_order_and_add_up_to_the_reconstruction(shape):
    H = torch.tensor([[1.0, 0.0, 3.0, 0.5], [0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    W = torch.rand(4, 12, generator=torch.Generator().manual_seed(0)) + torch.tensor([[1.0], [1], [1], [1]])
    X = H @ W + 0.1
    figure = draw_reconstructions(X, Factorization(H, W), shape, strongest=4)
    rows = np.array(figure.axes).reshape(3, 6)
    assert [axes.get_title()[0] for axes in rows[0][2:5]] == ["2", "0", "3"]
    assert rows[1][2].get_title() == "1: 100%"
    assert rows[2][2].get_title().endswith(" 0%"), "nothing adds to nothing"
    if len(shape) == 2:
        shown = [axes.images[0].get_array() for axes in rows[0]]
        np.testing.assert_allclose(sum(shown[2:]), shown[1], atol=1e-6)
    assert pixels(figure).std() > 1


def test_models_stand_at_what_was_measured_of_them():
    W = torch.rand(4, 12, generator=torch.Generator().manual_seed(0))
    figure = draw_parts([Parts("plain", W, 0.3, 0.9, 0.1), Parts("local", W, 0.7, 0.4, 0.2)], (4, 3))
    plane = figure.axes[0]
    assert [line.get_xydata().tolist() for line in plane.lines] == [[[0.3, 0.9]], [[0.7, 0.4]]]
    assert [text.get_text() for text in plane.texts] == ["plain\nerror 0.100", "local\nerror 0.200"]
    assert pixels(figure).std() > 1


def test_signs_are_colours_of_images_and_of_words():
    W = torch.tensor([[1.0, -3.0, 0.0, 2.0], [0.0, 0.0, 0.0, 0.0]])
    shown = draw_signs({"one": W}, (2, 2)).axes[0].images[0]
    assert (shown.norm.vmin, shown.norm.vmax) == (-3, 3)
    figure = draw_signs({"one": W}, None, ("a", "b", "c", "d"))
    words = [(text.get_text(), text.get_color()) for text in figure.axes[0].texts]
    assert words[:3] == [("b", "#2166ac"), ("d", "#b2182b"), ("a", "#b2182b")]
    assert pixels(figure).std() > 1


def test_cosines_of_a_dead_component_are_zero():
    assert cosines(np.array([[3.0, 4.0], [0.0, 0.0], [-3.0, -4.0]])).tolist() == [[1, 0, -1], [0, 0, 0], [-1, 0, 1]]
