"""Values inside the blocks: recorded, held, transplanted; tangents on their way; all against independent computations."""

import pytest
import torch

from plateaus_utils.anatomy import COEFFICIENTS, PARTS, anatomy
from plateaus_utils.errors import ActivationError, ModelError, ParameterError
from plateaus_utils.models import load_model
from plateaus_utils.patching import Suffix

HOOK = "blocks.1.hook_resid_pre"
SHAPED = ("gpt2", "llama", "qwen2", "qwen3", "gemma3", "mistral")
BLOCKS = range(5)


@pytest.fixture(params=SHAPED)
def suffix(request, load_family, tokens):
    return Suffix(load_family(request.param), tokens, HOOK)


def two_points(suffix):
    """Two points of each prompt away from its base, [n_prompts, 1, d_model] each."""
    shape = (2, *suffix.base.shape)
    first, second = suffix.base + torch.randn(shape).to(suffix.base)
    return first[:, None], second[:, None]


def everything(suffix, parts=COEFFICIENTS):
    return anatomy(suffix.model).select(parts, BLOCKS)


def test_stages_are_the_bridge_s_own_hooks(suffix, tokens):
    # Against TransformerLens: the stream in the middle and at the end of each block of the clean run.
    layers = range(1, 4)
    names = [f"blocks.{i}.hook_resid_{place}" for i in layers for place in ("mid", "post")]
    _, cache = suffix.model.bridge.run_with_cache(tokens, names_filter=[HOOK, *names])
    _, streams = suffix.trace(suffix.base[:, None])
    expected = torch.stack([cache[name][:, -1] for name in (HOOK, *names)], 1)
    torch.testing.assert_close(streams[:, 0], expected, rtol=1e-3, atol=1e-3)


def test_a_run_held_to_its_own_values_is_itself(suffix):
    point, _ = two_points(suffix)
    values = suffix.record(point, everything(suffix, PARTS))
    assert {site.part for site in values} == set(PARTS)
    torch.testing.assert_close(suffix.holding(values)(point).logits, suffix(point).logits, rtol=1e-4, atol=1e-4)


def test_with_coefficients_held_every_step_is_its_tangent(suffix):
    # A linear network: a step of any size changes the logits by what the tangent says, and no stage bends.
    point, other = two_points(suffix)
    held = suffix.holding(suffix.record(point, everything(suffix)))
    (logits, streams), (slopes, tangents) = held.traced_derivative(point, other - point)
    there, end = held.trace(other)
    torch.testing.assert_close(there, logits + slopes, rtol=1e-3, atol=2e-3)
    torch.testing.assert_close(end, streams + tangents, rtol=1e-3, atol=2e-3)


def test_a_transplant_of_all_coefficients_restores_the_donor_exactly(suffix):
    recipient, donor = two_points(suffix)
    tangent = torch.randn_like(donor)
    held = suffix.holding(suffix.record(donor, everything(suffix)))
    at_donor, at_recipient = held.derivative(donor, tangent)[1], held.derivative(recipient, tangent)[1]
    torch.testing.assert_close(at_recipient, at_donor, rtol=1e-4, atol=1e-4)
    free = suffix.derivative(recipient, tangent)[1]
    assert (free - at_donor).norm() > 0.05 * at_donor.norm()


def test_outputs_held_leave_the_point_and_a_constant(suffix):
    first, second = two_points(suffix)
    held = suffix.holding(suffix.record(first, everything(suffix, ("attention", "MLPs"))))
    moved = held(second).resid_post - held(first).resid_post
    torch.testing.assert_close(moved, second - first, rtol=1e-4, atol=1e-4)


def test_elements_that_are_nan_stay_free(suffix):
    point, other = two_points(suffix)
    values = suffix.record(other, everything(suffix))
    free = suffix.holding({site: torch.full_like(value, torch.nan) for site, value in values.items()})
    torch.testing.assert_close(free(point).logits, suffix(point).logits, rtol=1e-4, atol=1e-4)


def test_each_prompt_keeps_its_own_values(suffix):
    point, other = two_points(suffix)
    held = suffix.holding(suffix.record(other, everything(suffix)))
    chosen = torch.tensor([2, 0, 2])
    torch.testing.assert_close(
        held.of_prompts(chosen)(point[chosen]).logits, held(point).logits[chosen], rtol=1e-4, atol=1e-4
    )


def test_the_last_stage_is_read_as_the_network_reads_it(suffix):
    point, _ = two_points(suffix)
    (_, streams), (slopes, tangents) = suffix.traced_derivative(point, torch.randn_like(point))
    found = suffix.read_derivative(streams[:, 0, -1], tangents[:, 0, -1:].transpose(0, 1))[0]
    torch.testing.assert_close(found, slopes[:, 0], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_tangents_agree_with_central_differences_in_float64(family_folder, tokens, name):
    suffix = Suffix(load_model(family_folder(name), device="cpu", dtype="float64"), tokens, HOOK)
    point, other = two_points(suffix)
    tangent, step = other - point, 1e-3
    _, (slopes, tangents) = suffix.traced_derivative(point, tangent)
    (up, above), (down, below) = (suffix.trace(point + sign * step * tangent) for sign in (1, -1))
    torch.testing.assert_close((up - down) / (2 * step), slopes, rtol=1e-3, atol=2e-3)
    torch.testing.assert_close((above - below) / (2 * step), tangents, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("name", ["neox", "opt", "mamba", "gemma2"])
def test_other_shapes_are_refused(load_family, refused, name):
    with refused(ModelError, "Llama", "GPT-2"):
        anatomy(load_family(name))


def test_bad_requests_are_refused(gpt2, tokens, refused):
    suffix = Suffix(gpt2, tokens, HOOK)
    with refused(ParameterError, "'gate'", "gates"):
        anatomy(gpt2).select(["gate"], BLOCKS)
    values = suffix.record(suffix.base[:, None], everything(suffix))
    with refused(ActivationError, "3 prompts", "has 2"):
        suffix.of_prompts(torch.tensor([0, 1])).holding(values)
