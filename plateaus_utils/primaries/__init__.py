"""What decides each statement of the registry, computed: one value for each prompt.

One module a chapter. Each has a table PRIMARIES, statement -> function of a `Setting` (in `latents` also of a dictionary) that
returns the sample [prompt] of the statement's primary estimand, in the unit of its scale (logarithms on the scale `ratio`);
`estimates.document_mean` of it is the estimate. Chapters judge by these functions, and so does `replicate`.
"""
