"""One log posterior with its gradient: against ``pm.Mixture``, the machine's floor, growing N, and two threads."""

import ctypes

import numpy as np
from measure import in_turn, keep, ratio, seconds, show
from problems import clusters, pymc_mixture

import bayesgmm as bg
from bayesgmm.data import cores
from bayesgmm.mixture import kernel
from bayesgmm.search.problem import Problem

SHAPES = [(1_000, 2, 3), (10_000, 2, 3), (10_000, 10, 5), (100_000, 5, 8)]


def target(x: np.ndarray, n_components: int):
    """Our log posterior, and a point to take it at."""
    model = bg.build_model(x, n_components, resolution=None, priors=bg.Priors(reference=None))
    q = bg.find_MAP(model, n_init=1, random_seed=0).q
    return Problem.of(model), q + 0.01 * np.random.default_rng(0).normal(size=q.size)


def as_c(problem: Problem, q: np.ndarray):
    """The same as the sampler calls it: by the C function's address."""
    density = problem.sampling_density
    arrays = (q, np.empty(q.size), np.empty(1), density.inputs)
    arguments = (q.size, *(a.ctypes.data for a in arrays))
    prototype = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, *(4 * [ctypes.c_void_p]))
    function = prototype(density.function.address)
    # The arrays as a default argument: the C function knows their addresses alone, and they must outlive its calls.
    return lambda arrays=arrays: function(*arguments)


def floor(n_rows: int, n_features: int, n_components: int) -> float:
    """Seconds of the pass's products at the machine's matrix product rate, and N (K + 1) exps at NumPy's."""
    a = np.random.default_rng(0).normal(size=(512, 512))
    rate = 2 * 512**3 / min(seconds(lambda: a @ a) for _ in range(5))
    t = -np.random.default_rng(0).exponential(3.0, size=4096)
    out = np.empty_like(t)
    exp = min(seconds(lambda: np.exp(t, out=out)) for _ in range(5)) / t.size
    d = n_features
    # Differences, whitening, squared norms; weighting, first moments, the lower half of the second moments.
    flops = n_rows * n_components * (d + d * (d + 1) + 2 * d + d + d + d * (d + 1))
    return flops / rate + n_rows * (n_components + 1) * exp


def against_pymc() -> None:
    rows = []
    for n_rows, d, k in SHAPES:
        x = clusters(n_rows, d, k)
        problem, q = target(x, k)
        theirs = pymc_mixture(x, k)
        compiled = theirs.logp_dlogp_function(ravel_inputs=True)
        compiled.set_extra_values({})
        point = theirs.initial_point()
        point["means"] = problem.mixture(q).means
        start = np.concatenate([np.ravel(point[v.name]) for v in theirs.value_vars])
        with cores.limited_to(1):
            times = in_turn(
                {
                    "pymc": lambda f=compiled, s=start: f(s),
                    "ours": lambda f=problem.sampling_density, s=q: f(s),
                    "c": as_c(problem, q),
                },
                repeats=9,
            )
        bound = floor(n_rows, d, k)
        rows.append(
            {
                "(N, D, K)": f"({n_rows}, {d}, {k})",
                "pm.Mixture, ms": f"{1e3 * np.median(times['pymc']):.3g}",
                "from Python, ms": f"{1e3 * np.median(times['ours']):.3g}",
                "from the sampler, ms": f"{1e3 * np.median(times['c']):.3g}",
                "pm.Mixture / from Python": show(ratio(times["pymc"], times["ours"])),
                "pm.Mixture / from the sampler": show(ratio(times["pymc"], times["c"])),
                "from the sampler / floor": show(
                    [np.median(times["c"]) / bound, min(times["c"]) / bound, max(times["c"]) / bound]
                ),
            }
        )
    keep("gradient", rows, "One thread each. Aim: 8 times faster than pm.Mixture, within 2 times the floor.")


def growth() -> None:
    rows, times = [], {}
    for n_rows in (1_000, 10_000, 100_000, 1_000_000, 10_000_000):
        x = clusters(n_rows, 2, 3)
        weights, means, covariances = np.full(3, 1 / 3), x[:3].copy(), np.tile(np.eye(2), (3, 1, 1))
        ones = np.ones(n_rows)
        with cores.limited_to(1):
            call = lambda: kernel.gradient(x, weights, means, covariances, False, ones)  # noqa: B023, E731
            call()
            times[n_rows] = min(seconds(call) for _ in range(5))
        rows.append(
            {"N": n_rows, "ms": f"{1e3 * times[n_rows]:.4g}", "ns a row": f"{1e9 * times[n_rows] / n_rows:.3g}"}
        )
    per_row = [times[n] / n for n in times if n >= 10_000]
    rows.append({"N": "above 1e4", "ms": "", "ns a row": f"largest over smallest {max(per_row) / min(per_row):.3g}"})
    keep("growth", rows, "D = 2, K = 3, one thread, least of 5. Aim: linear within 20 % above 1e4.")


def two_threads() -> None:
    x = clusters(1_000_000, 5, 8)
    weights, means, covariances = np.full(8, 1 / 8), x[:8].copy(), np.tile(np.eye(5), (8, 1, 1))
    ones = np.ones(len(x))

    def limited(n):
        def call():
            with cores.limited_to(n):
                kernel.gradient(x, weights, means, covariances, False, ones)

        return call

    half = len(x) // 2
    parts = [(x[:half].copy(), ones[:half].copy()), (x[half:].copy(), ones[half:].copy())]

    def apart():
        """Two plain threads on halves of their own: what this machine's two cores can do at all."""
        from threading import Thread

        with cores.limited_to(1):
            workers = [
                Thread(target=lambda p=p: kernel.gradient(p[0], weights, means, covariances, False, p[1]))
                for p in parts
            ]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()

    times = in_turn({"1": limited(1), "2": limited(2), "apart": apart}, repeats=15)
    keep(
        "threads",
        [
            {
                "(N, D, K)": "(1000000, 5, 8)",
                "1 thread, ms": f"{1e3 * np.median(times['1']):.3g}",
                "2 threads, ms": f"{1e3 * np.median(times['2']):.3g}",
                "1 thread / 2 threads": show(ratio(times["1"], times["2"])),
                "1 thread / two plain threads, half the rows each": show(ratio(times["1"], times["apart"])),
            }
        ],
        "Aim: 1.7.",
    )


if __name__ == "__main__":
    against_pymc()
    growth()
    two_threads()
