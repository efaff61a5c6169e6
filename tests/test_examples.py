"""The examples in the docstrings of the package's public names do what they say."""

import doctest

import pytest
import torch

import plateaus_utils


@pytest.mark.parametrize("name", plateaus_utils.__all__)
def test_example(name, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("PLATEAUS_CACHE", str(tmp_path_factory.getbasetemp() / "examples-cache"))
    docstring = getattr(plateaus_utils, name).__doc__
    example = doctest.DocTestParser().get_doctest(docstring, {"torch": torch}, name, None, 0)
    assert len(example.examples) > 1
    report = []
    runner = doctest.DocTestRunner(verbose=False)
    results = runner.run(example, out=report.append)
    assert results.failed == 0, "".join(report)
