"""How much a head gets right."""

from pytorch_lightning import Trainer

from nmf_nets.callbacks.base import Monitor
from nmf_nets.data.base import MatrixDataModule
from nmf_nets.modules.autoencoder import NonNegativeAutoencoder


class HeadMonitor(Monitor):
    """Logs training/… and validation/accuracy, by the net's own codes; nothing without a head."""

    def __init__(self, growth: float = 1.25):
        super().__init__(growth)

    def look(self, trainer: Trainer, net: NonNegativeAutoencoder, data: MatrixDataModule) -> dict[str, float]:
        head, labels = net.head, data.training_labels
        if head is None or labels is None:
            return {}
        own = net.own_factors(data.training.to(net.device))
        measured = {"training/accuracy": head.accuracy(own, labels.to(net.device))}
        labels = data.validation_labels
        if data.validation is not None and labels is not None and net.encoder.codes_unseen_rows:
            own = net.factorize(data.validation.to(net.device))
            measured["validation/accuracy"] = head.accuracy(own, labels.to(net.device))
        return measured
