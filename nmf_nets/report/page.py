"""The page of a run: one HTML file that asks for nothing but a browser."""

import base64
import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from nmf_nets.pages.numbers import six_digits
from nmf_nets.pages.page import rendered
from nmf_nets.pages.table import Table
from nmf_nets.report.charts import charts
from nmf_nets.report.remarks import findings, warnings
from nmf_nets.report.run import PICTURE, REPORT, VERDICT, Run
from nmf_nets.verdict import HEADINGS, Verdict
from nmf_nets.whole_file import write

HERE = Path(__file__).parent

PARTS = (
    *("data", "divergence", "constraint", "init", "update", "encoder", "decoder", "head", "optimizer", "module"),
    *("penalties_H", "penalties_W", "penalties_HW", "callbacks", "trainer"),
)
"""Entries of the configuration that are parts, or name some."""


def save_report(path: Path, verdict: Verdict) -> Path:
    """Writes verdict.json and, of all that the directory then holds, report.html, whose path it returns."""
    lines = [asdict(line) for line in verdict.lines]
    saved = {"headings": HEADINGS, "lines": lines, "note": verdict.table().caption}
    write(path / VERDICT, json.dumps(saved, indent=2).encode())
    write(path / REPORT, page(Run.read(path)).encode())
    return path / REPORT


def page(run: Run) -> str:
    """HTML; of a run that has not ended, what there is."""
    command = [Path(run.environment.get("command", ["train.py"])[0]).name, *run.environment.get("command", [""])[1:]]
    picture = run.path / PICTURE
    return rendered(
        HERE / "page.html",
        "plot",
        run=run,
        drawn={},
        findings=list(findings(run)),
        warnings=list(warnings(run)),
        verdict=_verdict(run.verdict) if run.verdict else None,
        charts=list(charts(run)),
        picture=f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"
        if picture.exists()
        else None,
        parts=_parts(run),
        versions=_versions(run.environment),
        command=shlex.join(command),
        config=OmegaConf.to_yaml(OmegaConf.create(dict(run.config))),
    )


def _verdict(saved: Mapping[str, Any]) -> Table:
    forms = {"divergence": six_digits, "gap": "{:+.3%}", "error": "{:.4f}", "KKT": "{:.1e}", "seconds": "{:.2f}"}
    frame = pd.DataFrame([list(line.values()) for line in saved["lines"]], columns=saved["headings"])
    return Table("verdict", "Verdict", frame, forms, saved["note"])


def _parts(run: Run) -> Table:
    rows = []
    for name in PARTS:
        node = run.config.get(name)
        if not isinstance(node, dict) or not node:
            continue
        nodes = {name: node} if "_target_" in node else {f"{name}.{key}": value for key, value in node.items()}
        for place, part in nodes.items():
            if isinstance(part, dict):
                rows.append({"part": place, "choice": run.choice(place), "with": _arguments(run, place, part)})
    return Table("parts", "Parts", pd.DataFrame(rows, columns=pd.Index(["part", "choice", "with"])))


def _arguments(run: Run, place: str, node: Mapping[str, Any]) -> str:
    shown = {key: run.choice(f"{place}.{key}") for key in node if not key.startswith("_")}
    return ", ".join(f"{key}={value}" for key, value in shown.items() if value)


def _versions(environment: Mapping[str, Any]) -> Table:
    versions = {"python": environment.get("python"), **(environment.get("packages") or {})}
    there = [(package, version) for package, version in versions.items() if version is not None]
    return Table("versions", "Versions", pd.DataFrame(there, columns=pd.Index(["package", "version"])))
