"""Effective draws a second: this package, ``pm.Mixture`` with nutpie, NumPyro, and Stan where CmdStan is installed.

The same data, priors and start; 4 chains of 1,000 draws on 2 cores, each with its own default of tuning (nutpie's, and
1,000 for NumPyro and Stan). A contender's score is the smallest bulk effective sample size among weights, means and
covariances, over the seconds of tuning and sampling. Compiling is left out, for all of them. Components are put in the
order of their first feature's mean in every draw.
"""

import multiprocessing
import os
import sys
import time
import warnings
from typing import Any

import numpy as np
from measure import keep, ratio, show
from problems import clusters, prior_numbers, pymc_mixture

CHAINS, DRAWS, CORES = 4, 1_000, 2
# Seconds after which a contender's round is stopped.
LIMIT = 1_800
STAN = """
data { int N; int D; int K; array[N] vector[D] x; vector[D] midrange; vector[D] extent; vector[D] beta; real eta; }
parameters {
  simplex[K] weights; array[K] vector[D] means; array[K] vector<lower=0>[D] variances;
  array[K] cholesky_factor_corr[D] factor;
}
transformed parameters {
  array[K] matrix[D, D] chol;
  for (k in 1:K) chol[k] = diag_pre_multiply(sqrt(variances[k]), factor[k]);
}
model {
  for (k in 1:K) {
    means[k] ~ normal(midrange, extent);
    variances[k] ~ inv_gamma(1.5, beta);
    factor[k] ~ lkj_corr_cholesky(eta);
  }
  for (n in 1:N) {
    vector[K] lp = log(weights);
    for (k in 1:K) lp[k] += multi_normal_cholesky_lpdf(x[n] | means[k], chol[k]);
    target += log_sum_exp(lp);
  }
}
"""

Draws = dict[str, np.ndarray]  # weights (chain, draw, K), means (..., K, D), covariances (..., K, D, D)


def smallest_ess(draws: Draws) -> float:
    """Of weights, means and covariances, the components in the order of their first feature's mean."""
    from arviz_stats.base import array_stats

    order = np.argsort(draws["means"][..., 0], axis=-1)
    least = np.inf
    for values in draws.values():
        index = order.reshape(*order.shape, *(1,) * (values.ndim - 3))
        values = np.take_along_axis(values, index, axis=2)
        flat = values.reshape(*values.shape[:2], -1)
        varies = flat.std(axis=(0, 1)) > 0
        ess = array_stats.ess(flat[..., varies], chain_axis=0, draw_axis=1, method="bulk")
        least = min(least, float(np.min(ess)))
    return least


class Ours:
    name = "bayesgmm"

    def __init__(self, x: np.ndarray, k: int):
        import bayesgmm as bg
        from bayesgmm.sampling.nuts import DEFAULT_TUNE, run_nuts
        from bayesgmm.sampling.run import Settings

        self.model = bg.build_model(x, k, resolution=None, priors=bg.Priors(reference=None))
        self.start = bg.find_MAP(self.model, random_seed=1)
        self.settings = lambda draws: Settings(draws=draws, tune=DEFAULT_TUNE, cores=CORES, progressbar=False)
        self.sample = run_nuts
        self.run(0, draws=10)

    def run(self, seed: int, draws: int = DRAWS) -> tuple[Draws, float]:
        began = time.perf_counter()
        run = self.sample(self.model, CHAINS, self.settings(draws), start=self.start, random_seed=seed)
        dt = run.fit().tree
        took = time.perf_counter() - began
        return {name: dt["posterior"][name].values for name in ("weights", "means", "covariances")}, took


class PyMC:
    name = "pm.Mixture + nutpie"

    def __init__(self, x: np.ndarray, k: int, start: dict[str, Any]):
        import nutpie

        self.nutpie = nutpie
        points = {name: start[name] for name in ("weights", "means", "variances", "correlation_cholesky")}
        self.compiled = nutpie.compile_pymc_model(pymc_mixture(x, k), initial_points=points, jitter_rvs=set())

    def run(self, seed: int) -> tuple[Draws, float]:
        began = time.perf_counter()
        dt = self.nutpie.sample(self.compiled, draws=DRAWS, chains=CHAINS, cores=CORES, seed=seed, progress_bar=False)
        took = time.perf_counter() - began
        return {name: dt["posterior"][name].values for name in ("weights", "means", "covariances")}, took


class NumPyro:
    name = "NumPyro"

    def __init__(self, x: np.ndarray, k: int, start: dict[str, Any]):
        import jax
        import jax.numpy as jnp
        import numpyro
        import numpyro.distributions as dist
        from numpyro.infer import MCMC, NUTS, init_to_value

        numbers = prior_numbers(x, k)
        d = x.shape[1]
        self.jax, self.compiling = jax, [0.0]
        jax.monitoring.register_event_duration_secs_listener(self._listen)

        def model(x):
            weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(k)))
            means = numpyro.sample(
                "means", dist.Normal(numbers["midrange"], numbers["range"]).expand([k, d]).to_event(2)
            )
            variances = numpyro.sample("variances", dist.InverseGamma(1.5, numbers["beta"]).expand([k, d]).to_event(2))
            factor = numpyro.sample("factor", dist.LKJCholesky(d, numbers["eta"]).expand([k]).to_event(1))
            cholesky = jnp.sqrt(variances)[..., None] * factor
            mixture = dist.MixtureSameFamily(
                dist.Categorical(weights), dist.MultivariateNormal(means, scale_tril=cholesky)
            )
            numpyro.sample("x", mixture, obs=x)

        values = {name: jnp.asarray(start[name]) for name in ("weights", "means", "variances")}
        values["factor"] = jnp.asarray(start["correlation_cholesky"])
        kernel = NUTS(model, init_strategy=init_to_value(values=values))
        self.x = jnp.asarray(x)
        self.make = lambda: MCMC(
            kernel, num_warmup=1_000, num_samples=DRAWS, num_chains=CHAINS, chain_method="parallel", progress_bar=False
        )

    def _listen(self, event: str, duration: float, **_: Any) -> None:
        if event in (
            "/jax/core/compile/jaxpr_trace_duration",
            "/jax/core/compile/jaxpr_to_mlir_module_duration",
            "/jax/core/compile/backend_compile_duration",
        ):
            self.compiling[0] += duration

    def run(self, seed: int) -> tuple[Draws, float]:
        mcmc = self.make()
        self.compiling[0] = 0.0
        began = time.perf_counter()
        mcmc.run(self.jax.random.PRNGKey(seed), self.x)
        draws = {name: np.asarray(v) for name, v in mcmc.get_samples(group_by_chain=True).items()}
        took = time.perf_counter() - began - self.compiling[0]
        cholesky = np.sqrt(draws["variances"])[..., None] * draws["factor"]
        covariances = cholesky @ np.swapaxes(cholesky, -1, -2)
        return {"weights": draws["weights"], "means": draws["means"], "covariances": covariances}, took


class Stan:
    name = "Stan"

    def __init__(self, x: np.ndarray, k: int, start: dict[str, Any]):
        import tempfile
        from pathlib import Path

        import cmdstanpy

        source = Path(tempfile.mkdtemp()) / "mixture.stan"
        source.write_text(STAN)
        self.model = cmdstanpy.CmdStanModel(stan_file=source)
        numbers = prior_numbers(x, k)
        self.data = {
            "N": len(x), "D": x.shape[1], "K": k, "x": x, "midrange": numbers["midrange"], "extent": numbers["range"],
            "beta": numbers["beta"], "eta": numbers["eta"],
        }  # fmt: skip
        self.start = {name: start[name] for name in ("weights", "means", "variances")}
        self.start["factor"] = start["correlation_cholesky"]

    def run(self, seed: int) -> tuple[Draws, float]:
        began = time.perf_counter()
        fit = self.model.sample(
            self.data, chains=CHAINS, parallel_chains=CORES, iter_warmup=1_000, iter_sampling=DRAWS, seed=seed + 1,
            inits=self.start, show_progress=False,
        )  # fmt: skip
        took = time.perf_counter() - began
        shape = (CHAINS, DRAWS)
        weights, means, chol = (fit.stan_variable(name) for name in ("weights", "means", "chol"))
        covariances = chol @ np.swapaxes(chol, -1, -2)
        return {
            "weights": weights.reshape(*shape, *weights.shape[1:]),
            "means": means.reshape(*shape, *means.shape[1:]),
            "covariances": covariances.reshape(*shape, *covariances.shape[1:]),
        }, took


def has_cmdstan() -> bool:
    try:
        import cmdstanpy

        cmdstanpy.cmdstan_path()
    except (ImportError, ValueError):
        return False
    return True


def serve(name: str, x: np.ndarray, k: int, point: dict[str, Any], pipe: Any) -> None:
    """A contender in a process of its own, which can be stopped: seeds come in, (ESS, seconds) go out."""
    warnings.simplefilter("ignore")
    made = Ours(x, k) if name == "bayesgmm" else {c.name: c for c in (PyMC, NumPyro, Stan)}[name](x, k, point)
    pipe.send("ready")
    while True:
        draws, took = made.run(pipe.recv())
        pipe.send((smallest_ess(draws), took))


def contest(n_rows: int, d: int, k: int, repeats: int) -> list[dict[str, str]]:
    import bayesgmm as bg

    x = clusters(n_rows, d, k)
    point = bg.find_MAP(bg.build_model(x, k, resolution=None, priors=bg.Priors(reference=None)), random_seed=1).point
    names = [c.name for c in (Ours, PyMC, NumPyro, *((Stan,) if has_cmdstan() else ()))]
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, {}
    for name in names:
        pipes[name], theirs = context.Pipe()
        processes[name] = context.Process(target=serve, args=(name, x, k, point, theirs), daemon=True)
        processes[name].start()
        pipes[name].recv()
    rates: dict[str, list[float]] = {name: [] for name in names}
    report: dict[str, list[str]] = {name: [] for name in names}
    for seed in range(repeats):
        for name in names:
            if not processes[name].is_alive():
                continue
            pipes[name].send(seed)
            if pipes[name].poll(LIMIT):
                ess, took = pipes[name].recv()
                rates[name].append(ess / took)
                report[name].append(f"{ess:.0f} in {took:.1f} s")
            else:
                processes[name].terminate()
                processes[name].join()
                report[name].append(f"stopped after {LIMIT / 60:.0f} minutes")
            print(f"({n_rows}, {d}, {k}) {name}: {report[name][-1]}", file=sys.stderr, flush=True)
    for process in processes.values():
        process.terminate()
    most = CHAINS * DRAWS / LIMIT  # of who was stopped: had every draw counted fully
    return [
        {
            "(N, D, K)": f"({n_rows}, {d}, {k})",
            "sampler": name,
            "smallest ESS": "; ".join(report[name]),
            "ESS a second": f"{np.median(rates[name]):.3g}" if rates[name] else f"under {most:.2g}",
            "bayesgmm / it": show(ratio(rates["bayesgmm"], rates[name]))
            if len(rates[name]) == repeats
            else f"over {np.median(rates['bayesgmm']) / most:.3g}",
        }
        for name in names
    ]


if __name__ == "__main__":
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={CHAINS}"
    os.environ["JAX_ENABLE_X64"] = "1"
    warnings.simplefilter("ignore")
    stan = "" if has_cmdstan() else " Stan was left out: CmdStan is not installed."
    for shape, repeats in (((1_000, 2, 3), 3), ((5_000, 5, 4), 1)):
        # "1000,2,3" as an argument runs that shape alone: a round of the larger one takes half an hour.
        if len(sys.argv) == 1 or ",".join(map(str, shape)) in sys.argv[1:]:
            rounds = "1 round" if repeats == 1 else f"{repeats} rounds"
            name = "_".join(map(str, ("sampling", *shape)))
            keep(name, contest(*shape, repeats=repeats), f"{rounds}. Aim: 50 times.{stan}")
