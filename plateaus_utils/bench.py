"""Perturbations per second, and what a threshold costs: whole forward passes, the engine, the machine; search and grid.

`python -m plateaus_utils.bench` measures whole forward passes, the engine and what the machine's matrix multiplication
allows in one run, on the same prompts and points; then it searches for the threshold angles of a thousand directions
and compares them with a dense grid. It writes `results/bench.json`. Compare ratios, not rates: rates belong to the
machine and to what else it does.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from .directions import directions
from .effects import measure
from .embedded import EMBEDDED
from .errors import PlateausError
from .experiments import prepare
from .experiments.measuring import PROMPTS_PER_SUFFIX, TOLERANCES, thresholds_along
from .files import replacing
from .models import LanguageModel, load_model
from .patching import ROWS, Suffix, full_forward
from .paths import sphere
from .prompts import load_prompts
from .results import results_folder
from .sensitivity import KL_THRESHOLD, first_crossing, last_below

SEQ_LENS = (10, 128)
BATCHES = (1, 8, 32, 128)
N_PROMPTS = 16
REPEATS = 5
GRID_STEP = 2.5


def seconds(function: Callable[[], object]) -> float:
    """Median duration in seconds of REPEATS calls, after one that warms up."""
    function()
    durations = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations)


@torch.no_grad()
def rates(model: LanguageModel, seq_len: int) -> dict[str, float]:
    """Perturbations per second at the default hook, for N_PROMPTS prompts [N_PROMPTS, seq_len].

    Returns:
        Rates of `run_with_hooks`, of the `engine` and of the bare multiplications (`matmul_limit`), each in points per
        second; and `batch`, the number of points that served hooks best.
    """
    prompts = load_prompts("wikipedia", model.tokenizer, N_PROMPTS, 1, seq_len=seq_len, n_ctx=model.n_ctx).bases
    suffix = Suffix(model, prompts.tokens, model.default_hook)
    rng = torch.Generator().manual_seed(0)
    vectors = torch.randn(suffix.base.shape, generator=rng).to(suffix.base)
    points = sphere(suffix.base, vectors, torch.linspace(5, 180, ROWS // N_PROMPTS).to(suffix.base))
    engine = points.shape[:2].numel() / seconds(lambda: suffix(points).logits)
    limit = ROWS / seconds(_multiplications(model, suffix.layer))
    candidates = points.repeat(1, 4, 1)[0]
    hooked = {
        n: n / seconds(lambda n=n: full_forward(model, prompts.tokens[0], model.default_hook, candidates[:n], n))
        for n in BATCHES
    }
    best = max(hooked, key=hooked.get)
    return {"run_with_hooks": hooked[best], "batch": best, "engine": engine, "matmul_limit": limit}


def _multiplications(model: LanguageModel, layer: int) -> Callable[[], None]:
    """Only the products with weight matrices that a batch of ROWS points needs from block `layer` on."""
    blocks = model.core.get_submodule(model.bridge.real_components["blocks"][0])
    modules = [m for block in blocks[layer:] for m in block.modules()] + [model.core.get_output_embeddings()]
    weights = [m.weight.T if isinstance(m, Conv1D) else m.weight for m in modules if isinstance(m, nn.Linear | Conv1D)]
    inputs = {n: torch.randn(ROWS, n, device=model.device, dtype=model.dtype) for n in {w.shape[1] for w in weights}}

    def run() -> None:
        for weight in weights:
            nn.functional.linear(inputs[weight.shape[1]], weight)

    return run


def compare_search(model: str, n_prompts: int = 120, n_directions: int = 3) -> dict[str, float]:
    """Threshold angles by search against the first crossing on a grid of GRID_STEP degrees, for three kinds of direction.

    They agree if they lie in the same cell of the grid, or within the search's tolerance of one another.

    Returns:
        How many `directions`; `evaluations`, the mean number of points of a search, and `grid`, that of the grid;
        `agreement`, a share from 0 to 1; and `unexplained`, how many of the disagreements lie on curves that cross the
        threshold only once.
    """
    setting = prepare(model, "results/bench", n_prompts=n_prompts)
    draws, grid = setting.draws(n_directions, "bench"), np.arange(0, 180.1, GRID_STEP)
    searched, crossings, last, evaluations = [], [], [], []
    for start in range(0, n_prompts, PROMPTS_PER_SUFFIX):
        chunk = slice(start, start + PROMPTS_PER_SUFFIX)
        at = setting.base_activations[chunk]
        suffix = Suffix(setting.model, setting.bases.tokens[chunk], setting.hook_name)
        vectors = torch.cat([directions(kind, at, draws[chunk]) for kind in ("random", "real-other", "naive")], 1)
        found = thresholds_along(suffix, at, vectors)
        points = sphere(at[:, None].expand_as(vectors), vectors, torch.tensor(grid, dtype=torch.float32))
        kl = measure(suffix, points.flatten(1, 2))["kl"].view(*vectors.shape[:2], -1).numpy()
        searched.append(found.size.numpy().ravel())
        evaluations.append(found.evaluations.numpy().ravel())
        crossings.append(first_crossing(grid, kl, KL_THRESHOLD).ravel())
        last.append(last_below(grid, kl, KL_THRESHOLD).ravel())
    searched, crossings, last, evaluations = map(np.concatenate, (searched, crossings, last, evaluations))
    apart = np.nan_to_num(np.abs(searched - crossings), nan=np.inf)
    agree = (apart <= TOLERANCES["sphere"]) | (np.ceil(searched / GRID_STEP) == np.ceil(crossings / GRID_STEP))
    agree |= np.isnan(searched) & np.isnan(crossings)
    return {
        "directions": len(searched), "evaluations": float(evaluations.mean()), "grid": len(grid) - 1,
        "agreement": float(agree.mean()), "unexplained": int((~agree & (crossings == last)).sum()),
    }  # fmt: skip


def main() -> int:
    """Measure, print a table, write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=EMBEDDED)
    options = parser.parse_args()
    try:
        model = load_model(options.model)
        found = {str(n): rates(model, n) for n in SEQ_LENS}
        search = compare_search(options.model)
    except PlateausError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{'tokens':>6} {'run_with_hooks':>15} {'engine':>8} {'limit':>8} {'engine/hooks':>13} {'engine/limit':>13}")
    for n, rate in found.items():
        print(
            f"{n:>6} {rate['run_with_hooks']:>9.1f} at {rate['batch']:>3} {rate['engine']:>7.0f} {rate['matmul_limit']:>8.0f} "
            f"{rate['engine'] / rate['run_with_hooks']:>13.1f} {rate['engine'] / rate['matmul_limit']:>13.2f}"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"perturbations per second, medians of {REPEATS}; peak memory {peak:.2f} GiB; {torch.get_num_threads()} threads"
    )
    print(
        f"threshold angles of {search['directions']} directions: {search['evaluations']:.1f} evaluations each by search, "
        f"{search['grid']} on the grid; {search['agreement']:.1%} agree, of the others {search['unexplained']} cross once alone"
    )
    with replacing(results_folder("results") / "bench.json") as temporary:
        temporary.write_text(
            json.dumps(
                {**found, "search": search, "peak_memory_gib": peak, "threads": torch.get_num_threads()}, indent=1
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
