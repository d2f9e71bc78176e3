"""What the net loses by its own codes."""

from pytorch_lightning import Trainer

from nmf_nets.callbacks.base import Monitor
from nmf_nets.callbacks.stopwatch import Stopwatch
from nmf_nets.criterion import Criterion
from nmf_nets.data.base import MatrixDataModule
from nmf_nets.encoders.exact import Exact
from nmf_nets.encoders.refined import REFINED
from nmf_nets.factorization import Factorization
from nmf_nets.matrix import Matrix
from nmf_nets.metrics.dead_components import dead_components
from nmf_nets.metrics.kkt_residual import kkt_residual
from nmf_nets.metrics.relative_error import relative_error
from nmf_nets.metrics.relative_gap import relative_gap
from nmf_nets.metrics.sparseness import hoyer_sparseness
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder
from nmf_nets.updates.base import Update


class GapMonitor(Monitor):
    """Measures D with the encoder's own codes, with these after REFINED half-steps, and with exact codes on the same W,
    on training and validation rows.

    Logs training/… and validation/divergence, refined_codes, exact_codes, relative_error and code_gap =
    divergence / exact_codes − 1, and kkt_residual, dead_components, sparseness (Hoyer, mean over components) and
    seconds of training. Penalties count as part of the divergence. Where rows are coupled there are no exact codes,
    and no residual where components have copies.
    """

    def __init__(self, update: Update, growth: float = 1.25):
        super().__init__(growth)
        self.update = update
        self.exact = Exact(None, update, tolerance=1e-5, most=300)

    def look(self, trainer: Trainer, net: NonNegativeAutoencoder, data: MatrixDataModule) -> dict[str, float]:
        X = data.training.to(net.device)
        own = net.own_factors(X)
        criterion = net.criterion
        measured = self._gap("training", X, own, net, criterion)
        if own.copies == 1:
            measured["kkt_residual"] = kkt_residual(X, own, criterion.divergence, criterion.on_H, criterion.on_W)
        measured["dead_components"] = dead_components(own)
        measured["sparseness"] = float(hoyer_sparseness(own.W).mean())
        if data.validation is not None and net.encoder.codes_unseen_rows:
            X = data.validation.to(net.device)
            measured |= self._gap("validation", X, net.factorize(X), net, criterion.unseen)
        for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
            if isinstance(callback, Stopwatch):
                measured["seconds"] = callback.seconds
        return measured

    def _gap(
        self, part: str, X: Matrix, own: Factorization, net: NonNegativeAutoencoder, criterion: Criterion
    ) -> dict[str, float]:
        value = float(criterion.total(X, own))
        measured = {f"{part}/divergence": value, f"{part}/relative_error": relative_error(X, own)}
        if net.decoder.couples_rows:
            return measured
        refined = Factorization(self.update.on(X, own.W, criterion.on_H).codes(own.H, REFINED), own.W)
        exact = Factorization(self.exact(X, own.W, terms=criterion.on_H), own.W)
        exact_value = float(criterion.total(X, exact))
        return measured | {
            f"{part}/refined_codes": float(criterion.total(X, refined)),
            f"{part}/exact_codes": exact_value,
            f"{part}/code_gap": relative_gap(value, exact_value, criterion.divergence.rounding(X)),
        }
