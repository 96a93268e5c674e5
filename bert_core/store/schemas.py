"""The rows of every shard: one schema for each kind, the contract between the rooms.

Ids are 64-bit digests that do not depend on shard layout: `doc_id` digests the document's normalised text (two
documents with one id are duplicates); that of an example digests where its sides stand, and is computed when it is
read (`examples/reader.py`). Offsets into token rows are in tokens, offsets into text in characters.
"""

import pyarrow as pa

from bert_core.store.shards import token_type

DOCUMENTS = pa.schema(
    [
        ("doc_id", pa.uint64()),
        ("text", pa.string()),  # cleaned; paragraphs are separated by "\n"
        ("file", pa.dictionary(pa.int32(), pa.string())),  # as named in the recipe, not as on this machine
        ("line", pa.uint32()),  # first line of the record in the file, from 1
        ("byte_offset", pa.uint64()),  # of the record's first byte in the (decompressed) file
        ("encoding", pa.dictionary(pa.int32(), pa.string())),
        ("repairs", pa.list_(pa.string())),  # names of the cleaning rules that changed the text
    ]
)


def tokens_schema(vocabulary_size: int, *, with_words: bool = True, with_entities: bool = True) -> pa.Schema:
    """Schema of tokens shards: one row a document, without special tokens.

    Args:
        vocabulary_size: entries.
        with_words: whether a segmenter found words; without one a word begins at each token but `##` pieces.
        with_entities: whether there are lexicons.
    """
    words = [("word_starts", pa.list_(pa.bool_()))]  # true where a word begins; as long as input_ids
    entities = [
        ("entity_starts", pa.list_(pa.int32())),  # first token of each entity, ascending, no overlap
        ("entity_lengths", pa.list_(pa.int32())),  # tokens
        ("entity_lexicons", pa.list_(pa.int8())),  # index into the recipe's lexicons
    ]
    return pa.schema(
        [
            ("doc_id", pa.uint64()),
            ("input_ids", pa.list_(token_type(vocabulary_size))),
            ("sentence_lengths", pa.list_(pa.int32())),  # tokens of each sentence; they add up to the row
            *(words if with_words else []),
            *(entities if with_entities else []),
        ]
    )


NEXT, RANDOM, NO_PAIR = 0, 1, -100
"""`next_sentence_label`: 0 = B follows A, 1 = B is random, as in transformers; -100 = no pair, ignored by the loss."""
SWAPPED = RANDOM
"""Under sop 1 says that A follows B: both are of one document, which tells such a pair from a random one."""


SOURCES = pa.schema(
    [
        ("doc_id", pa.uint64()),
        ("num_tokens", pa.uint32()),
    ]
)
"""The documents that examples come from, in the order in which `first_a` and `first_b` count their tokens."""


def examples_schema(
    vocabulary_size: int, *, with_words: bool = True, with_entities: bool = True, num_tokens: int = 0
) -> pa.Schema:
    """Schema of pretraining examples: unmasked, unpadded, `[CLS] A [SEP] B [SEP]` or `[CLS] A [SEP]`.

    Args:
        vocabulary_size: entries.
        with_words: as in `tokens_schema`; without words the schema's metadata say which entries are `##` pieces.
        with_entities: as in `tokens_schema`.
        num_tokens: of all documents together; places are wider from 2**32 on.
    """
    place = pa.uint32() if num_tokens < 1 << 32 else pa.uint64()
    words = [("word_starts", pa.list_(pa.bool_()))]  # as long as input_ids; true at special tokens
    entities = [
        ("entity_starts", pa.list_(pa.uint16())),  # positions in input_ids
        ("entity_lengths", pa.list_(pa.uint16())),
    ]
    return pa.schema(
        [
            ("input_ids", pa.list_(token_type(vocabulary_size))),
            ("length_a", pa.uint16()),  # tokens of A; segment 0 is [CLS] A [SEP], length_a + 2 tokens
            ("next_sentence_label", pa.int8()),
            ("round", pa.uint8()),  # pairing round
            ("first_a", place),  # first token of A, counted through all documents of `SOURCES`
            ("first_b", place),  # that of B; that of A where there is no pair
            *(words if with_words else []),
            *(entities if with_entities else []),
        ]
    )


RECORDS = pa.schema(
    [
        ("record_id", pa.uint64()),  # digest of the record's normalised text, or two texts
        ("text", pa.string()),  # extractive_qa: the question
        ("text_pair", pa.string()),  # sentence_pair: the second text; extractive_qa: the context; otherwise null
        ("label", pa.string()),  # single_sentence, sentence_pair: the class; otherwise null
        ("span_starts", pa.list_(pa.int32())),  # sequence_labelling: first character of each entity
        ("span_ends", pa.list_(pa.int32())),  # one past its last character
        ("span_labels", pa.list_(pa.string())),
        ("answer_starts", pa.list_(pa.int32())),  # extractive_qa: first character of each answer in text_pair
        ("answer_texts", pa.list_(pa.string())),
        ("key", pa.string()),  # id that the file gives the record; empty where it has none
        ("file", pa.dictionary(pa.int32(), pa.string())),
        ("line", pa.uint32()),
    ]
)
"""Labelled records, before tokens: `train`, `dev` and `test` shards of a task's split."""


def labelled_schema(vocabulary_size: int) -> pa.Schema:
    """Schema of labelled examples: tokens with the label in its family's form, offsets back into the text."""
    return pa.schema(
        [
            ("example_id", pa.uint64()),
            ("record_id", pa.uint64()),  # several windows of a long text share it
            ("input_ids", pa.list_(token_type(vocabulary_size))),  # with special tokens
            ("length_a", pa.int32()),
            ("label", pa.int32()),  # single_sentence, sentence_pair: index into labels; otherwise -100
            ("token_labels", pa.list_(pa.int32())),  # sequence_labelling: tag index, -100 = not scored
            ("char_starts", pa.list_(pa.int32())),  # character range of each token; -1 at special tokens
            ("char_ends", pa.list_(pa.int32())),
            ("text", pa.string()),
            ("text_pair", pa.string()),  # sentence_pair: the second text; extractive_qa: the context; otherwise null
        ]
    )


def questions_schema(vocabulary_size: int) -> pa.Schema:
    """Schema of labelled examples of extractive_qa: a question with a window of its context."""
    columns = [
        ("answer_first", pa.int32()),  # position in input_ids of the answer's first token; 0 where it is not in here
        ("answer_last", pa.int32()),  # of its last token; 0 as well
        ("scored_start", pa.int32()),  # positions in input_ids where an answer may begin: here they have most context
        ("scored_end", pa.int32()),  # one past them
        ("answers", pa.list_(pa.string())),  # all that are right; none where the question has no answer
        ("key", pa.string()),  # id that the file gives the question
    ]
    schema = labelled_schema(vocabulary_size)
    for name, kind in columns:
        schema = schema.append(pa.field(name, kind))
    return schema
