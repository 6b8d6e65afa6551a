"""Whole processes, from start to saved result, with warm caches: what a user waits for."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import keep, ratio, show

HERE = Path(__file__).parent
HEAD = "import sys, warnings; warnings.simplefilter('ignore'); sys.path.insert(0, {here!r}); out = {out!r}\n"
NUTS = {
    "bayesgmm": """
from problems import clusters
import bayesgmm as bg
model = bg.build_model(clusters(1_000, 2, 3), 3, priors=bg.Priors(reference=None))
dt = bg.sample(model, draws=1000, chains=4, cores=2, random_seed=1, progressbar=False)
dt.to_netcdf(out, engine="h5netcdf")
""",
    "NumPyro": """
import os
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
os.environ["JAX_ENABLE_X64"] = "1"
import jax, jax.numpy as jnp, numpyro, numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS, init_to_value
from problems import clusters, prior_numbers
import numpy as np
x, k, d = clusters(1_000, 2, 3), 3, 2
numbers = prior_numbers(x, k)
def model(x):
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(k)))
    means = numpyro.sample("means", dist.Normal(numbers["midrange"], numbers["range"]).expand([k, d]).to_event(2))
    variances = numpyro.sample("variances", dist.InverseGamma(1.5, numbers["beta"]).expand([k, d]).to_event(2))
    factor = numpyro.sample("factor", dist.LKJCholesky(d, numbers["eta"]).expand([k]).to_event(1))
    scale = jnp.sqrt(variances)[..., None] * factor
    components = dist.MultivariateNormal(means, scale_tril=scale)
    numpyro.sample("x", dist.MixtureSameFamily(dist.Categorical(weights), components), obs=x)
start = {"means": jnp.asarray(x[[np.argmin(x[:, 0]), len(x) // 2, np.argmax(x[:, 0])]])}
mcmc = MCMC(NUTS(model, init_strategy=init_to_value(values=start)), num_warmup=1000, num_samples=1000, num_chains=4,
            chain_method="parallel", progress_bar=False)
mcmc.run(jax.random.PRNGKey(1), jnp.asarray(x))
import arviz as az
az.from_numpyro(mcmc).to_netcdf(out, engine="h5netcdf")
""",
    "pm.Mixture": """
import pymc as pm
from problems import clusters, pymc_mixture
import numpy as np
x = clusters(1_000, 2, 3)
with pymc_mixture(x, 3):
    dt = pm.sample(draws=1000, chains=4, cores=2, nuts_sampler="nutpie", random_seed=1, progressbar=False,
                   compute_convergence_checks=False)
dt.to_netcdf(out, engine="h5netcdf")
""",
}
MAP = {
    "bayesgmm": """
from problems import clusters
import bayesgmm as bg, numpy as np
gmm = bg.GaussianMixture(3, inference="map", random_state=1).fit(clusters(10_000, 2, 3))
np.savez(out, weights=gmm.weights_, means=gmm.means_, covariances=gmm.covariances_)
""",
    "pm.find_MAP": """
import pymc as pm, numpy as np
from problems import clusters, pymc_mixture
x = clusters(10_000, 2, 3)
start = {"means": x[[np.argmin(x[:, 0]), len(x) // 2, np.argmax(x[:, 0])]]}
with pymc_mixture(x, 3):
    point = pm.find_MAP(start=start, progressbar=False)
np.savez(out, **point)
""",
}


def run(script: str, out: str) -> float:
    began = time.perf_counter()
    code = HEAD.format(here=str(HERE), out=out) + script
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONWARNINGS": "ignore"}
    )
    took = time.perf_counter() - began
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-2000:])
    return took


def contest(scripts: dict[str, str], suffix: str, repeats: int) -> list[dict[str, str]]:
    times: dict[str, list[float]] = {name: [] for name in scripts}
    with tempfile.TemporaryDirectory() as folder:
        for round_ in range(repeats + 1):
            for name, script in scripts.items():
                took = run(script, str(Path(folder) / f"{name}{suffix}".replace(" ", "")))
                if round_ > 0:  # the first warms the caches
                    times[name].append(took)
                print(f"{name}: {took:.2f} s", file=sys.stderr, flush=True)
    return [
        {
            "process": name,
            "seconds": f"{np.median(took):.2f} ({min(took):.2f} to {max(took):.2f})",
            "it / bayesgmm": show(ratio(took, times["bayesgmm"])),
        }
        for name, took in times.items()
    ]


if __name__ == "__main__":
    chosen = sys.argv[1:] or ["nuts", "map"]
    if "nuts" in chosen:
        keep(
            "process_nuts",
            contest(NUTS, ".nc", repeats=2),
            "4 x 1,000 draws at (1000, 2, 3). Aim: NumPyro 2, pm.Mixture 5.",
        )
    if "map" in chosen:
        keep("process_map", contest(MAP, ".npz", repeats=5), "At (10000, 2, 3). Aim: 5.")
