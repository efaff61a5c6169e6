# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Explorer
#
# Walk off the plateau yourself. Choose a prompt, a kind of direction and a path, and drag the size: the bars are the model's most probable next
# tokens, the curves say how far the output has moved. The dashed line marks the size at which the KL divergence first reaches the
# threshold. Everything was computed beforehand, for {glue:text}`n_shown` prompts drawn at random; the address of this page keeps
# what you chose. To type prompts of your own, see {doc}`explorer_live`.

# %% tags=["remove-input"]
from myst_nb import glue

from plateaus_utils import arguments, experiments, plotting
from plateaus_utils.book import pages
from plateaus_utils.experiments import explorer, latents, optima, plateaus
from plateaus_utils.findings import explorer as findings

# %% tags=["parameters", "hide-input"]
profile: str = "quick"  # name of the parameter file in profiles/
results_dir: str = "results/quick"  # folder of the results, relative to the checkout
model: str = "smollm2-135m-instruct"  # embedded model, Hugging Face hub id, local folder, or .gguf file
corpus: str = "wikipedia+lee"  # packaged corpora (wikipedia, lee), hub dataset ids or local files, joined by +
layer: int = 1  # block whose input is perturbed; 0 is the first
seq_len: int = 10  # tokens in a prompt
seed: int = 0  # of prompts, targets and examples
prepend_bos: bool = False  # whether a beginning-of-sequence token takes the first place
n_prompts: int = 300  # base prompts that decide, one for each document as long as documents last
n_others: int = 20000  # activations for targets and for the Gaussian
shrinkage: bool = False  # Ledoit-Wolf shrinkage of the covariance, for few activations
saes: list = []  # SAE folders or RELEASE:SAE_ID; none: those that come with the book for this model and layer
n_walks: int = 24  # prompts to choose from
device: str = "auto"  # auto, cpu, cuda or mps
dtype: str = "float32"  # floating-point type of the model

# %% tags=["remove-input"]
arguments.check_injected(In)
setting = experiments.prepare(
    model, results_dir, corpus=corpus, layer=layer, seq_len=seq_len,
    n_prompts=n_prompts, n_others=n_others, seed=seed, prepend_bos=prepend_bos,
    shrinkage=shrinkage, device=device, dtype=dtype)
few = setting.first(min(n_walks, n_prompts))
sae = latents.main_dictionary(latents.dictionaries(setting, saes))
walks = explorer.walks(few, sae)
texts = [setting.model.tokenizer.decode(row) for row in few.bases.tokens]
glue("n_shown", few.n_prompts, display=False)
print(f"{setting.description}, {corpus}; latents of {sae.name}")

# %% tags=["remove-input"]
pages.explorer(walks, texts, setting.model.tokenizer)

# %% tags=["remove-input"] mystnb={"figure": {"caption": "One walk in print: KL divergence (above) and probabilities of the next tokens (below) from the first prompt towards another real activation, in sphere mode.", "name": "fig-explorer"}}
one = findings.printed_walk(walks, setting.model.tokenizer)
fig = plotting.token_curve(one.kl, one.probability, float(one.threshold))
plotting.show(fig, "KL divergence and next-token probabilities against the angle for one prompt.")

# %% [markdown]
# ## Landscape
#
# The plane through three real activations of unrelated prompts, in the context of the first. Height and colour are the KL divergence from the nearest of
# the three runs: valleys are plateaus. Drag the surface or turn it with the arrow keys; point at the map to read values.

# %% tags=["remove-input"]
plane = plateaus.activation_plane(setting).isel(prompt=0)
pages.landscape(plane.kl, plane.corner_xy.values)

# %% tags=["remove-input"] mystnb={"figure": {"caption": "The same plane in print: surface and map of the KL divergence to the nearest of three real activations A, B and C.", "name": "fig-explorer-plane"}}
fig = plotting.plane(plane)
plotting.show(fig, "Surface and contour map of KL divergence over a plane through three activations.")

# %% [markdown]
# ## Triangle of directions
#
# Every point is a direction, between a real-other target (top) and two Gaussian ones; colour is the threshold angle (darker: sooner).
# See {doc}`04_local_optima`.

# %% tags=["remove-input"]
section = optima.triangle_sections(setting, "triangle_explored", 1).isel(prompt=0).sel(section="real-other")
pages.triangle(section, ("real", "g₁", "g₂"))
