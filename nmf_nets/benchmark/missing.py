"""What is found of what was hidden: `python -m nmf_nets.benchmark.missing ratings FILE`, or `… pixels FILE [ROWS]`."""

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.model_selection import KFold

from nmf_nets import NMF
from nmf_nets.contents import contents_of
from nmf_nets.extras import Missing, extra
from nmf_nets.pages.table import Table

HELD_OUT = 0.1
"""Of the ratings that are known, on which the settings of a method are chosen before all of them are used."""


class Ratings(NamedTuple):
    """Who gave what how much."""

    users: np.ndarray
    items: np.ndarray
    values: np.ndarray
    shape: tuple[int, int]

    def part(self, index: np.ndarray) -> "Ratings":
        return Ratings(self.users[index], self.items[index], self.values[index], self.shape)


Method = Callable[[Ratings, Ratings], np.ndarray]
"""What it makes of the second from the first, whose values alone it may look at."""


def read_ratings(path: Path) -> Ratings:
    """Lines of user, item and rating, with a header or without, as in ml-100k."""
    table = pd.read_csv(path, sep="\t", header=None).iloc[:, :3]
    if not str(table.iat[0, 2]).replace(".", "").isdigit():
        table = table.iloc[1:]
    users, items = (pd.factorize(table[column])[0] for column in (0, 1))
    return Ratings(users, items, table[2].to_numpy(dtype=float), (users.max() + 1, items.max() + 1))


def mean(known: Ratings, asked: Ratings) -> np.ndarray:
    return np.full(len(asked.values), known.values.mean())


def biases(known: Ratings, asked: Ratings, of_items: float = 10, of_users: float = 15, passes: int = 10) -> np.ndarray:
    """μ + b_user + b_item, by ridge regressions in turn, as scikit-surprise's BaselineOnly."""
    mu = known.values.mean()
    b_user, b_item = np.zeros(known.shape[0]), np.zeros(known.shape[1])
    for _ in range(passes):
        left = known.values - mu - b_user[known.users]
        b_item = _sums(known.items, left, len(b_item)) / (of_items + _sums(known.items, 1.0, len(b_item)))
        left = known.values - mu - b_item[known.items]
        b_user = _sums(known.users, left, len(b_user)) / (of_users + _sums(known.users, 1.0, len(b_user)))
    return mu + b_user[asked.users] + b_item[asked.items]


def _sums(index: np.ndarray, values: Any, length: int) -> np.ndarray:
    return np.bincount(index, np.broadcast_to(values, index.shape), length)


def nmf(known: Ratings, asked: Ratings, n_components: int, strength: float) -> np.ndarray:
    """½ Σ over known ratings (x − x̂)² + ½ strength (‖W‖² + ‖H‖²)."""
    n, m = known.shape
    stored = scipy.sparse.csr_array((known.values, (known.users, known.items)), shape=known.shape)
    model = NMF(n_components, missing="unstored", alpha_W=strength / m, alpha_H=strength / n, random_state=0)
    codes = model.fit_transform(stored)
    return (codes[asked.users] * model.components_.T[asked.items]).sum(1)


def surprise(name: str, known: Ratings, asked: Ratings, **settings: Any) -> np.ndarray:
    """Of scikit-surprise: SVD (with biases) or NMF."""
    module = extra("surprise", "surprise")
    frame = pd.DataFrame({"user": known.users, "item": known.items, "rating": known.values})
    data = module.Dataset.load_from_df(frame, module.Reader(rating_scale=(known.values.min(), known.values.max())))
    model = getattr(module, name)(random_state=0, **settings).fit(data.build_full_trainset())
    return np.array([model.predict(u, i).est for u, i in zip(asked.users, asked.items, strict=True)])


def chosen(method: Callable[..., np.ndarray], grid: dict[str, list[Any]]) -> Method:
    """The method with the settings that are best on a part of what is known."""

    def predict(known: Ratings, asked: Ratings) -> np.ndarray:
        order = np.random.default_rng(0).permutation(len(known.values))
        cut = int(HELD_OUT * len(order))
        rest, held = known.part(order[cut:]), known.part(order[:cut])
        tried = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
        best = min(tried, key=lambda settings: rmse(method(rest, held, **settings), held, known))
        return method(known, asked, **best)

    return predict


def rmse(found: np.ndarray, asked: Ratings, known: Ratings) -> float:
    """Of what is found, within the range of what is known."""
    within = np.clip(found, known.values.min(), known.values.max())
    return float(np.sqrt(np.mean((within - asked.values) ** 2)))


def methods() -> Iterator[tuple[str, Method]]:
    yield "mean", mean
    yield "mean, user and item", biases
    yield "NMF", chosen(nmf, {"n_components": [2, 3, 5, 10], "strength": [1.0, 2.0, 4.0, 8.0]})
    rates = {"n_factors": [10, 20, 50, 100], "reg_all": [0.02, 0.05, 0.1, 0.15]}
    yield "scikit-surprise SVD", chosen(lambda known, asked, **given: surprise("SVD", known, asked, **given), rates)
    sizes = {"n_factors": [5, 10, 15, 20], "reg_pu": [0.06, 0.1, 0.15, 0.2]}
    yield "scikit-surprise NMF", chosen(lambda known, asked, **given: surprise("NMF", known, asked, **given), sizes)


def ratings(given: Ratings, folds: int = 5) -> Table:
    """Held-out root mean square error; every method with the same folds, settings chosen within each."""
    rows = []
    for name, method in methods():
        errors, began = [], time.perf_counter()
        try:
            for known, asked in KFold(folds, shuffle=True, random_state=0).split(given.values):
                training, held = given.part(known), given.part(asked)
                errors.append(rmse(method(training, held), held, training))
        except Missing as missing:
            print(f"{name} is left out: {missing}", file=sys.stderr)  # noqa: T201 - it is a program
            continue
        spent = (time.perf_counter() - began) / folds
        rows.append({"method": name, "RMSE": np.mean(errors), "sd of folds": np.std(errors), "s, a fold": spent})
    title = f"{len(given.values):,} ratings, {given.shape[0]:,} users × {given.shape[1]:,} items, {folds} folds"
    note = (
        f"Settings, the best of sixteen, are chosen on {HELD_OUT:.0%} of the ratings that are known; seconds with that."
    )
    formats = {"RMSE": "{:.4f}", "sd of folds": "{:.4f}", "s, a fold": "{:.1f}"}
    return Table("ratings", title, pd.DataFrame(rows), formats, note)


def pixels(X: np.ndarray, part: float = 0.3, sizes: tuple[int, ...] = (20, 40, 80), seed: int = 0) -> Table:
    """A part of the entries is hidden; the root mean square error of what is found of them, in units of the largest."""
    hidden = np.random.default_rng(seed).random(X.shape) < part
    known = np.where(hidden, np.nan, X)
    imputers: dict[str, Callable[[], np.ndarray]] = {
        "mean of the pixel": lambda: np.asarray(SimpleImputer(keep_empty_features=True).fit_transform(known)),
        **{
            f"k-NN, {k} neighbours": lambda k=k: KNNImputer(n_neighbors=k, keep_empty_features=True).fit_transform(
                known
            )
            for k in (5, 15)
        },
        **{f"NMF, {r} components": lambda r=r: _by_nmf(known, r) for r in sizes},
    }
    rows = []
    for name, impute in imputers.items():
        began = time.perf_counter()
        found = impute()
        spent = time.perf_counter() - began
        error = float(np.sqrt(np.mean((found - X)[hidden] ** 2))) / float(X.max())
        rows.append({"imputation": name, "RMSE": error, "seconds": spent})
    title = f"{len(X):,} images of {X.shape[1]} pixels, {part:.0%} hidden"
    return Table("pixels", title, pd.DataFrame(rows), {"RMSE": "{:.4f}", "seconds": "{:.1f}"})


def _by_nmf(known: np.ndarray, n_components: int) -> np.ndarray:
    model = NMF(n_components, missing=np.nan, random_state=0)
    return model.inverse_transform(model.fit_transform(known))


def main() -> None:
    what, path, *rows = sys.argv[1:]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if what == "ratings":
            table = ratings(read_ratings(Path(path)))
        else:
            X = np.asarray(contents_of(Path(path)).X, dtype=np.float64)
            chosen_rows = np.random.default_rng(0).choice(len(X), int(*rows or [2000]), replace=False)
            table = pixels(X[chosen_rows])
    print(table.markdown())  # noqa: T201 - it is a program


if __name__ == "__main__":
    main()
