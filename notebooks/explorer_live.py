# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Live explorer
#
# The explorer for any prompt that you type, any layer and position, any corpus prompt as a target and any SAE latent. It needs a
# running kernel: `make lab` opens JupyterLab with this notebook in it; run all cells. On this page it shows a picture of its
# start. A field that cannot be used says why, next to it.

# %%
from IPython.display import display

from plateaus_utils import arguments, experiments, plotting, sensitivity
from plateaus_utils.book import widgets
from plateaus_utils.experiments import latents

# %% tags=["parameters"]
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
text: str = "The quick brown fox jumps over the lazy"  # the prompt that it starts with
device: str = "auto"  # auto, cpu, cuda or mps
dtype: str = "float32"  # floating-point type of the model

# %%
arguments.check_injected(In)
setting = experiments.prepare(
    model, results_dir, corpus=corpus, layer=layer, seq_len=seq_len,
    n_prompts=n_prompts, n_others=n_others, seed=seed, prepend_bos=prepend_bos,
    shrinkage=shrinkage, device=device, dtype=dtype)
sae = latents.main_dictionary(latents.dictionaries(setting, saes))

# %%
live = widgets.Explorer(setting, sae, text)
display(live.box)

# %% [markdown]
# The same without widgets, for scripts:

# %%
walk = live.walker.walk(text, kind="random", mode="sphere", layer=layer)
print(f"{setting.model.description}: KL reaches {sensitivity.KL_THRESHOLD} at {walk.threshold:.1f} ({walk.unit})")

# %% mystnb={"figure": {"caption": "KL divergence along a random direction from the typed prompt, and the most probable next tokens half-way.", "name": "fig-live"}}
half = len(walk.sizes) // 2
shown = widgets.top_tokens(walk.logits[[half]], setting.model.tokenizer, widgets.N_SHOWN)[0]
fig = plotting.walk(walk.curve, half, shown, walk.threshold)
plotting.show(fig, "KL curve with a marker, and bars of next-token probabilities.")
