"""A fine-tuned model applied to new texts: a class for each, the entities in each, or answers to questions about them.

A text takes the way that training texts took: cleaned with the rules of `corpus/clean.py`, tokenized with the
vocabulary in the model's folder, cut to its head (classes) or into overlapping windows (entities). The numbers are
those by which the model was scored. Offsets of entities are into the cleaned text, which is returned beside them.

Not here: reading files, printing (`bertline predict`), and training.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bert_core.config import CorpusConfig
from bert_core.config.tasks import TagScheme
from bert_core.corpus.clean import clean
from bert_core.corpus.tag_schemes import to_bio
from bert_core.errors import CheckpointError
from bert_core.examples.knowledge import Knowledge
from bert_core.examples.labelled import NUM_SPECIAL_TOKENS
from bert_core.examples.questions import question_inputs
from bert_core.examples.text_pairs import pair_inputs
from bert_core.examples.windows import Windows, cut_windows, heads
from bert_core.model.heads import (
    BertForExtractiveQA,
    BertForSequenceLabelling,
    BertForSingleSentence,
    FineTuned,
    load_fine_tuned,
)
from bert_core.tokens.tokenizer import WordPieceTokenizer
from bert_core.training.answers import merge_windows, readable_answers
from bert_core.training.device import choose_device
from bert_core.training.inference import predict_classes, predict_spans, predict_tags
from bert_core.training.labelled_batches import (
    IGNORED,
    LabelledExamples,
    QuestionColumns,
    hang_triples,
    scored_tokens,
)
from bert_core.training.scoring import readable_entities

_CLEANING = CorpusConfig(paths=["-"])
"""The rules that labelled records pass: the defaults of a corpus."""


class Predictor:
    """A fine-tuned model with its tokenizer, ready for texts."""

    def __init__(self, fine_tuned: FineTuned, tokenizer: WordPieceTokenizer) -> None:
        self.family = fine_tuned.model.family
        self.labels = fine_tuned.labels
        self.max_tokens = fine_tuned.max_tokens
        self._scheme: TagScheme = fine_tuned.tags
        self._answers = fine_tuned.answers
        self._model = fine_tuned.model
        self._tokenizer = tokenizer
        self._knowledge = None
        if fine_tuned.knowledge is not None:
            self._knowledge = Knowledge(fine_tuned.knowledge, tokenizer, fine_tuned.max_triples)
        self._device = choose_device("float32")
        self._model.to(self._device.device)

    @classmethod
    def load(cls, model_folder: Path) -> "Predictor":
        """Read a model folder that fine-tuning wrote.

        Raises:
            CheckpointError: it is no fine-tuned BERT, or its vocabulary is of another size than its model.
            RequestError: it holds no vocabulary.
        """
        fine_tuned = load_fine_tuned(Path(model_folder))
        tokenizer = WordPieceTokenizer.from_folder(Path(model_folder))
        if tokenizer.vocabulary_size > fine_tuned.model.config.vocab_size:
            raise CheckpointError(
                f"{model_folder}: a vocabulary of {tokenizer.vocabulary_size} entries, expected at most the "
                f"{fine_tuned.model.config.vocab_size} of config.json; the folder's files do not belong together"
            )
        return cls(fine_tuned, tokenizer)

    def predict_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """Say of each pair what class it is of; for a model of the family sentence_pair.

        Example: `predict_pairs([("几点开门？", "什么时候开门？")])` -> `[{"text": "几点开门？", "text_pair":
        "什么时候开门？", "label": "same", "probability": 0.97, "probabilities": {...}}]`, both texts cleaned.
        """
        cleaned = [(clean(text, _CLEANING)[0], clean(second, _CLEANING)[0]) for text, second in pairs]
        if not cleaned:
            return []
        texts, texts_pair = zip(*cleaned, strict=True)
        inputs = pair_inputs(self._tokenizer, texts, texts_pair, self.max_tokens)
        examples = LabelledExamples(
            input_ids=inputs.ids.astype(np.int64),
            offsets=inputs.offsets,
            length_a=inputs.length_a,
            labels=np.zeros(len(cleaned), np.int64),
            token_labels=np.zeros(0, np.int64),
            char_starts=inputs.char_starts,
            char_ends=inputs.char_ends,
            record_ids=np.arange(len(cleaned), dtype=np.uint64),
            texts=texts,
            texts_pair=texts_pair,
        )
        examples = self._with_triples(examples)
        assert isinstance(self._model, BertForSingleSentence), self.family
        table = predict_classes(self._model, examples, self._device, pad_id=self._tokenizer.pad_id).tolist()
        found = [self._class_of(text, values) for text, values in zip(texts, table, strict=True)]
        return [
            {"text": one["text"], "text_pair": second, **one} for one, second in zip(found, texts_pair, strict=True)
        ]

    def predict_answers(self, questions: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        """Answer questions about contexts; for a model of the family extractive_qa.

        Example: `predict_answers([("谁在京？", "张伟在京。")])` -> `[{"text": "谁在京？", "text_pair": "张伟在京。",
        "answer": "张伟", "start": 0, "end": 2, "probability": 0.8, "best": [...]}]`, both texts cleaned; `answer` is
        the empty text and `start` -1 where the model gives none.

        Args:
            questions: question and context, of any length; an answer is sought everywhere in the context.
        """
        if not questions:
            return []
        assert isinstance(self._model, BertForExtractiveQA), self.family
        pairs = [(clean(text, _CLEANING)[0], clean(context, _CLEANING)[0]) for text, context in questions]
        asked, contexts = zip(*pairs, strict=True)
        inputs = question_inputs(self._tokenizer, asked, contexts, self.max_tokens, self._answers)
        rows = inputs.windows.rows
        examples = LabelledExamples(
            input_ids=inputs.ids.astype(np.int64),
            offsets=inputs.offsets,
            length_a=inputs.length_a,
            labels=np.zeros((len(rows), 2), np.int64),
            token_labels=np.zeros(0, np.int64),
            char_starts=inputs.char_starts,
            char_ends=inputs.char_ends,
            record_ids=rows.astype(np.uint64),
            texts=pa.array(asked).take(pa.array(rows)),
            texts_pair=pa.array(contexts).take(pa.array(rows)),
            questions=QuestionColumns(
                scored_starts=inputs.scored_starts,
                scored_ends=inputs.scored_ends,
                answers=[[]] * len(rows),
                keys=[""] * len(rows),
            ),
        )
        spans = predict_spans(self._model, examples, self._device, pad_id=self._tokenizer.pad_id, config=self._answers)
        answers = merge_windows(examples.record_ids, spans)
        threshold = self._answers.no_answer_threshold
        return readable_answers(examples, spans, answers, threshold, num_best=self._answers.num_best)

    def predict(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Say of each text what class it is of, or which entities it holds.

        Example: `predict(["很好"])` of a classifier -> `[{"text": "很好", "label": "positive", "probability": 0.97,
        "probabilities": {"negative": 0.03, "positive": 0.97}}]`; `predict(["张伟在京"])` of a tagger ->
        `[{"text": "张伟在京", "entities": [{"text": "张伟", "type": "nr", "start": 0, "end": 2}, ...]}]`.

        Args:
            texts: of any length; classes go by the first `max_tokens` tokens, entities are sought everywhere.

        Returns:
            One value a text, in order; `text` is the cleaned text, `start` and `end` (exclusive) its characters.
        """
        cleaned = [clean(text, _CLEANING)[0] for text in texts]
        if not cleaned:
            return []
        examples, rows = self._examples(cleaned)
        examples = self._with_triples(examples)
        if isinstance(self._model, BertForSingleSentence):
            table = predict_classes(self._model, examples, self._device, pad_id=self._tokenizer.pad_id)
            return [self._class_of(text, values) for text, values in zip(cleaned, table.tolist(), strict=True)]
        assert isinstance(self._model, BertForSequenceLabelling), self.family
        tags = predict_tags(self._model, examples, self._device, pad_id=self._tokenizer.pad_id).tags
        tokens, offsets = scored_tokens(examples)
        example_of_record = np.searchsorted(examples.offsets, tokens[offsets[:-1]], side="right") - 1
        text_of_record = rows[example_of_record].tolist()  # a text without tokens is no record
        found = readable_entities(
            to_bio(tags[tokens], offsets, self._scheme),
            offsets,
            examples.char_starts[tokens],
            examples.char_ends[tokens],
            [cleaned[index] for index in text_of_record],
            self.labels,
        )
        entities = dict(zip(text_of_record, found, strict=True))
        return [{"text": text, "entities": entities.get(index, [])} for index, text in enumerate(cleaned)]

    def _class_of(self, text: str, probabilities: list[float]) -> dict[str, Any]:
        rounded = {label: round(value, 6) for label, value in zip(self.labels, probabilities, strict=True)}
        best = self.labels[int(np.argmax(probabilities))]
        return {"text": text, "label": best, "probability": rounded[best], "probabilities": rounded}

    def _examples(self, texts: list[str]) -> tuple[LabelledExamples, np.ndarray]:
        """Return the texts as unlabelled examples, and the text of each."""
        found = self._tokenizer.encode(texts)
        num_tokens = np.diff(found.row_offsets)
        windows = self._windows(num_tokens)
        sizes = windows.ends - windows.starts
        offsets = np.concatenate(([0], np.cumsum(sizes + NUM_SPECIAL_TOKENS)))
        example_of = np.repeat(np.arange(len(sizes)), sizes)
        position = np.arange(sizes.sum()) - (np.cumsum(sizes) - sizes)[example_of] + windows.starts[example_of]
        source = found.row_offsets[windows.rows][example_of] + position
        inside = (offsets[:-1] + 1 - windows.starts)[example_of] + position
        input_ids = np.empty(offsets[-1], np.int64)
        input_ids[offsets[:-1]], input_ids[offsets[1:] - 1] = self._tokenizer.cls_id, self._tokenizer.sep_id
        input_ids[inside] = found.ids[source]
        char_starts, char_ends = np.full((2, len(input_ids)), -1, np.int64)
        char_starts[inside], char_ends[inside] = found.char_starts[source], found.char_ends[source]
        token_labels = np.full(len(input_ids), IGNORED, np.int64)
        is_scored = position >= windows.scored_starts[example_of]
        is_scored &= position < windows.scored_ends[example_of]
        token_labels[inside[is_scored]] = 0  # any tag: it only says where the tags are read
        examples = LabelledExamples(
            input_ids=input_ids,
            offsets=offsets,
            length_a=sizes,
            labels=np.zeros(len(sizes), np.int64),
            token_labels=token_labels,
            char_starts=char_starts,
            char_ends=char_ends,
            record_ids=windows.rows.astype(np.uint64),
            texts=[texts[row] for row in windows.rows.tolist()],
        )
        return examples, windows.rows

    def _with_triples(self, examples: LabelledExamples) -> LabelledExamples:
        if self._knowledge is None:
            return examples
        return hang_triples(examples, self._knowledge, self.max_tokens)

    def _windows(self, num_tokens: np.ndarray) -> Windows:
        """Cut tagged texts into windows; keep the head of the others."""
        room = self.max_tokens - NUM_SPECIAL_TOKENS
        if self.family == "sequence_labelling":
            return cut_windows(num_tokens, room)
        return heads(num_tokens, room)
