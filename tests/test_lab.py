"""The live explorer in JupyterLab, in a real browser: a slider move redraws with the library's own number."""

import os
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import papermill
import pytest

from plateaus_utils import embedded
from plateaus_utils.book import widgets
from plateaus_utils.book.chapters import source_notebook
from plateaus_utils.book.parameters import load_profile
from plateaus_utils.experiments import latents, prepare
from plateaus_utils.files import PROJECT

TEXT = "A plateau is flat"
STEPS = 10


@pytest.fixture
def parameters(tmp_path):
    """Of the `smoke` profile, with a folder of our own for the results."""
    return load_profile("smoke") | {"text": TEXT, "results_dir": str(tmp_path / "results"), "device": "cpu"}


@pytest.fixture
def lab(tmp_path, parameters):
    """Address of a JupyterLab that serves the live notebook with these parameters as `live.ipynb`."""
    notebook = tmp_path / "notebooks" / "live.ipynb"
    notebook.parent.mkdir()
    nbformat.write(source_notebook(PROJECT / "notebooks" / "explorer_live.py"), notebook)
    loaded = papermill.iorw.load_notebook_node(str(notebook))
    nbformat.write(papermill.parameterize.parameterize_notebook(loaded, parameters), notebook)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}", "--port-retries=0",
               "--IdentityProvider.token=", f"--ServerApp.root_dir={notebook.parent}"]  # fmt: skip
    own = {"JUPYTER_CONFIG_DIR": str(tmp_path / "config"), "JUPYTER_DATA_DIR": str(tmp_path / "data")}
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(command, cwd=PROJECT, env=os.environ | own, stdout=log, stderr=log)
    try:
        yield wait_for(f"http://127.0.0.1:{port}", server)
    finally:
        server.terminate()
        server.wait(30)


def wait_for(address: str, server: subprocess.Popen) -> str:
    while server.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/api/status", timeout=5).close()
            return address
        except OSError:
            time.sleep(0.2)
    pytest.fail("JupyterLab did not start")


def test_slider_redraws_with_the_librarys_divergence(browser, lab, parameters):
    page = browser.new_page(viewport={"width": 1280, "height": 1400})
    page.goto(f"{lab}/lab/tree/live.ipynb")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=120_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    handle = page.locator(".widget-slider .noUi-handle")
    handle.wait_for(timeout=120_000)
    before = page.locator(".jp-OutputArea-output img").first.get_attribute("src")
    handle.focus()
    for _ in range(STEPS):
        page.keyboard.press("ArrowRight")
    angle = f"{widgets.GRID['sphere'][STEPS]:.3g} (degrees)"
    reading = page.locator(".widget-html", has_text=angle).locator("b")
    reading.wait_for(timeout=60_000)
    shown = float(reading.inner_text())
    page.wait_for_function(
        "src => document.querySelector('.jp-OutputArea-output img').src !== src", arg=before, timeout=60_000
    )
    page.close()

    names = ("corpus", "n_prompts", "n_others", "shrinkage", "device")
    setting = prepare(embedded.TINY, parameters["results_dir"], **{name: parameters[name] for name in names})
    walk = widgets.Walker(setting, latents.main_dictionary(latents.dictionaries(setting))).walk(
        TEXT, "random", "sphere"
    )
    assert shown == pytest.approx(float(walk.kl[STEPS]), abs=1e-4)
    assert shown > 0.01
