"""Write the results page of the docs from what the benchmarks kept."""

import json
from typing import Any

from measure import RESULTS

PAGE = RESULTS.parents[1] / "docs" / "benchmarks.md"
SECTIONS = {
    "gradient": "One log posterior and its gradient",
    "growth": "Growth with the number of rows",
    "threads": "Two threads",
    "em": "Expectation-maximisation",
    "sampling_1000_2_3": "Effective draws a second, 1,000 rows",
    "sampling_5000_5_4": "Effective draws a second, 5,000 rows",
    "process_nuts": "Whole processes: the full posterior, from start to saved file",
    "process_map": "Whole processes: the mode",
    "memory": "Memory",
    "assignments": "Soft assignments with intervals",
}
INTRODUCTION = """# Benchmarks

Everything here is written by `make bench` on the machine named below: contenders take turns in one run, and a ratio
stands with the least and the greatest of its rounds, as machines are noisy. Ratios above 1 mean that this package is
faster. The scripts are in `benchmarks/`; `make profile` shows where the time of a fit goes.

The models are the same for all: Dirichlet weights, normal means, inverse-gamma variances, LKJ correlations, with the
numbers of this package's `Priors(reference=None)`. (N, D, K) are rows, features, components.
"""


def table(rows: list[dict[str, Any]]) -> str:
    header = list(rows[0])
    lines = [header, ["---"] * len(header), *([str(row[name]) for name in header] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parts = [INTRODUCTION]
    machine: dict[str, Any] = {}
    for name, title in SECTIONS.items():
        path = RESULTS / f"{name}.json"
        if not path.exists():
            continue
        record = json.loads(path.read_text())
        machine = record["machine"]
        parts.append(f"## {title}\n\n{table(record['rows'])}\n\n{record['notes']} Measured {record['date']}.\n")
    versions = ", ".join(f"{package} {v}" for package, v in machine["versions"].items())
    parts.append(
        f"## Machine\n\n{machine['cores']} cores ({machine['cpu']}), {machine['system']}, Python {machine['python']}; "
        f"{versions}.\n"
    )
    PAGE.write_text("\n".join(parts))
    print(f"Wrote {PAGE}")


if __name__ == "__main__":
    main()
