"""Batches in, components out: the classical solvers of rows that come once."""

from copy import deepcopy
from typing import Any

from nmf_nets.as_matrix import as_matrix
from nmf_nets.criterion import PLAIN, Criterion, Terms
from nmf_nets.divergences.base import Divergence
from nmf_nets.factorization import Factorization, refuse_equal_components
from nmf_nets.fit import divergence_of
from nmf_nets.inits.base import Init, generator_of, refuse_n_components
from nmf_nets.matrix import Matrix
from nmf_nets.objective import Objective
from nmf_nets.refusal import Refusal
from nmf_nets.running_sums.base import RunningSums
from nmf_nets.running_sums.of_update import sums_of
from nmf_nets.shapes import Codes, Components
from nmf_nets.solvers import named
from nmf_nets.starts import start_of
from nmf_nets.updates.base import Update
from nmf_nets.updates.multiplicative import Multiplicative


class Stream:
    """X ≈ H W for rows that come in batches and may never come again: for each batch

        H = update(X, None, W), codes made from W alone        W = what the running sums of all batches say

    What it holds does not grow with the number of rows. With HALS this is the online dictionary learning of Mairal et
    al. (2010) without their unit ball, with ScalarNewton a sum of Newton's models, with Multiplicative, for any β and
    for data with weights, the algorithm of Lefèvre, Bach & Févotte (2011). The online step of a net with cold unrolled
    codes takes the same steps.

    update, update_W: for H and for W; None for the divergence's own, multiplicative where the first batch has weights
    or W penalties other than l1 and l2.
    memory: what earlier batches still weigh at each batch: 1 forgets nothing, 1 − n / N remembers about N rows in
    batches of n. Where the source of the rows changes, W follows within so many; where it does not, less is remembered
    than could be.
    aging: at batch t earlier ones weigh (1 − 1/t)^aging at most, as the codes of the first were made when W was worse;
    Mairal et al. take 1.5. About the last t / aging batches count then: rows that come in an order, by class say, are
    to be shuffled, or aging to be small.
    repeats: steps on W a batch.
    steps, progress: half-steps for codes at most, until one moves a row by less than `progress` of the first.
    init, seed: W of the first batch as a whole; W: instead of that.
    on_H: penalties on the codes; on_W: on W, beside the D of a single row.
    """

    def __init__(
        self,
        n_components: int,
        divergence: str | float | Divergence = "frobenius",
        *,
        memory: float = 1.0,
        aging: float = 10.0,
        repeats: int = 2,
        steps: int = 100,
        progress: float = 1e-3,
        update: Update | None = None,
        update_W: Update | None = None,
        init: str | Init = "auto",
        W: Any = None,
        on_H: Terms = PLAIN,
        on_W: Terms = PLAIN,
        seed: int = 0,
    ):
        refuse_n_components(n_components)
        self.n_components, self.divergence = n_components, divergence_of(divergence)
        self.update, self.update_W, self.on_H, self.on_W = update, update_W, on_H, on_W
        self.repeats, self.memory, self.aging = repeats, memory, aging
        self.steps, self.progress, self.init, self.seed = steps, progress, init, seed
        self.known: dict[str, Any] = {}
        self.W: Components | None = None if W is None else as_matrix(W, name="W").dense().clone()
        if self.W is not None:
            if len(self.W) != n_components:
                raise Refusal(f"W has {len(self.W)} rows, but n_components is {n_components}; give one for each.")
            refuse_equal_components(Factorization(self.W[:1].new_ones(1, n_components), self.W))
        multiplicative = Multiplicative(self.divergence)
        self._sums(update or multiplicative, update_W or update or multiplicative)  # to refuse before the first batch

    def partial_fit(self, X: Any, H: Codes | None = None, weights: Any = None) -> Factorization:
        """The codes of the batch, made on W as it was, and W after it.

        H: codes to start from instead of cold ones.
        Raises Refusal for what `as_matrix` refuses, for another number of features than before, and where numbers
        overflow.
        """
        X = self._batch(X, weights)
        update, sums = self._parts(X)
        W = self._first(X) if self.W is None else self.W
        if H is not None:
            H = as_matrix(H, W.dtype, name="H").dense()
            if H.shape != (X.shape[0], len(W)):
                raise Refusal(f"H must have the shape {(X.shape[0], len(W))}, but has {tuple(H.shape)}.")
        sums.refuse_data(X)
        H = update.on(X, W, self.on_H).codes(H, self.steps, self.progress)
        criterion = Criterion(self.divergence, on_W=self.on_W.shared(X.shape[0]))
        fitted = sums.fitted(Objective(X, Factorization(H, W), criterion), self.known).contiguous()
        if not bool(H.isfinite().all() & fitted.isfinite().all()):
            if self.W is None:  # the first batch, which may be of other features than the next one
                self.known = {}
            raise Refusal(
                f"this batch, with a mean of {float(X.mean):.3g}, is too far from those before for {W.dtype}: W would "
                "not be finite. Components are left as they were, but sums are spoiled; go on from an older state_dict."
            )
        self.W = fitted
        return Factorization(H, self.W)

    def codes(self, X: Any, weights: Any = None) -> Codes:
        """Of any rows, on W as it is; nothing is learned.

        Raises Refusal before the first batch, unless W was given.
        """
        if self.W is None:
            raise Refusal("there are no components yet; call partial_fit first, or give W.")
        X = self._batch(X, weights)
        return self._parts(X)[0](X, None, self.W, self.steps, self.progress, self.on_H)

    def state_dict(self) -> dict[str, Any]:
        """W and the sums, for torch.save; with them a stream of the same settings goes on to the bit."""
        return deepcopy({"W": self.W, "known": self.known})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        state = deepcopy(state)
        self.W, self.known = state["W"], state["known"]

    def _parts(self, X: Matrix) -> tuple[Update, RunningSums]:
        """The update of the codes and the sums; where no update was given, they are chosen for good by the first X."""
        if self.update is None:
            multiplicative = X.weights is not None or self.on_W.beyond_entries
            self.update = (
                Multiplicative(self.divergence)
                if multiplicative
                else named("auto", X, self.divergence, self.on_H).update
            )
        return self.update, self._sums(self.update, self.update_W or self.update)

    def _sums(self, update: Update, update_W: Update) -> RunningSums:
        update.refuse(self.divergence, self.on_H)
        update_W.refuse(self.divergence, self.on_W)
        sums = sums_of(update_W, self.repeats, self.memory, self.aging)
        sums.refuse_terms(self.on_W)
        return sums

    def _batch(self, X: Any, weights: Any) -> Matrix:
        W = self.W
        X = as_matrix(X, None if W is None else W.dtype, weights)
        if W is not None and X.shape[1] != W.shape[1]:
            raise Refusal(
                f"the batch has {X.shape[1]} features, but the stream began with {W.shape[1]}; bring the features of "
                "all batches into one order and number."
            )
        self.divergence.refuse(X)
        return X

    def _first(self, X: Matrix) -> Components:
        if not float(X.mean) > 0:
            raise Refusal("the first batch is zero everywhere, which says nothing of W; begin with another, or give W.")
        signed = self.update_W is not None and self.update_W.signed
        return start_of(self.init, X, self.n_components, generator_of(self.seed), signed).W
