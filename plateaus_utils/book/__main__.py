"""The command line of the book: run the chapters, build the site.

`python -m plateaus_utils.book --profile quick --set layer=5` runs what is stale among the chapters and hands all of them
to jupyter-book. `_build/html` exists only if the last command made it, without a warning, from chapters that are all up to
date.
"""

import argparse
import os
import signal
import sys

from ..errors import BookError, PlateausError
from ..files import PROJECT
from .parameters import parameter_table, parse_settings, planned

KERNEL_ENVIRONMENT = {
    "OMP_NUM_THREADS": "2",
    "OMP_WAIT_POLICY": "PASSIVE",  # threads that wait by spinning slow everything down on a machine that does other work
    "PYTHONHASHSEED": "0",
    "TOKENIZERS_PARALLELISM": "false",
}


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0: all is well, 1: a chapter or the site failed, 2: the request cannot be met."""
    parser = argparse.ArgumentParser(prog="python -m plateaus_utils.book", description=__doc__.split("\n")[0])
    parser.add_argument("--profile", default="quick", help="a file of profiles/, without its .yaml (default: quick)")
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE",
                        help="parameters that win over the profile's")  # fmt: skip
    parser.add_argument("--only", nargs="+", action="extend", default=[], metavar="CHAPTER",
                        help="run these chapters alone; the site is built if the others are up to date")  # fmt: skip
    parser.add_argument("--no-site", action="store_true", help="run chapters, build nothing")
    parser.add_argument("--help-parameters", action="store_true", help="list the parameters of all chapters, and exit")
    options = parser.parse_args(arguments)
    os.environ.update(KERNEL_ENVIRONMENT)
    for polite in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(polite, signal.default_int_handler)  # a polite kill must stop the kernel as well
    try:
        if options.help_parameters:
            print(parameter_table())
            return 0
        plan = planned(options.profile, parse_settings(options.set), options.only)
        # Imported here: they take seconds, and what is refused is refused before.
        from .chapters import only_run, run_chapters
        from .site import build_site

        with only_run():
            stale = run_chapters(plan, options.only)
            if stale and not options.no_site:
                print(f"The site was not built, because these chapters are not up to date: {', '.join(stale)}.")
            elif not options.no_site:
                print(f"The site is at {build_site().relative_to(PROJECT)}/index.html")
    except PlateausError as error:
        print(error, file=sys.stderr)
        return 1 if isinstance(error, BookError) else 2
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
