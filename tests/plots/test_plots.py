import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from nmf_nets.as_matrix import as_matrix
from nmf_nets.factorization import Factorization
from nmf_nets.plots.co_clusters import draw_co_clusters
from nmf_nets.plots.components import MOST, draw_components
from nmf_nets.plots.curves import draw_curves
from nmf_nets.plots.decibels import GROUPS, draw_decibel_errors
from nmf_nets.plots.hierarchy import draw_hierarchy
from nmf_nets.plots.motifs import draw_motifs, draw_sequence
from nmf_nets.plots.penalties import Moved, code_rows, component_tiles, draw_penalties, enclosure
from nmf_nets.plots.stream import draw_stream
from nmf_nets.plots.topics import draw_topics, topics
from nmf_nets.refusal import Refusal


def pixels(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


@pytest.mark.parametrize(
    ("shape", "image"),
    [((16, 64), (8, 8)), ((5, 96), None), ((1, 1), None), ((3, 6), (2, 3)), ((3, 24), (2, 4, 3))],
)
def test_every_component_has_a_panel_with_something_in_it(shape, image):
    figure = draw_components(torch.rand(shape, generator=torch.Generator().manual_seed(0)), image)
    drawn = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in drawn] == [str(k) for k in range(shape[0])]
    assert pixels(figure).std() > 1
    if image:
        assert drawn[0].images[0].get_array().shape == image


def test_components_of_colour_are_bright_where_they_are_strong():
    W = torch.zeros(3, 12)
    W[0, 1::3], W[1] = 7, 0.5
    shown = [axes.images[0].get_array() for axes in draw_components(W, (2, 2, 3)).axes[:3]]
    assert np.array_equal(shown[0], np.broadcast_to([0, 1, 0], (2, 2, 3)))
    assert (shown[1] == 1).all()
    assert (shown[2] == 0).all(), "a dead component"


def test_spectra_stand_over_their_frequencies():
    frequencies = np.array([0.0, 100.0, 250.0, 4000.0])
    figure = draw_components(torch.rand(2, 4), frequencies=frequencies)
    assert "kHz" in figure.get_suptitle()
    for axes in figure.axes:
        assert axes.get_xlim() == (0, 4)
        places = axes.collections[0].get_paths()[0].vertices[:, 0]
        assert (places.min(), places.max()) == (0, 4)


def test_no_more_than_can_be_seen_and_it_is_said():
    figure = draw_components(torch.rand(MOST + 5, 4))
    assert len([axes for axes in figure.axes if axes.get_title()]) == MOST
    assert f"first {MOST} of {MOST + 5}" in figure.get_suptitle()


def test_dead_components_are_drawn_as_nothing():
    assert pixels(draw_components(torch.zeros(2, 4), (2, 2))).shape


def test_topics_are_the_strongest_features_with_their_shares():
    W = torch.tensor([[1.0, 0.0, 3.0], [0.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    assert topics(W, ("a", "b", "c"), 2) == [[("c", 0.75), ("a", 0.25)], [], [("b", 1.0)]]
    assert topics(W, ("a", "b", "c"), 1) == [[("c", 0.75)], [], [("b", 1.0)]]


@pytest.mark.parametrize("shape", [(3, 20), (1, 1), (MOST + 1, 4)])
def test_topics_are_drawn_with_their_names(shape):
    W = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    names = [f"$_{j} " + "long" * j for j in range(shape[1])]
    figure = draw_topics(W, names, 5)
    drawn = [axes for axes in figure.axes if axes.get_title()]
    assert len(drawn) == min(shape[0], MOST)
    assert drawn[0].texts[0].get_text()[:3] == topics(W, names, 1)[0][0][0][:3]
    assert len(drawn[0].patches) == min(5, shape[1])
    assert pixels(figure).std() > 1
    assert (f"first {MOST} of {shape[0]}" in figure.get_suptitle()) == (shape[0] > MOST)


def test_topics_of_zeros_can_be_drawn():
    assert pixels(draw_topics(torch.zeros(2, 4), "abcd")).shape


MEASURED = [
    {"step": step, "training/divergence": 12.0 / (step + 1) + 10, "training/exact_codes": 10 + 9.0 / (step + 1)}
    | {"training/code_gap": 0.1 / (step + 1), "validation/code_gap": 0.0, "seconds": step}
    for step in range(5)
]


@pytest.mark.parametrize("measured", [MEASURED, MEASURED[:1], [], [{"step": 0, "least_share": 0.1}]])
@pytest.mark.parametrize("best", [{"classical": 10.0, "scikit-learn": 11.0}, {"classical": 0.0, "scikit-learn": 0.0}])
def test_curves_can_be_drawn_of_any_run(measured, best):
    figure = draw_curves(measured, best)
    loss, codes = figure.axes
    assert pixels(figure).std() > 1
    assert len(loss.lines) == 2 * bool(measured and "training/divergence" in measured[0]) + len(best)
    for axes in (loss, codes):
        assert axes.get_yscale() == "log"


def test_the_classical_value_is_where_the_gap_ends():
    loss = draw_curves(MEASURED, {"classical": 10.0, "scikit-learn": 11.0}).axes[0]
    own = loss.lines[0].get_ydata()
    assert own[0] == pytest.approx(1.2)
    assert loss.lines[3].get_ydata()[0] == pytest.approx(0.1)


def test_every_gap_has_a_label_of_its_own():
    loss = draw_curves(MEASURED, {"classical": 10.0, "scikit-learn": 11.0}).axes[0]
    label = loss.yaxis.get_major_formatter()
    assert [label(gap, 0) for gap in (1e-6, 1e-4, 0.01, 1.0)] == ["≤ 0.0001 %", "0.01 %", "1 %", "100 %"]


@pytest.mark.parametrize("shape", [(3, 5, 20), (1, 1, 1), (15, 2, 4), (MOST + 1, 2, 2)])
def test_motifs_are_drawn_with_time_to_the_right(shape):
    motifs = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    figure = draw_motifs(motifs)
    drawn = [axes for axes in figure.axes if axes.get_title()]
    assert len(drawn) == min(shape[0], MOST)
    assert drawn[0].images[0].get_array().shape == (shape[2], shape[1])
    assert (f"first {MOST} of {shape[0]}" in figure.get_suptitle()) == (shape[0] > MOST)


def test_a_sequence_is_drawn_with_its_codes_and_motifs():
    X, H, motifs = torch.rand(30, 6), torch.rand(30, 2), torch.rand(2, 4, 6)
    H[:, 1] = 0
    figure = draw_sequence(X, X, H, motifs, 0.5)
    assert pixels(figure).std() > 1
    assert [axes.get_title() for axes in figure.axes[3:]] == ["W 0", "W 1"]


def lines_and_panels(figure):
    return figure.axes[0].lines, figure.axes[1:]


@pytest.mark.parametrize(
    "given",
    [{"image_shape": (2, 3)}, {"image_shape": (1, 2, 3)}, {"feature_names": tuple(f"word{j}" for j in range(6))}, {}],
    ids=str,
)
def test_a_hierarchy_has_a_panel_for_every_component_and_lines_to_its_parts(given):
    W1, W2 = torch.eye(4, 6), torch.tensor([[0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.05, 0.0]])
    figure = draw_hierarchy([W1, W2], **given)
    lines, panels = lines_and_panels(figure)
    assert len(panels) == 6
    assert len(lines) == 4, "a part of a fortieth has no line"
    lower, upper = panels[:4], panels[4:]
    assert {round(axes.get_position().y0, 6) for axes in lower} != {round(axes.get_position().y0, 6) for axes in upper}
    assert pixels(figure).std() > 1
    if "feature_names" in given:
        places = {axes.texts[0].get_text(): axes.get_position().x0 for axes in lower}
        assert max(places["word2"], places["word3"]) < min(places["word0"], places["word1"])


def test_dead_parts_and_dead_levels_are_left_out():
    W1, W2 = torch.eye(3, 6), torch.ones(2, 3)
    W1[1] = 0
    assert len(lines_and_panels(draw_hierarchy([W1, W2]))[1]) == 4
    assert len(lines_and_panels(draw_hierarchy([0 * W1, W2]))[1]) == 0
    with pytest.raises(Refusal, match=f"a level has {MOST + 1} components"):
        draw_hierarchy([torch.ones(MOST + 1, 2), torch.ones(1, MOST + 1)])


def test_co_clusters_stand_together():
    A = torch.tensor([[1.0, 0.0, 1.0], [0.0, 2.0, 0.0], [1.0, 0.0, 1.0]])
    figure = draw_co_clusters(as_matrix(A), torch.tensor([0, 1, 0]), torch.tensor([0, 1, 0]))
    before, after = figure.axes
    assert np.array_equal(before.images[0].get_array(), A)
    assert np.array_equal(after.images[0].get_array(), [[1, 1, 0], [1, 1, 0], [0, 0, 2]])
    assert [line.get_ydata()[0] for line in after.lines] == [1.5, 0]
    with pytest.raises(Refusal, match="X has 5000 × 4000 entries"):
        draw_co_clusters(as_matrix(torch.ones(5000, 4000)), torch.zeros(5000).long(), torch.zeros(4000).long())


def moved(**given):
    return Moved("title", "measure", **{"strengths": [0, 1, 10], "net": [3, 2, 1], "classical": [3, 2, 1.1], **given})


def test_what_penalties_move_is_a_column_for_each_with_its_pictures():
    chance = torch.Generator().manual_seed(0)
    W, H = torch.rand(7, 12, generator=chance), torch.rand(30, 7, generator=chance)
    X = as_matrix(H @ W)
    pictures = [
        ("tiles", component_tiles(W, (3, 4))),
        ("codes", code_rows(H, torch.arange(30) % 3)),
        ("enclosure", enclosure(X, W[:3], W[1:4])),
    ]
    figure = draw_penalties([moved(pictures=pictures), moved(pictures=pictures[:1]), moved(net=[-2.0, -3.0, 0.0])])
    assert len(figure.axes) == 4 * 3
    assert pixels(figure).std() > 1
    ring, cross = figure.axes[0].lines
    assert list(ring.get_ydata()) == [3, 2, 1.1]
    assert list(cross.get_ydata()) == [3, 2, 1]
    assert [axes.get_title() for axes in figure.axes[3::3]] == ["tiles", "codes", "enclosure"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pictures_of_zeros_and_of_a_single_strength_can_be_drawn(dtype):
    W, H = torch.zeros(3, 4, dtype=dtype), torch.zeros(5, 3, dtype=dtype)
    pictures = [
        ("tiles", component_tiles(W, (2, 2))),
        ("codes", code_rows(H, torch.zeros(5, dtype=torch.long))),
        ("enclosure", enclosure(as_matrix(H @ W), W, W)),
    ]
    alone = moved(strengths=[0], net=[0.0], classical=[0.0], pictures=pictures)
    assert pixels(draw_penalties([alone])).std() > 1


def test_every_stream_has_a_line_and_every_change_of_the_source():
    gaps = {"forgets": [(10, 0.5), (20, 0.1), (30, 0.4)], "remembers": [(10, 0.5), (20, 0.2), (30, 0.9)]}
    axes = draw_stream(gaps, [20]).axes[0]
    assert [line.get_label() for line in axes.lines] == ["forgets", "remembers", "another source"]
    assert list(axes.lines[0].get_ydata()) == [0.5, 0.1, 0.4]
    assert pixels(draw_stream(gaps)).std() > 1


def test_errors_in_decibels_run_from_the_quietest_entry_to_the_loudest():
    truth = Factorization(10.0 ** torch.linspace(-6, 0, 40)[:, None], torch.rand(1, 30) + 0.5)
    X = truth.reconstruction.clone()
    X[0, 0] = 0  # as quiet as can be: it has no decibels, and is left out
    tenfold = Factorization(truth.H * 10, truth.W)
    figure = draw_decibel_errors(as_matrix(X), {"itself": truth, "tenfold": tenfold})
    itself, wrong = figure.axes[0].lines
    assert len(itself.get_xdata()) == GROUPS
    assert np.all(np.diff(itself.get_xdata()) > 0)
    np.testing.assert_allclose(itself.get_ydata(), 0, atol=1e-4)
    np.testing.assert_allclose(wrong.get_ydata(), 10, atol=1e-4)
    assert pixels(figure).std() > 1
