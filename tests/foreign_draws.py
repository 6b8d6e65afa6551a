"""Mixtures of Old Faithful that others wrote, and how their draws in tests/foreign were made.

Run as ``python tests/foreign_draws.py``; a slow test (test_adopt.py) draws anew and compares. The files of Stan are in
CmdStan's format, from PyMC's NUTS under the same density, as Stan is not needed to read them.
"""

from pathlib import Path

import numpy as np
import pymc as pm
import pytensor.tensor as pt

import bayesgmm as bg

FOLDER = Path(__file__).parent / "foreign"
CHAINS, DRAWS, THIN = 4, 250, 4
# The priors of all three; covariances are full (PyMC), diagonal (NumPyro) and tied (Stan).
CENTRE, SPREAD, LOG_SCALE, ETA = [3.5, 70.0], [2.0, 20.0], np.log([0.5, 8.0]), 3.0
# Under the names of NumPyro and of nutpie, which draws for PyMC.
STATISTICS = ["lp", "logp", "diverging", "energy", "depth", "maxdepth_reached"]


def priors(correlated=True):
    """The same priors here."""
    return bg.Priors(
        reference=None, means=pm.Normal.dist(CENTRE, SPREAD), scales=pm.LogNormal.dist(LOG_SCALE, 1.0),
        lkj_eta=ETA if correlated else None,
    )  # fmt: skip


def _factor(name):
    return pm.LKJCholeskyCov(name, n=2, eta=ETA, sd_dist=pm.LogNormal.dist(LOG_SCALE, 1.0, shape=2))[0]


def in_pymc(x):
    """Weights w, means mu, and a Cholesky factor and a covariance of each component."""
    with pm.Model(coords={"cluster": ["short", "long"]}) as model:
        w = pm.Dirichlet("w", np.ones(2), dims="cluster")
        mu = pm.Normal("mu", CENTRE, SPREAD, shape=(2, 2))
        factors = [_factor(f"chol_{k}") for k in range(2)]
        pm.Deterministic("cov", pt.stack([factor @ factor.T for factor in factors]))
        pm.Mixture("x", w=w, comp_dists=[pm.MvNormal.dist(mu[k], chol=factors[k]) for k in range(2)], observed=x)
    return model


def for_stan(x):
    """theta, mu and a common Sigma: the density of the Stan program in docs/adopt.md."""
    with pm.Model() as model:
        theta = pm.Dirichlet("theta", np.ones(2))
        mu = pm.Normal("mu", CENTRE, SPREAD, shape=(2, 2))
        factor = _factor("L")
        pm.Deterministic("Sigma", factor @ factor.T)
        pm.Mixture("x", w=theta, comp_dists=[pm.MvNormal.dist(mu[k], chol=factor) for k in range(2)], observed=x)
    return model


def in_numpyro(x):
    """Weights w, means mu and standard deviations sigma."""
    import numpyro
    from numpyro import distributions as dist

    w = numpyro.sample("w", dist.Dirichlet(np.ones(2)))
    with numpyro.plate("components", 2):
        mu = numpyro.sample("mu", dist.Normal(np.array(CENTRE), np.array(SPREAD)).to_event(1))
        sigma = numpyro.sample("sigma", dist.LogNormal(LOG_SCALE, 1.0).to_event(1))
    rows = dist.MixtureSameFamily(dist.Categorical(w), dist.Normal(mu, sigma).to_event(1))
    numpyro.sample("x", rows, obs=np.asarray(x))


def by_pymc(model, random_seed, nuts_sampler=None):
    """Draws, every fourth kept."""
    with model:
        dt = pm.sample(
            draws=DRAWS * THIN, tune=500, chains=CHAINS, cores=1, random_seed=random_seed, progressbar=False,
            compute_convergence_checks=False, nuts_sampler=nuts_sampler,
        )  # fmt: skip
    return dt.isel(draw=slice(None, None, THIN))


def by_numpyro(x, random_seed):
    """Draws, every fourth kept."""
    import jax
    import numpyro
    from arviz_base import from_numpyro

    # Not from numpyro.infer import MCMC: ArviZ 1.3 has a lazy numpyro, of which that would load half.
    infer = numpyro.infer
    sampler = infer.MCMC(
        infer.NUTS(in_numpyro), num_warmup=500, num_samples=DRAWS * THIN, num_chains=CHAINS, thinning=THIN,
        chain_method="sequential", progress_bar=False,
    )  # fmt: skip
    sampler.run(jax.random.key(random_seed), x, extra_fields=("diverging", "energy", "potential_energy"))
    return from_numpyro(sampler, log_likelihood=False)


def small(dt, *beside):
    """What is kept of a tree, in single precision."""
    import xarray as xr

    def single(variable):
        return variable.astype("float32") if "draw" in variable.dims and variable.dtype == float else variable

    def draws(group, names):
        kept = group.dataset[[name for name in names if name in group]]
        return kept.assign_coords(draw=np.arange(DRAWS)).map(single, keep_attrs=True)

    return xr.DataTree.from_dict(
        {
            "posterior": draws(dt["posterior"], ["w", "mu", *beside]),
            "sample_stats": draws(dt["sample_stats"], STATISTICS),
            "observed_data": dt["observed_data"].dataset,
        }
    )


def write_stan(dt, folder):
    """Draws as CmdStan writes them, a file a chain: indices from 1, the first running fastest."""
    statistics = {
        "lp__": "lp", "accept_stat__": "acceptance_rate", "stepsize__": "step_size", "treedepth__": "tree_depth",
        "n_leapfrog__": "n_steps", "divergent__": "diverging", "energy__": "energy",
    }  # fmt: skip
    for chain in range(CHAINS):
        columns = {ours: dt["sample_stats"][name].values[chain].astype(float) for ours, name in statistics.items()}
        for name in ("theta", "mu", "Sigma"):
            values = dt["posterior"][name].values[chain]
            for backwards in np.ndindex(values.shape[:0:-1]):
                at = backwards[::-1]
                columns[".".join([name, *(str(i + 1) for i in at)])] = values[(slice(None), *at)]
        lines = [",".join(f"{value:.6g}" for value in row) for row in np.column_stack(list(columns.values()))]
        head = ["# model = faithful_model", "# method = sample (Default)", ",".join(columns), "# Adaptation terminated"]
        text = "\n".join([*head, *lines, "# ", "#  Elapsed Time: 1.0 seconds (Total)", ""])
        (folder / f"stan_{chain + 1}.csv").write_text(text)


if __name__ == "__main__":
    x = bg.datasets.load_faithful().to_numpy()
    bg.save(small(by_pymc(in_pymc(x), 1), "cov"), FOLDER / "pymc.nc")
    write_stan(by_pymc(for_stan(x), 2, "pymc"), FOLDER)
    bg.save(small(by_numpyro(x, 4), "sigma"), FOLDER / "numpyro.nc")
