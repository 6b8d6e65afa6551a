"""Timing contenders in turn, so that a noisy machine is as unfair to one as to another, and keeping what came out."""

import csv
import json
import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"
HISTORY = Path(__file__).parent / "history.csv"
PACKAGES = ("bayesgmm", "pymc", "pytensor", "nutpie", "numba", "numpy", "scipy", "scikit-learn", "numpyro", "jax")


def seconds(call: Callable[[], Any], at_least: float = 0.05) -> float:
    """Seconds a call, over as many calls as take ``at_least`` seconds together."""
    n = 1
    while True:
        began = time.perf_counter()
        for _ in range(n):
            call()
        took = time.perf_counter() - began
        if took >= at_least:
            return took / n
        n = max(2 * n, int(n * at_least / max(took, 1e-9)))


def in_turn(contenders: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds of every contender, ``repeats`` times, one after the other in every round; a first round is not kept."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for call in contenders.values():
        call()
    for _ in range(repeats):
        for name, call in contenders.items():
            times[name].append(seconds(call))
    return times


def ratio(slow: list[float], fast: list[float]) -> list[float]:
    """Median of the rounds' ratios, with their least and greatest."""
    ratios = np.array(slow) / np.array(fast)
    return [float(np.median(ratios)), float(ratios.min()), float(ratios.max())]


def show(ratio: list[float]) -> str:
    """A ratio with its spread, in words."""
    return f"{ratio[0]:.3g} ({ratio[1]:.3g} to {ratio[2]:.3g})"


def machine() -> dict[str, Any]:
    """What this was run on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = lines[0] if lines else cpu
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": versions,
    }


def keep(name: str, rows: list[dict[str, Any]], notes: str = "") -> None:
    """Print a benchmark's rows, and keep them for the page in the docs."""
    for row in rows:
        print("   ".join(f"{key}: {value}" for key, value in row.items()), flush=True)
    RESULTS.mkdir(exist_ok=True)
    record = {"machine": machine(), "date": time.strftime("%Y-%m-%d"), "notes": notes, "rows": rows}
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    remember(name, record)


def remember(name: str, record: dict[str, Any]) -> None:
    """Add a benchmark's figures to the history, a line each: what a case came to, when, with which version, on what."""
    new = not HISTORY.exists()
    machine, version = record["machine"], record["machine"]["versions"]["bayesgmm"]
    about = [record["date"], version, machine["python"], machine["cpu"], machine["cores"], name]
    with HISTORY.open("a", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        if new:
            lines.writerow(["date", "version", "python", "cpu", "cores", "benchmark", "case", "figure", "value"])
        for row in record["rows"]:
            (_, case), *figures = row.items()
            for figure, value in figures:
                if value != "":
                    lines.writerow([*about, case, figure, value])
