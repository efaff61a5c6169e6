"""The one family of errors that this package raises for bad input.

Each message is a single sentence that says what was wrong and what to do. Command lines print it without a
traceback; notebooks show it as the reason for which they stopped.
"""


class PlateausError(Exception):
    """Something that the user gave, or the machine they run on, makes the request impossible."""


class ModelError(PlateausError):
    """A model that is unknown, unreachable, damaged, or that the engine cannot continue exactly."""


class CorpusError(PlateausError):
    """A corpus that is missing, unreadable, or too small for the sequences asked for."""


class ActivationError(PlateausError):
    """Activations, directions or sizes that are not finite, of the wrong shape, or degenerate."""


class SAEError(PlateausError):
    """A sparse autoencoder that is missing, damaged, or made for other activations."""


class ResultError(PlateausError):
    """A result that cannot be written, or a file that is damaged or is no result of this package."""


class ParameterError(PlateausError):
    """A profile or parameter that does not exist, or a value of the wrong type."""


class BookError(PlateausError):
    """A chapter that did not run to its end, or a site that is missing or not fit to be published."""


def first_line(error: Exception) -> str:
    """What another library's error says, short enough to stand inside one of our sentences."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:160] if str(error).strip() else 'no message'}"
