"""Handwritten digits, as scikit-learn ships them."""

import numpy as np
from sklearn.datasets import load_digits

from nmf_nets.as_matrix import as_matrix
from nmf_nets.data.base import Dataset, MatrixDataModule


class Digits(MatrixDataModule):
    """1,797 images of 8 × 8 pixels with values from 0 to 16."""

    def load(self) -> Dataset:
        images, digits = map(np.asarray, load_digits(return_X_y=True))
        return Dataset(as_matrix(images, self.dtype), image_shape=(8, 8), labels=digits)
