"""Recipes: what a run is made of, read from YAML into frozen typed models.

`recipe.py` holds the whole, the other files its parts; `loading.py` reads YAML into them and turns every fault into one
message with file and line. Neither looks at the disk beyond the recipe itself.
"""

from bert_core.config.augmentation import AugmentationConfig
from bert_core.config.distillation import DistillationConfig
from bert_core.config.knowledge import KnowledgeConfig
from bert_core.config.loading import load_recipe, varied
from bert_core.config.recipe import Recipe
from bert_core.config.study import StudyConfig
from bert_core.config.tasks import FineTuneConfig, TaskConfig, TaskSource
from bert_core.config.text import (
    AuditConfig,
    CorpusConfig,
    ExamplesConfig,
    MaskingConfig,
    VocabularyConfig,
    WordsConfig,
)
from bert_core.config.transfer import LongPhaseConfig, ModelConfig, OptimizationConfig, TransferConfig

__all__ = [
    "AuditConfig",
    "AugmentationConfig",
    "CorpusConfig",
    "DistillationConfig",
    "ExamplesConfig",
    "FineTuneConfig",
    "KnowledgeConfig",
    "LongPhaseConfig",
    "MaskingConfig",
    "ModelConfig",
    "OptimizationConfig",
    "Recipe",
    "StudyConfig",
    "TaskConfig",
    "TaskSource",
    "TransferConfig",
    "VocabularyConfig",
    "WordsConfig",
    "load_recipe",
    "varied",
]
