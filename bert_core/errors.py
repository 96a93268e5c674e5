"""The one exception tree of bertline.

    BertlineError
    |-- RequestError            the request was wrong: recipe, path, data named by the user (exit 2)
    |   |-- RecipeError         a recipe that does not say what it must (also a ValueError)
    |   |-- CorpusError         raw text that cannot be used as the recipe says
    |   `-- TaskDataError       a labelled set that cannot be used as the recipe says
    `-- WorkError               the work itself failed (exit 1)
        |-- StoreError          a shard or manifest that is missing, damaged or held by another run
        |   `-- HeldError       another run builds this output at the moment
        |-- CheckpointError     a model folder that does not fit what is asked of it
        `-- TrainingError       training stopped: loss not finite, out of memory, process died

A message names the subject, what was got, what was expected and the remedy, and quotes the value;
where a file is at fault it says `file:line`. `BertlineError` is never retried: the same input gives
the same error. This file defines no behaviour beyond that.
"""


class BertlineError(Exception):
    """Base of every error that bertline raises on purpose."""

    exit_code = 1


class RequestError(BertlineError):
    """What the user asked for cannot be done as asked; nothing was written."""

    exit_code = 2


class RecipeError(RequestError, ValueError):
    """A recipe has unknown keys, missing values or values out of range; all are listed together."""


class CorpusError(RequestError):
    """Raw text is missing, empty or not in the format that the recipe names."""


class TaskDataError(RequestError):
    """A labelled set is missing, empty or carries labels outside its set."""


class WorkError(BertlineError):
    """The work was well asked for and failed on the way."""


class StoreError(WorkError):
    """A shard or manifest is missing, damaged or held by another run."""


class HeldError(StoreError):
    """Another run builds this output at the moment."""


class CheckpointError(WorkError):
    """A model folder does not fit the configuration that is to load it."""


class TrainingError(WorkError):
    """Training stopped before its last step."""
