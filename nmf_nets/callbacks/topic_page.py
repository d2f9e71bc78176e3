"""What was learned of documents, to read."""

from pathlib import Path

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Callback

from nmf_nets.callbacks.base import parts_of
from nmf_nets.loggers.base import trackers
from nmf_nets.plots.topics import draw_topic_map
from nmf_nets.refusal import Refusal
from nmf_nets.topics.page import save_page
from nmf_nets.topics.topics import Topics


class TopicPage(Callback):
    """After training, the topics of the training documents in `path`: topics.html, a page to explore, topic_table.csv,
    topics.json, and topic_map.png.

    Raises Refusal for data whose features have no names, or that have negative entries, and for motifs.
    """

    def __init__(self, path: str):
        self.path = Path(path)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        net, data = parts_of(trainer, pl_module)
        dataset = data.dataset
        if dataset.feature_names is None:
            raise Refusal(
                "callback=topic_page tells topics by their words, but these features have no names; use data=text, or "
                "a file that holds `feature_names` or `vocabulary`."
            )
        if dataset.X.signed or net.decoder.copies != 1:
            raise Refusal("callback=topic_page is for X, H, W ≥ 0 with one row of W a topic; leave it out.")

    @torch.no_grad()
    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        net, data = parts_of(trainer, pl_module)
        dataset, rows = data.dataset, data.training_rows
        assert dataset.feature_names is not None
        topics = Topics(
            dataset.X.rows(rows),
            net.own_factors(data.training.to(net.device)).to("cpu"),
            dataset.feature_names,
            _of(rows, dataset.sample_names) or [str(i) for i in rows.tolist()],
            _of(rows, dataset.texts),
            None if dataset.labels is None else dataset.labels[rows.numpy()],
        )
        save_page(topics, self.path / "topics.html")
        topics.save(self.path / "topic_table.csv")
        topics.save(self.path / "topics.json")
        picture = self.path / "topic_map.png"
        draw_topic_map(topics.positions, topics.sizes, topics.top_words(3)).savefig(picture, dpi=110)
        for tracker in trackers(trainer.loggers):
            tracker.show_picture("topic map", picture, trainer.global_step)


def _of(rows: torch.Tensor, values: tuple[str, ...] | None) -> list[str] | None:
    return None if values is None else [values[i] for i in rows.tolist()]
