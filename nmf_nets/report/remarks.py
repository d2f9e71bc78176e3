"""What a run says in sentences, and what it should be warned of."""

from collections.abc import Iterator

from nmf_nets.pages.numbers import count, percent, six_digits
from nmf_nets.report.run import Run

STILL = 1e-4
"""A divergence that fell by more, relatively, over the last tenth of the steps has not converged."""

POOR = 0.01
"""Own codes that stand further above exact ones are worth a word."""


def findings(run: Run) -> Iterator[tuple[str, str]]:
    """What it is about, and what there is to say of it."""
    about = run.summary
    if not about:
        return
    best = min(about[name] for name in ("classical_value", "sklearn_value") if about.get(name) is not None)
    yield (
        "Training rows",
        f"The net's own codes end at {six_digits(about['divergence_value'])}, {about['gap']:+.3%} from the best "
        f"classical value, {six_digits(best)}, from the same start in as much time.",
    )
    held, exact = about.get("heldout_value"), about.get("heldout_exact_codes_value")
    if held is not None and exact:
        yield (
            "Held-out rows",
            f"Own codes of rows that it never saw: {six_digits(held)}, {held / exact - 1:+.3%} from exact codes on "
            "the same W.",
        )
    if about.get("accuracy") is not None:
        yield "Head", f"The {about['head']} names {about['accuracy']:.2%} of held-out rows right."
    if about.get("recovery") is not None:
        yield "Truth", f"The true components were found with a mean cosine of {about['recovery']:.4f}."


def warnings(run: Run) -> Iterator[str]:
    if not run.ended:
        yield "The run has not ended, or broke off; this is what it measured so far."
    dead = run.summary.get("dead_components") or next(reversed(run.values("dead_components")), None)
    if dead:
        of = run.config.get("n_components", "all")
        yield f"{count(int(dead), 'component')} of {of} explain nothing; try another init or seed, or fewer of them."
    if run.reseeded:
        yield f"{count(run.reseeded, 'component')} explained nothing on the way and started again."
    losses = zip(run.measured, run.values("training/divergence"), strict=True)
    found = [(line["step"], D) for line, D in losses if D is not None]
    before = [D for step, D in found if step <= 0.9 * found[-1][0]]
    if before and found[-1][1] > 0 and before[-1] / found[-1][1] - 1 > STILL:
        fallen = percent(before[-1] / found[-1][1] - 1)
        yield f"Not converged: D still fell by {fallen} over the last tenth of the steps or more; train longer."
    behind = [gap for gap in run.values("validation/code_gap") if gap is not None]
    if behind and behind[-1] > POOR:
        yield (
            f"Own codes of validation rows stand {percent(behind[-1])} above exact ones; encoder=refined adds "
            "half-steps, and exact codes on the same W can always be had."
        )
