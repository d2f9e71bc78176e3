"""The program that reports: `python -m nmf_nets.benchmark.report`, `nmf-benchmark-report`."""

import argparse
import sys
from pathlib import Path

from nmf_nets.benchmark.best_known import BestKnown
from nmf_nets.benchmark.report.report import Report
from nmf_nets.benchmark.results import ResultFolder, Results
from nmf_nets.program import REFUSED
from nmf_nets.refusal import Refusal


def main() -> None:
    """One report from any number of result folders."""
    parser = argparse.ArgumentParser(
        prog="nmf-benchmark-report",
        description="Makes one report from the result folders of nmf-benchmark: a page, tables and figures.",
    )
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--to", type=Path, help="where it goes; by default into the folder, if there is only one")
    parser.add_argument(
        "--best-known", type=Path, default=Path("outputs/benchmark/best_known.json"), help="default: %(default)s"
    )
    given = parser.parse_args()
    try:
        to = given.to or (given.folders[0] if len(given.folders) == 1 else None)
        if to is None:
            raise Refusal("several folders make one report: --to says where it goes.")
        results = Results.gathered([ResultFolder(folder) for folder in given.folders])
        report = Report(results.knowing(BestKnown(given.best_known)))
        report.save(to)
    except Refusal as refusal:
        print(f"refused: {refusal}", file=sys.stderr)  # noqa: T201
        sys.exit(REFUSED)
    report.show(to)


if __name__ == "__main__":
    main()
