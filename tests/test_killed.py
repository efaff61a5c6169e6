"""A killed run, followed by the same command, ends in the same. `MOMENTS=20 pytest tests/test_killed.py` is the long form."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

MOMENTS = os.environ.get("MOMENTS", "2")


@pytest.mark.parametrize("stage", ["fetch", "convert", "experiment", "notebook", "build"])
def test_killed_and_run_again(stage, tmp_path):
    command = [sys.executable, Path(__file__).with_name("killed.py"), stage, MOMENTS, "0", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-2000:]
    assert f"{stage}: {MOMENTS} kills" in done.stdout
