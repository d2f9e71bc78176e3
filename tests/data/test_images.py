import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from nmf_nets.data.images import Images
from nmf_nets.refusal import Refusal

CHANCE = np.random.default_rng(0)
GREY = CHANCE.integers(0, 256, size=(6, 5, 4), dtype=np.uint8)
COLOUR = CHANCE.integers(0, 256, size=(6, 5, 4, 3), dtype=np.uint8)
EXACT = (".png", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".PNG")


def folder(tmp_path, pictures, ending, classes=("b", "a")):
    for i, picture in enumerate(pictures):
        path = tmp_path / "images" / classes[i % len(classes)] / f"{i}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path, **({"lossless": True} if ending == ".webp" else {}))
    return tmp_path / "images"


@pytest.mark.parametrize("ending", [*EXACT, ".pgm", ".pnm"])
def test_grey_images_are_rows_of_their_grey_values(tmp_path, ending):
    data = Images(folder(tmp_path, GREY, ending), validation=0, test=0, dtype="float64")
    data.setup()
    in_order = [1, 3, 5, 0, 2, 4]
    assert np.array_equal(data.training.dense().numpy(), GREY[in_order].reshape(6, 20) / 255)
    assert data.dataset.image_shape == (5, 4)
    assert data.dataset.shown_as == "image"
    assert list(data.dataset.sample_names) == [f"{'ba'[i % 2]}/{i}{ending}" for i in in_order]
    assert data.dataset.labels.tolist() == list("aaabbb")


@pytest.mark.parametrize("ending", [".png", ".tif", ".bmp", ".webp", ".ppm"])
def test_images_of_colour_are_rows_of_red_green_and_blue_or_of_their_luma(tmp_path, ending):
    path = folder(tmp_path, COLOUR, ending, [""])
    data = Images(path, colour=True, validation=0, test=0, dtype="float64")
    data.setup()
    assert np.array_equal(data.training.dense().numpy(), COLOUR.reshape(6, 60) / 255)
    assert data.dataset.image_shape == (5, 4, 3)
    assert data.dataset.labels is None
    grey = Images(path, validation=0, test=0, dtype="float64")
    grey.setup()
    luma = COLOUR @ [0.299, 0.587, 0.114] / 255
    assert np.allclose(grey.training.dense().numpy(), luma.reshape(6, 20), atol=1 / 255)


def test_photographs_are_near_what_was_taken(tmp_path):
    photograph = load_sample_image("flower.jpg")
    Image.fromarray(photograph).save(tmp_path / "x.jpg", quality=95)
    found = Images(tmp_path / "x.jpg", colour=True).read(tmp_path / "x.jpg")
    assert found.image_shape == photograph.shape
    assert np.abs(found.X.numpy() - photograph.reshape(1, -1) / 255).mean() < 0.01
    assert found.sample_names == ("x.jpg",)


@pytest.mark.parametrize("colour", [False, True])
def test_images_are_made_alike_when_a_size_is_given(tmp_path, colour):
    path = tmp_path / "images"
    path.mkdir()
    for i, side in enumerate((4, 8, 12)):
        Image.fromarray(np.full((side, 2 * side, 3), 50 * (i + 1), np.uint8)).save(path / f"{i}.png")
    Image.fromarray(np.full((3, 3), 40 * 257, np.uint16)).save(path / "deep.png")
    with pytest.raises(Refusal, match=r"1.png has 8 × 16 pixels, but .*0.png has 4 × 8; data.size=\[4,8\] makes"):
        Images(path, colour=colour).setup()
    found = Images(path, size=[3, 5], colour=colour, dtype="float64").read(path)
    assert found.image_shape == ((3, 5, 3) if colour else (3, 5))
    assert np.allclose(found.X.numpy(), np.array([50, 100, 150, 40])[:, None] / 255)


def test_smaller_images_are_means_of_larger_ones(tmp_path):
    board = 255 * (np.indices((40, 32)).sum(0) % 2)
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / "x.png")
    assert np.allclose(Images(tmp_path, size=[5, 4]).read(tmp_path).X.numpy(), 0.5, atol=0.03)


def test_the_camera_says_which_side_is_up(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(GREY[0]).save(tmp_path / "x.png", exif=exif)
    found = Images(tmp_path, dtype="float64").read(tmp_path)
    assert found.image_shape == (4, 5)
    assert np.array_equal(found.X.numpy().reshape(4, 5), np.rot90(GREY[0], -1) / 255)


@pytest.mark.parametrize("ending", [".png", ".tif", ".pgm"])
@pytest.mark.parametrize("colour", [False, True])
def test_grey_of_sixteen_bits_keeps_them(tmp_path, ending, colour):
    deep = np.array([[0, 1, 256], [257, 40000, 65535]], np.uint16)
    Image.fromarray(deep).save(tmp_path / f"x{ending}")
    found = Images(tmp_path, colour=colour, dtype="float64").read(tmp_path).X.numpy()
    assert np.allclose(found.reshape(6, -1), deep.reshape(6, 1) / 65535, rtol=1e-6, atol=0)


def test_floating_point_images_are_taken_as_they_are(tmp_path):
    Image.fromarray(GREY[0].astype(np.float32) / 255).save(tmp_path / "x.tif")
    assert np.allclose(Images(tmp_path).read(tmp_path).X.numpy(), GREY[0].reshape(1, -1) / 255)
    Image.fromarray(GREY[0].astype(np.float32)).save(tmp_path / "x.tif")
    with pytest.raises(Refusal, match=r"x.tif has grey values from .* to .*, but they must lie between 0 and 1"):
        Images(tmp_path).setup()


def test_what_is_transparent_needs_a_background(tmp_path):
    alpha = np.array([[0, 255, 51]], np.uint8)
    for mode, picture in {"LA": np.full((1, 3), 255), "RGBA": np.full((1, 3, 3), 255)}.items():
        bands = np.dstack([picture, alpha]).astype(np.uint8)
        Image.fromarray(bands).convert(mode).save(tmp_path / "x.png")
        with pytest.raises(Refusal, match=r"x.png is transparent in places; data.background=0 puts it on black"):
            Images(tmp_path).setup()
        found = Images(tmp_path, background=0).read(tmp_path)
        assert np.allclose(found.X.numpy(), alpha / 255)
        assert np.allclose(Images(tmp_path, background=1).read(tmp_path).X.numpy(), 1)
        Image.fromarray(np.dstack([picture, np.full((1, 3), 255)]).astype(np.uint8)).save(tmp_path / "x.png")
        assert np.allclose(Images(tmp_path).read(tmp_path).X.numpy(), 1), "an alpha that hides nothing"


def test_a_palette_may_have_a_transparent_colour(tmp_path):
    picture = Image.frombytes("P", (3, 1), bytes([0, 1, 1]))
    picture.putpalette([255, 0, 0, 255, 255, 255])
    picture.save(tmp_path / "x.gif", transparency=0)
    with pytest.raises(Refusal, match=r"x.gif is transparent in places"):
        Images(tmp_path).setup()
    found = Images(tmp_path, background=0, colour=True).read(tmp_path)
    assert found.X.numpy().tolist() == [[0, 0, 0, 1, 1, 1, 1, 1, 1]]


@pytest.mark.parametrize("mode", ["1", "P", "CMYK"])
def test_other_ways_to_say_a_colour_are_understood(tmp_path, mode):
    picture = np.zeros((2, 3, 3), np.uint8)
    picture[0] = 255
    Image.fromarray(picture).convert(mode).save(tmp_path / "x.tif")
    with Image.open(tmp_path / "x.tif") as image:
        assert image.mode == mode
    for colour in (False, True):
        found = Images(tmp_path, colour=colour, dtype="float64").read(tmp_path)
        assert np.allclose(found.X.numpy().reshape(2, 3, -1), [[[1]], [[0]]])


def several(path):
    images = [Image.fromarray(picture) for picture in GREY]
    images[0].save(path, save_all=True, append_images=images[1:])


def truncated(path):
    Image.fromarray(np.kron(GREY[0], np.ones((9, 9), np.uint8))).save(path)
    path.write_bytes(path.read_bytes()[:-200])


REFUSED = {
    "nonsense.png": (lambda path: path.write_text("nonsense"), "nonsense.png cannot be read as an image: cannot ident"),
    "empty.bmp": (lambda path: path.touch(), "empty.bmp cannot be read as an image"),
    "truncated.png": (truncated, "truncated.png cannot be read as an image: .*truncated"),
    "truncated.jpg": (truncated, "truncated.jpg cannot be read as an image: .*truncated"),
    "script.png": (lambda path: Image.fromarray(COLOUR[0]).save(path, "EPS"), "script.png cannot be read as an image"),
    "several.tif": (several, "several.tif holds 6 images; save each as a file"),
    "moving.gif": (several, "moving.gif holds 6 images"),
    "perceived.tif": (lambda path: Image.new("LAB", (2, 2)).save(path), "perceived.tif is an image of mode LAB"),
    "text.txt": (lambda path: path.write_text("text"), r"end in .png, .jpg.*holds none; the first .* is text.txt"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_image_is_refused_by_name(tmp_path, name):
    save, said = REFUSED[name]
    save(tmp_path / name)
    with pytest.raises(Refusal, match=said):
        Images(tmp_path).setup()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": [3]}, r"data.size is \[3\]"),
        ({"size": [3, 0]}, r"data.size is \[3, 0\]"),
        ({"background": 255}, "data.background is 255"),
        ({"path": "elsewhere"}, "no such file or folder"),
        ({"path": __file__}, "must be a file that ends in .png"),
        ({"path": None}, r"data=images needs a file"),
    ],
)
def test_impossible_choices_are_refused(tmp_path, options, said):
    with pytest.raises(Refusal, match=said):
        Images(**{"path": tmp_path, **options}).setup()


def test_images_of_colour_are_trained_on_and_their_components_are_pictures(train, tmp_path):
    path = folder(tmp_path, np.kron(COLOUR, np.ones((1, 8, 8, 1), np.uint8)), ".png")
    ran = train(
        "data=images",
        f"data.path={path}",
        "data.size=[5,4]",
        "data.colour=true",
        "data.validation=0",
        "data.test=0",
        "n_components=2",
        "trainer.max_epochs=3",
    )
    assert ran.code == 0, ran.err
    with Image.open(ran.directory / "run" / "components.png") as picture:
        red, green, blue = np.moveaxis(np.asarray(picture.convert("RGB")).astype(int), 2, 0)
    assert ((abs(red - green) > 40) | (abs(green - blue) > 40)).mean() > 0.05


def test_the_command_says_what_is_no_image(train, tmp_path):
    folder(tmp_path, GREY, ".png")
    (tmp_path / "images" / "a" / "1.png").write_bytes(b"PNG?")
    ran = train("data=images", "data.path=images")
    assert ran.code == 2
    assert ran.sentence.startswith("refused: images/a/1.png cannot be read as an image: ")
