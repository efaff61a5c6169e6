"""The workflows of GitHub: foreign code is pinned by its commit, and no job may do more than it must."""

import re

import pytest
import yaml

from plateaus_utils.files import PROJECT

WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit_with_their_version_beside(path):
    used = re.findall(r"uses: *(.+)", path.read_text())
    assert used and all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v[\d.]+", action) for action in used)


def test_only_the_deploying_job_may_write_and_ask_for_a_token():
    granted = {}
    for path in WORKFLOWS:
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {"contents": "read"}, path.name
        granted |= {
            (path.stem, name): job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job
        }
    assert granted == {("publish", "deploy"): {"pages": "write", "id-token": "write"}}
