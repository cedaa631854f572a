"""The picture: wall time against hosts, and against operations.

Runs in the bench's own environment, which has matplotlib: `python -m tests.bench.draw RESULTS PICTURE…`.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

_STYLES = {
    "stackctl": ("#0b6e4f", "o"),
    "stackctl with pyinfra's operations": ("#6fb98f", "s"),
    "pyinfra": ("#2b59c3", "D"),
    "Ansible": ("#c0392b", "^"),
    "Ansible with Mitogen": ("#e08e45", "v"),
}
"""Colour and marker by contender, the same whoever else takes part."""


def draw(results: dict[str, Any], pictures: Sequence[Path]) -> None:
    """Write the same picture to each file, in the format that its ending names."""
    mpl.rcParams.update({"font.size": 10, "svg.hashsalt": "bench", "axes.axisbelow": True})
    figure, (by_hosts, by_operations) = plt.subplots(
        1, 2, figsize=(11, 4.8), sharey=True, layout="constrained"
    )
    plans = [each for each in results["plans"] if each["walls"]]
    usual = max(
        {each["operations"] for each in plans}, key=lambda n: sum(each["operations"] == n for each in plans)
    )
    _lines(by_hosts, [each for each in plans if each["operations"] == usual], "hosts")
    _lines(by_operations, [each for each in plans if each["hosts"] == 1], "operations")
    by_hosts.set_title(f"{usual} operations a host", fontsize=10)
    by_operations.set_title("1 host", fontsize=10)
    by_hosts.set_ylabel("wall time in s, best run")
    handles, labels = by_hosts.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    away = results["round_trip"] * 1000
    figure.suptitle(f"What would change? Nothing. How long it takes to say so over SSH, {away:.0f} ms away")
    for picture in pictures:
        figure.savefig(picture, dpi=130, metadata={"Date": None} if picture.suffix == ".svg" else None)


def _lines(axes: Any, plans: Sequence[dict[str, Any]], by: str) -> None:
    for name in dict.fromkeys(each["contender"] for each in plans):
        colour, marker = _STYLES[name]
        points = sorted((each[by], min(each["walls"])) for each in plans if each["contender"] == name)
        width = 2.5 if name == "stackctl" else 1.5
        axes.plot(*zip(*points, strict=True), label=name, color=colour, marker=marker, linewidth=width)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(sorted({each[by] for each in plans}))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(f"{by}, logarithmic")
    axes.grid(visible=True, which="both", alpha=0.25)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), [Path(word) for word in sys.argv[2:]])
