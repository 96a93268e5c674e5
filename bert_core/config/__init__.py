"""Recipes: what a run is made of, read from YAML into frozen typed models.

`recipe.py` holds the models (they also render the form in the Prefect UI), `loading.py` reads YAML into them and
turns every fault into one message with file and line. Neither looks at the disk beyond the recipe itself.
"""

from bert_core.config.loading import load_recipe
from bert_core.config.recipe import (
    CorpusConfig,
    ExamplesConfig,
    FineTuneConfig,
    MaskingConfig,
    ModelConfig,
    OptimizationConfig,
    Recipe,
    TaskConfig,
    TaskSource,
    TransferConfig,
    VocabularyConfig,
    WordsConfig,
)

__all__ = [
    "CorpusConfig",
    "ExamplesConfig",
    "FineTuneConfig",
    "MaskingConfig",
    "ModelConfig",
    "OptimizationConfig",
    "Recipe",
    "TaskConfig",
    "TaskSource",
    "TransferConfig",
    "VocabularyConfig",
    "WordsConfig",
    "load_recipe",
]
