"""The deciding estimands alone, for other models: which statements hold where?

`python -m plateaus_utils.replicate MODEL ...` measures what decides each statement that needs no SAE, on fewer prompts
than the book does, and leaves verdicts in `results/replicate-MODEL`; the claims page shows them beside its own. A MODEL is
any name that `load_model` takes, or `untrained`: the embedded model's architecture with fresh weights, the control in which
nothing that training makes may be found.
"""

import argparse
import sys
import time
from pathlib import Path

from . import claims
from .claims import Judge
from .errors import PlateausError
from .experiments import Setting, prepare
from .experiments.explanations import N_SHRUNK, untrained_setting
from .files import PROJECT, file_name
from .models import EMBEDDED, initializer_ranges
from .primaries import explanations, optima, plateaus, sensitive

UNTRAINED = "untrained"
PRIMARIES = plateaus.PRIMARIES | sensitive.PRIMARIES | optima.PRIMARIES | explanations.PRIMARIES
"""Statement -> function of a setting; see `primaries`."""


def replicated(model: str, n_prompts: int, root: Path = PROJECT) -> list[dict]:
    """Judge every statement that needs no SAE for one model; see `claims.collect`.

    Raises:
        ModelError, CorpusError, ActivationError: see `prepare`.
    """
    folder = root / "results" / file_name(f"replicate-{model}")
    setting = _setting(model, str(folder), n_prompts)
    judge = Judge(folder, setting.made_by, setting.n_documents_available)
    for name, sample in PRIMARIES.items():
        judge.alone(name, sample(setting))
    return claims.collect(folder)


def _setting(model: str, folder: str, n_prompts: int) -> Setting:
    name = EMBEDDED if model == UNTRAINED else model
    setting = prepare(name, folder, n_prompts=n_prompts, n_others=N_SHRUNK, shrinkage=True)
    return untrained_setting(setting, initializer_ranges(setting.model)["published"]) if model == UNTRAINED else setting


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0: every model was measured, 2: one could not be."""
    parser = argparse.ArgumentParser(prog="python -m plateaus_utils.replicate", description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", default=[UNTRAINED], help="names of models, or `untrained`, the default")
    parser.add_argument("--prompts", type=int, default=60, help="base prompts, one a document (default: 60)")
    options = parser.parse_args(arguments)
    for model in options.models:
        started = time.perf_counter()
        try:
            found = claims.counts(replicated(model, options.prompts))
        except PlateausError as error:
            print(f"{model}: {error}", file=sys.stderr)
            return 2
        counted = ", ".join(f"{verdict} {number}" for verdict, number in found.items())
        print(f"{model}: {counted} ({time.perf_counter() - started:.0f} s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
