"""BIOES tags beside BIO: their names, and the way from each to the other for whole batches.

Under BIOES an entity of several tokens is B I ... E and one of a single token S, so that a model says where an entity
ends. Ids are laid out as `O, B-x, I-x, E-x, S-x, B-y, ...` in the order of the task's labels. Entities are found in BIO
(`tags.decode_bio`); a BIOES tagging is first rewritten as the BIO tagging of the same entities.

Reading is lenient, as the field scores it: I or E goes on with an entity where B or I of its own type stands before it,
and begins one otherwise.

Source: Ratinov and Roth 2009 (BILOU); reading as in seqeval 1.2.2 `get_entities`, default mode.
"""

from collections.abc import Sequence

import numpy as np

from bert_core.config.tasks import TagScheme
from bert_core.corpus.tags import bio_tags

_B, _I, _E, _S = range(4)


def tag_names(labels: Sequence[str], scheme: TagScheme) -> list[str]:
    """Name the tags of a set of entity types, in the order of their ids.

    Example: `tag_names(["nr"], "bioes")` -> `["O", "B-nr", "I-nr", "E-nr", "S-nr"]`.
    """
    if scheme == "bio":
        return bio_tags(labels)
    return ["O"] + [f"{prefix}-{label}" for label in labels for prefix in "BIES"]


def types_of_tags(tags: Sequence[str]) -> list[str]:
    """Return the entity types of tag names, each once: `["O", "B-nr", "I-nr"]` -> `["nr"]`."""
    return list(dict.fromkeys(tag[2:] for tag in tags if tag != "O"))


def from_bio(tag_ids: np.ndarray, row_offsets: np.ndarray, scheme: TagScheme) -> np.ndarray:
    """Rewrite BIO ids in a scheme.

    Example: BIO `B-x I-x O B-x`, which is `[1, 2, 0, 1]`, as BIOES is `B-x E-x O S-x`, `[1, 3, 0, 4]`.

    Args:
        tag_ids: flat BIO ids, int shape (num_tokens,); negative ones are kept.
        row_offsets: row i is `tag_ids[row_offsets[i] : row_offsets[i + 1]]`, shape (num_rows + 1,).
        scheme: that is wanted.

    Returns:
        Ids in the scheme, int32 shape (num_tokens,).
    """
    bio = np.asarray(tag_ids, np.int64)
    if scheme == "bio":
        return bio.astype(np.int32)
    types, is_inside = (bio - 1) // 2, bio % 2 == 0
    has_next = np.zeros(len(bio), bool)
    has_next[:-1] = (bio[1:] > 0) & is_inside[1:] & (types[1:] == types[:-1])
    last = np.asarray(row_offsets, np.int64)[1:][np.diff(row_offsets) > 0] - 1
    has_next[last] = False
    part = np.where(is_inside, np.where(has_next, _I, _E), np.where(has_next, _B, _S))
    return np.where(bio > 0, 1 + 4 * types + part, bio).astype(np.int32)


def to_bio(tag_ids: np.ndarray, row_offsets: np.ndarray, scheme: TagScheme) -> np.ndarray:
    """Rewrite ids of a scheme as the BIO ids of the same entities; arguments as `from_bio`.

    Example: BIOES `E-x I-x E-x`, which is `[3, 2, 3]`, holds two entities: `B-x B-x I-x`, `[1, 1, 2]`.
    """
    ids = np.asarray(tag_ids, np.int64)
    if scheme == "bio":
        return ids.astype(np.int32)
    types, part = np.where(ids > 0, (ids - 1) // 4, -1), np.where(ids > 0, (ids - 1) % 4, -1)
    is_open = np.zeros(len(ids), bool)  # an entity of this type goes on here
    is_open[1:] = (types[1:] == types[:-1]) & ((part[:-1] == _B) | (part[:-1] == _I))
    is_open[np.asarray(row_offsets, np.int64)[:-1][np.diff(row_offsets) > 0]] = False
    goes_on = is_open & ((part == _I) | (part == _E))
    return np.where(ids > 0, 1 + 2 * types + goes_on, ids).astype(np.int32)
