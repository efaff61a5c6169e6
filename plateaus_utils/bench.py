"""Perturbations per second: whole forward passes, the engine, and what the machine's matrix multiplication allows.

`python -m plateaus_utils.bench` measures all three in one run, on the same prompts and points, and writes
`results/bench.json`. Compare ratios, not rates: rates belong to the machine and to what else it does.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from .errors import PlateausError
from .files import replacing
from .models import EMBEDDED, LanguageModel, load_model
from .patching import ROWS, Suffix, full_forward
from .paths import sphere
from .prompts import load_prompts
from .results import results_folder

SEQ_LENS = (10, 128)
BATCHES = (1, 8, 32, 128)
N_PROMPTS = 16
REPEATS = 5


def seconds(function: Callable[[], object]) -> float:
    """Median duration of five calls, after one that warms up."""
    function()
    durations = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations)


@torch.no_grad()
def rates(model: LanguageModel, seq_len: int) -> dict[str, float]:
    """Perturbations per second at the default hook, for prompts of one length, and the batch size that served hooks best."""
    prompts = load_prompts("wikipedia", model.tokenizer, N_PROMPTS, 1, seq_len=seq_len, n_ctx=model.n_ctx).bases
    suffix = Suffix(model, prompts.tokens, model.default_hook)
    rng = torch.Generator().manual_seed(0)
    directions = torch.randn(suffix.base.shape, generator=rng).to(suffix.base)
    points = sphere(suffix.base, directions, torch.linspace(5, 180, ROWS // N_PROMPTS).to(suffix.base))
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


def main() -> int:
    """Measure, print a table, write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=EMBEDDED)
    options = parser.parse_args()
    try:
        model = load_model(options.model)
        found = {str(n): rates(model, n) for n in SEQ_LENS}
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
    with replacing(results_folder("results") / "bench.json") as temporary:
        temporary.write_text(
            json.dumps({**found, "peak_memory_gib": peak, "threads": torch.get_num_threads()}, indent=1)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
