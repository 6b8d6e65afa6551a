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
    from bayesgmm.inference import nuts
    from bayesgmm.inference.basis import InBasis
    from bayesgmm.inference.em import ExpectationMaximisation
    from bayesgmm.inference.log_posterior import LogPosterior
    from bayesgmm.inference.modes import mode_near
    from bayesgmm.inference.optimum import climb
    from bayesgmm.inference.parameters import unconstrained
    from bayesgmm.inference.starts import starting_mixtures
    from bayesgmm.model.build import mixture_facts

    lap("import the inference")
    from problems import clusters

    x = clusters(n_rows, n_features, n_components)
    lap("make the data")
    model = bg.build_model(x, n_components)
    lap("build the model")
    target = LogPosterior(model)
    _ = target.function
    lap("compiled log posterior (load or compile)")
    facts = mixture_facts(model)
    em = ExpectationMaximisation.of(facts)
    mixtures = list(starting_mixtures(em, 10, np.random.default_rng(0)))
    lap("10 starts: k-means++ or rows, and EM")
    begins = [unconstrained(target, facts, m) for m in mixtures]
    lap("starts as unconstrained numbers")
    scales = target.typical_scales(np.sqrt(em.spread))
    optima = [climb(target, q, scales) for q in begins]
    lap(f"10 climbs ({sum(o.iterations for o in optima)} iterations)")
    best = max(optima, key=lambda o: o.log_posterior)
    mode = mode_near(target, best.q, scales)
    density = InBasis(target, mode.q, mode.axes)
    lap(f"mode and axes of {mode.q.size} parameters")
    import nutpie  # noqa: F401

    lap("import nutpie")
    trace = nuts._run_nutpie(
        density, draws=1000, tune=nuts.DEFAULT_TUNE, chains=4, cores=2, seed=0, progressbar=False, sink=None
    )
    steps = int(trace["sample_stats"]["n_steps"].sum())
    lap(f"4 x 1,000 draws ({steps} gradients after tuning)")
    u = trace["posterior"]["u"].values.reshape(-1, mode.q.size)
    target.constrain(density.unconstrained(u))
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
        target(x0, 1.0)
    lap("100 gradients")


if __name__ == "__main__":
    shape = [int(n) for n in sys.argv[1:4]]
    main(*(shape or [1_000, 2, 3]))
