"""What the tables of images say of data whose answer is known."""

import numpy as np
import pytest
from stand_ins import newsgroups20, orl_faces

from nmf_nets.benchmark.images import Pictures, clusters, holes, masks, noise, noisy, parts, pictures_of, psnr
from nmf_nets.benchmark.moving import canvases_of, moving, picture_cosines
from nmf_nets.benchmark.relations import relations
from nmf_nets.contents import contents_of
from nmf_nets.refusal import Refusal

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # as the program does


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    orl_faces.write(folder)
    newsgroups20.write(folder)
    return folder


@pytest.fixture(scope="module")
def planted():
    chance = np.random.default_rng(0)
    W = np.kron(np.eye(4), np.ones(20))
    H = chance.random((80, 4)) ** 2
    return Pictures(H @ W, (8, 10), H.argmax(1))


def test_images_are_drawn_shrunk_and_from_0_to_1(faces):
    whole, half = (pictures_of(faces / "orl_faces.npz", rows=20, shrink=s) for s in (1, 2))
    assert (whole.shape, half.shape) == ((28, 23), (14, 11))
    assert whole.X.max() <= 1
    assert len(whole.labels) == 20
    np.testing.assert_allclose(half.X[3, 0], whole.X[3].reshape(28, 23)[:2, :2].mean())
    np.save(faces / "none.npy", np.eye(4))
    with pytest.raises(Refusal, match="no shape of its images"):
        pictures_of(faces / "none.npy")


def test_psnr_is_20_for_a_tenth():
    assert psnr(np.full(4, 0.4), np.full(4, 0.5)) == pytest.approx(20)


def test_sparseness_that_is_asked_for_stands_in_the_table(faces):
    table, figure = parts(pictures_of(faces / "orl_faces.npz"), 4)
    frame = table.frame.set_index("model")
    assert frame.loc["Hoyer 0.75", "sparseness"] == pytest.approx(0.75, abs=1e-4)
    assert frame.loc["components apart", "overlap"] < frame.loc["plain", "overlap"]
    assert frame["error"].idxmin() == "truncated SVD"
    assert len(figure.axes[0].lines) == len(frame) - 1


def test_planted_clusters_are_found_and_files_without_labels_refused(planted):
    frame = clusters(planted, seeds=2).frame.set_index("clusters")
    assert frame.loc["strongest component, NMF", "accuracy"] == 1
    assert frame["NMI"].max() <= 1 + 1e-12
    with pytest.raises(Refusal, match="no labels"):
        clusters(planted._replace(labels=None))


def test_holes_of_low_rank_are_filled_by_factors(planted):
    hidden = masks(planted)
    assert hidden["30 % at random"].mean() == pytest.approx(0.3, abs=0.02)
    assert (hidden["blocks"].sum(1) == 4 * 5).all(), "half of each side"
    table, figure = holes(planted, (4,))
    frame = table.frame.set_index("method")
    assert frame.loc["NMF, 4", "30 % at random"] > frame.loc["mean of the pixel", "30 % at random"] + 10
    assert len(figure.axes) % 8 == 0


def test_each_noise_is_what_it_is_called_and_factors_remove_it(planted):
    given = noisy(planted)
    assert ((given["Poisson"] * 20) % 1 == 0).all()
    changed = given["salt and pepper"] != planted.X
    assert np.isin(given["salt and pepper"][changed], (0, 1)).all()
    assert changed.mean() == pytest.approx(0.1, abs=0.02)
    frame = noise(planted, (4,))[0].frame.set_index("method")
    for kind in ("Gaussian", "Poisson"):
        assert frame.loc["NMF, 4", kind] > frame.loc["noisy", kind] + 5
    assert frame["salt and pepper"].idxmax() == "NMF, black and white not observed, 4"


@pytest.mark.parametrize("name", ["orl_faces", "newsgroups20"])
def test_nmf_has_no_signs_and_the_svd_no_overlap(faces, name):
    table, figure = relations(contents_of(faces / f"{name}.npz").fitting, 4)
    frame = table.frame.set_index("method")
    assert frame.loc["NMF", "negative"] == 0
    assert frame.loc["truncated SVD", "negative"] > 0.1
    assert frame.loc["truncated SVD", "largest cosine"] < 1e-5 < frame.loc["NMF", "largest cosine"]
    assert frame.loc["truncated SVD", "error"] < frame.loc["NMF", "error"]
    assert figure.axes


def test_relations_are_not_looked_at_without_images_or_words(faces):
    np.save(faces / "plain.npy", np.random.default_rng(0).random((9, 5)))
    with pytest.raises(Refusal, match="as images or as words"):
        relations(contents_of(faces / "plain.npy"))


@pytest.fixture(scope="module")
def glyphs():
    """A bar, a cross and a frame, twice each."""
    drawn = ("11111 00000 00000 00000 00000", "10001 01010 00100 01010 10001", "01110 10001 10001 10001 01110")
    X = np.array([[float(pixel) for pixel in glyph.replace(" ", "")] for glyph in drawn])
    return Pictures(np.repeat(X, 2, 0), (5, 5), np.repeat(np.arange(3), 2))


def test_pictures_stand_somewhere_on_canvases_and_are_found_wherever_they_stand(glyphs):
    planted = canvases_of(glyphs)
    assert planted.X.shape == (60, 12, 12)
    assert planted.rows.shape == (720, 12)
    assert 1.2 < np.square(planted.X).sum() / 60 < 3, "of three pictures of norm 0.5 to 1.5 six tenths are there"
    moved = np.pad(planted.pictures[[2, 0, 1]], ((0, 0), (3, 4), (6, 1)))
    np.testing.assert_allclose(picture_cosines(moved, planted.pictures), 1)
    with pytest.raises(Refusal, match="classes"):
        canvases_of(glyphs._replace(labels=None))


def test_sparse_motifs_are_the_pictures_and_others_pieces_of_them(glyphs):
    table, figure = moving(glyphs, starts=3, epochs=150)
    frame = table.frame.set_index("model")
    sparse, free = frame.loc["motifs, sparse codes"], frame.loc["motifs"]
    assert sparse["mean cosine"] > 0.9 > free["mean cosine"]
    assert free["error"] < sparse["error"] < frame[frame["number"] == 10]["error"].min()
    assert figure.axes
