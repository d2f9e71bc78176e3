"""The user's own images, one a row."""

import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from nmf_nets.as_matrix import as_matrix
from nmf_nets.data.base import Dataset, FileDataModule
from nmf_nets.folder import classes_in, files_of, names_in
from nmf_nets.refusal import Refusal

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".pgm", ".ppm", ".pbm", ".pnm", ".gif", ".webp")
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "PPM", "GIF", "WEBP")
"""Whatever a file is called: Pillow would hand PostScript, say, to another program."""

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
"""Of 8 bits and fewer, which Pillow turns into grey or RGB."""


class Images(FileDataModule):
    """Grey values, or red, green and blue for each pixel after the other, from 0, black, to 1.

    path: a folder of .png, .jpg, .tif, .bmp, .pgm, .ppm, .gif, .webp, whose subfolders are classes; or one image.
    size: (height, width), to which images are stretched or squeezed; None where all are alike already.
    colour: red, green and blue; otherwise grey, from colours their luma (ITU-R 601).
    background: the grey value from 0 to 1 that is seen through what is transparent; None where nothing is.
    Cameras' notes of which side is up are heeded. Grey images of 16 bits keep them; of floating-point numbers they must
    lie in [0, 1].
    """

    def __init__(
        self,
        path: str | Path | None = None,
        size: Sequence[int] | None = None,
        colour: bool = False,
        background: float | None = None,
        **rows: Any,
    ):
        super().__init__(path, **rows)
        if size is not None and (len(size) != 2 or not all(isinstance(side, int) and side >= 1 for side in size)):
            raise Refusal(f"data.size is {size}, but must be [height,width], in pixels, or null.")
        if background is not None and not 0 <= background <= 1:
            raise Refusal(f"data.background is {background}, but must be from 0, black, to 1, white, or null.")
        self.size = (size[0], size[1]) if size is not None else None
        self.colour, self.background = colour, background

    def read(self, path: Path, feature_names: Sequence[str] | None = None) -> Dataset:
        files = files_of(path, ENDINGS)
        shape = self._pixels(files[0]).shape
        X = np.empty((len(files), math.prod(shape)), str(self.dtype).removeprefix("torch."))
        for row, file in zip(X, files, strict=True):
            pixels = self._pixels(file)
            if pixels.shape != shape:
                (height, width), (other_height, other_width) = shape[:2], pixels.shape[:2]
                raise Refusal(
                    f"{file} has {other_height} × {other_width} pixels, but {files[0]} has {height} × {width}; "
                    f"data.size=[{height},{width}] makes all alike."
                )
            row[:] = pixels.ravel()
        return Dataset(as_matrix(X), shape, None, names_in(path, files), labels=classes_in(path, files))

    def _pixels(self, file: Path) -> np.ndarray:
        """(height, width), or (height, width, 3), from 0 to 1."""
        try:
            with Image.open(file, formats=FORMATS) as image:
                count = getattr(image, "n_frames", 1)
                if count > 1 and image.format != "MPO":  # a photograph with its preview
                    raise Refusal(f"{file} holds {count} images; save each as a file.")
                image = ImageOps.exif_transpose(image)
                if image.mode in ("I", "F") or image.mode.startswith("I;16"):
                    return self._of_deep_grey(image, file)
                if image.mode not in MODES:
                    raise Refusal(f"{file} is an image of mode {image.mode}, which has no grey or RGB; save it as RGB.")
                if image.has_transparency_data:
                    image = self._on_background(image.convert("RGBA"), file)
                return np.asarray(self._resized(image.convert("RGB" if self.colour else "L"))) / 255
        except Refusal:
            raise
        except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
            raise Refusal(f"{file} cannot be read as an image: {error}.") from error

    def _of_deep_grey(self, image: Image.Image, file: Path) -> np.ndarray:
        white = 1 if image.mode == "F" else 65535
        image = image.convert("F")
        values = np.asarray(image)
        if not ((values >= 0) & (values <= white)).all():
            raise Refusal(
                f"{file} has grey values from {values.min():.6g} to {values.max():.6g}, but they must lie between 0 "
                f"and {white}."
            )
        grey = np.asarray(self._resized(image)) / white
        return np.repeat(grey[..., None], 3, axis=2) if self.colour else grey

    def _on_background(self, image: Image.Image, file: Path) -> Image.Image:
        if image.getchannel("A").getextrema() == (255, 255):
            return image
        if self.background is None:
            raise Refusal(
                f"{file} is transparent in places; data.background=0 puts it on black, data.background=1 on white."
            )
        shade = round(255 * self.background)
        return Image.alpha_composite(Image.new("RGBA", image.size, (shade, shade, shade, 255)), image)

    def _resized(self, image: Image.Image) -> Image.Image:
        # Bilinear, as it never leaves the range of the values; Pillow weighs all pixels that become one.
        if self.size is None:
            return image
        height, width = self.size
        return image.resize((width, height), Image.Resampling.BILINEAR)
