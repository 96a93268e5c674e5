"""A WordPiece vocabulary for a recipe: taken from a file or model as it is, or trained on documents."""

from bert_core.tokens.vocabulary_files import load_vocabulary

__all__ = ["load_vocabulary"]
