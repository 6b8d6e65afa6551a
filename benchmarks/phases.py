"""Where the time of one fit goes, phase by phase: ``python benchmarks/phases.py [N D K]``."""

import sys
import time

began = time.perf_counter()
last = [began]


def lap(what: str) -> None:
    now = time.perf_counter()
    print(f"{what:44s} {now - last[0]:7.3f} s   (at {now - began:7.3f} s)", flush=True)
    last[0] = now


def main(n_rows: int, n_features: int, n_components: int) -> None:
    import numpy as np

    lap("import numpy")
    import pymc  # noqa: F401

    lap("import pymc")
    import bayesgmm as bg
    from bayesgmm.graph.in_axes import InAxes
    from bayesgmm.sampling.nutpie import Group, run_chains
    from bayesgmm.sampling.nuts import DEFAULT_TUNE
    from bayesgmm.sampling.run import Settings
    from bayesgmm.search.climb import climb
    from bayesgmm.search.mode import Mode
    from bayesgmm.search.problem import Problem
    from bayesgmm.search.starts import StartingMixtures

    lap("import the search and the sampler")
    from problems import clusters

    x = clusters(n_rows, n_features, n_components)
    lap("make the data")
    model = bg.build_model(x, n_components)
    lap("build the model")
    problem = Problem.of(model)
    density = problem.parameter_density
    lap("compiled log posterior (load or compile)")
    starting = StartingMixtures.of(problem.specification, problem.table, np.random.default_rng(0))
    mixtures = [starting.make(i)[1] for i in range(10)]
    lap("10 starts, and EM")
    begins = [problem.unconstrained(m) for m in mixtures]
    lap("starts as unconstrained numbers")
    optima = [climb(density, q, problem.scales, roots=problem.roots, round_axes=problem.round_axes) for q in begins]
    lap(f"10 climbs ({sum(o.iterations for o in optima)} iterations)")
    best = max(optima, key=lambda o: o.log_posterior)
    mode = Mode.near(problem, best.q).with_axes
    in_axes = InAxes(problem.sampling_density, mode)
    lap(f"mode and axes of {mode.q.size} parameters")
    import nutpie  # noqa: F401

    lap("import nutpie")
    settings = Settings(draws=1000, tune=DEFAULT_TUNE, cores=2, progressbar=False)
    chains = run_chains([Group(0, in_axes, 4, seed=0)], settings)
    steps = int(sum(chain.statistics["n_steps"].sum() for chain in chains))
    lap(f"4 x 1,000 draws ({steps} gradients after tuning)")
    problem.constrain(mode.unconstrained(np.concatenate([chain.u for chain in chains])))
    lap("draws as named parameters")
    estimate = bg.find_MAP(model, n_init=1, random_seed=0)
    raw = bg.sample(model, draws=1000, start=estimate, cores=2, relabel=None, random_seed=0, progressbar=False)
    lap("(the same again by bg.sample, warm)")
    dt = bg.relabel(raw)
    lap("relabelling")
    bg.assignments(dt)
    lap("assignments")
    bg.diagnose(dt)
    lap("diagnosis")
    x0 = np.ascontiguousarray(mode.q)
    for _ in range(100):
        density(x0)
    lap("100 gradients")


if __name__ == "__main__":
    shape = [int(n) for n in sys.argv[1:4]]
    main(*(shape or [1_000, 2, 3]))
