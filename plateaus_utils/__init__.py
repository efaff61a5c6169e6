"""Perturb a language model's residual stream, watch the next-token distribution, and measure the plateau."""

__version__ = "0.1.0"
