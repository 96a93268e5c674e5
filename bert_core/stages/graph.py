"""The graph of a recipe: its stages, what each reads of the recipe, and which stage feeds which.

    split/TASK ----------------+----------------> labelled/TASK --------------------+
                               v                      ^                             v
    slices/CORPUS --> documents/CORPUS --> tokens/CORPUS --> examples/STAGE --> STAGE --> fine_tune/TASK
                               +--> vocabulary --^

A stage is a value: kind, code version, the settings it reads, digests of raw files, and parents by role. Nothing is
built here and nothing but raw files is read. To add a kind of stage: describe it here, build it in `build.py`.

`CODE_VERSIONS` is raised by hand when a change of code changes the bytes that a kind of stage writes; outputs of the
old version are then rebuilt, and the plan says "code version 1 -> 2".
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from bert_core.config import CorpusConfig, ModelConfig, Recipe, TaskConfig, TransferConfig
from bert_core.corpus.paths import find_file, resolve_paths
from bert_core.corpus.slices import Slice, plan_slices
from bert_core.errors import RecipeError, RequestError
from bert_core.store.fingerprint import canonical_json, digest_of_file

CODE_VERSIONS = {
    "split": 3,
    "slice": 2,
    "documents": 3,
    "vocabulary": 1,
    "tokens": 3,
    "examples": 4,
    "transfer": 4,
    "labelled": 2,
    "fine_tune": 3,
    "tfidf": 1,
    "majority": 1,
    "overlap": 1,
}
REFERENCES = ("tfidf", "majority", "overlap")
"""Kinds of stages that score a task beside its models and have no weights."""

TASK_TEXTS = "task_transfer"
"""Name of the corpus that is made of the tasks' training texts."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One step of the line."""

    id: str
    """Unique in the recipe: `tokens/reviews`."""
    kind: str
    """Folder in the store and key of `CODE_VERSIONS`."""
    settings: dict[str, Any]
    """The part of the recipe that the output depends on, as plain JSON values."""
    raw: dict[str, str] = field(default_factory=dict)
    """Digests of raw inputs by name."""
    parents: dict[str, str] = field(default_factory=dict)
    """Stage ids by the role that their output plays."""
    pieces: tuple["Stage", ...] = ()
    """For a group of slices: its members, each with an output of its own."""
    source: Any = None
    """What the builder needs beside the settings and does not name the output (a path on this machine)."""
    prefix: str = ""
    """What a study puts before the id of a stage that the recipe's own line lacks: `study/T+D/`."""
    recipe: Recipe | None = field(default=None, compare=False, repr=False)
    """The settings that its builder reads where a study varies them; None for those of the line."""

    @property
    def own_id(self) -> str:
        """The id that the stage has in a line of its own: `domain_transfer` for `study/T+D/domain_transfer`."""
        return self.id.removeprefix(self.prefix)

    @property
    def pool(self) -> Literal["data", "training"]:
        """Work pool that the stage belongs to."""
        return "training" if self.kind in ("transfer", "fine_tune") else "data"


def build_graph(recipe: Recipe, base: Path) -> dict[str, Stage]:
    """Describe every stage of a recipe, parents before children.

    Args:
        recipe: checked settings.
        base: folder that relative paths of the recipe start from.

    Raises:
        RequestError: a raw file or a starting model is missing.
    """
    stages = build_transfers(recipe, base, list(recipe.transfers()), RawFiles(base))
    for name, task in recipe.tasks.items():
        for stage in _fine_tunes(recipe, name, task, base):
            stages[stage.id] = stage
    return stages


def build_transfers(recipe: Recipe, base: Path, chain: Sequence[str], raw_files: "RawFiles") -> dict[str, Stage]:
    """Describe the stages of a recipe up to its transfers and labelled examples, parents before children.

    Args:
        recipe: checked settings.
        base: folder that relative paths of the recipe start from.
        chain: names of the transfers, each of which starts from the one before it.
        raw_files: what is known of the raw files.

    Raises:
        RequestError: a raw file or a starting model is missing.
    """
    stages: dict[str, Stage] = {}

    def add(stage: Stage) -> None:
        stages[stage.id] = stage

    for name, task in recipe.tasks.items():
        add(_split(recipe, name, task, raw_files))
    held_out = {f"held_out_{name}": f"split/{name}" for name in recipe.tasks}
    for name, corpus in recipe.corpora.items():
        add(_slices(name, corpus, raw_files))
        add(
            Stage(
                id=f"documents/{name}",
                kind="documents",
                settings={"corpus": _without(corpus.plain(), "paths")},
                parents={"slices": f"slices/{name}", **held_out},
            )
        )
    task_transfer = recipe.task_transfer
    if task_transfer is not None:
        add(
            Stage(
                id=f"documents/{TASK_TEXTS}",
                kind="documents",
                settings={"records": True},
                parents={f"split_{name}": f"split/{name}" for name in task_transfer.tasks} | held_out,
            )
        )
    add(_vocabulary(recipe, base))
    for name in _corpora_in_use(recipe):
        add(_tokens(recipe, name, base))
    before: str | None = None
    transfers = recipe.transfers()
    for name in chain:
        transfer = transfers[name]
        for stage in _examples(recipe, name, transfer):
            add(stage)
        add(_transfer(recipe, name, transfer, before, base))
        before = name
    for name, task in recipe.tasks.items():
        add(_labelled(recipe, name, task, base))
    return stages


class RawFiles:
    """Digests and slices of raw files, each looked at once for all graphs that are built with it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self._digests: dict[Path, str] = {}
        self._slices: dict[str, list[Slice]] = {}

    def digest(self, path: Path) -> str:
        """Return the sha256 of a file, 64 hexadecimal digits."""
        if path not in self._digests:
            self._digests[path] = digest_of_file(path)
        return self._digests[path]

    def slices(self, corpus: CorpusConfig) -> list[Slice]:
        """Return the slices of a corpus."""
        key = canonical_json(corpus.plain())
        if key not in self._slices:
            self._slices[key] = plan_slices(corpus, self.base)
        return self._slices[key]


def _split(recipe: Recipe, name: str, task: TaskConfig, raw_files: RawFiles) -> Stage:
    part = task.plain()
    keys = ("family", "sources", "labels", "dev_fraction", "test_fraction", "max_test_examples")
    files = [file for source in task.sources for file in resolve_paths([source.path], raw_files.base)]
    return Stage(
        id=f"split/{name}",
        kind="split",
        settings={key: part[key] for key in keys} | {"seed": recipe.seed},
        raw={file.name: raw_files.digest(file.path) for file in files},
        source=name,
    )


def _slices(name: str, corpus: CorpusConfig, raw_files: RawFiles) -> Stage:
    settings = _without(corpus.plain(), "paths", "deduplicate", "near_similarity")
    if corpus.script == "simplified":
        settings["opencc"] = version("opencc")
    pieces = [
        Stage(
            id=f"slices/{name}/{number:04d}",
            kind="slice",
            settings={"corpus": settings, "file": piece.file.name, **_position(piece)},
            raw={f"{piece.file.name}#{piece.index}": piece.digest},
            source=piece,
        )
        for number, piece in enumerate(raw_files.slices(corpus))
    ]
    return Stage(id=f"slices/{name}", kind="slices", settings={}, pieces=tuple(pieces))


def _position(piece: Slice) -> dict[str, int]:
    """Where a slice lies in its file; its length is a matter of its digest."""
    return {"index": piece.index, "start": piece.start, "first_line": piece.first_line}


def _vocabulary(recipe: Recipe, base: Path) -> Stage:
    config = recipe.vocabulary
    path = Path(config.path) if config.path else None
    start = _start_folder(recipe.model, base)
    if path is None and start is not None:
        path = start / "vocab.txt"
    if path is not None:
        path = base / path
        if not path.is_file():
            raise RequestError(f"vocabulary {str(path)!r} does not exist; name a vocab.txt or leave it to be trained")
        growth = config.growth
        return Stage(
            id="vocabulary",
            kind="vocabulary",
            settings={"lowercase": config.lowercase, "strip_accents": config.strip_accents}
            | ({"growth": _without(growth.plain(), "corpora")} if growth is not None else {}),
            raw={"vocab.txt": digest_of_file(path)},
            parents={f"documents_{name}": f"documents/{name}" for name in (growth.corpora if growth else [])},
            source=path,
        )
    if config.growth is not None:
        raise RequestError(
            f"vocabulary.growth: the vocabulary of model.start {recipe.model.start!r} is not here; "
            "name its vocab.txt in vocabulary.path"
        )
    corpora = config.corpora or list(recipe.corpora)
    return Stage(
        id="vocabulary",
        kind="vocabulary",
        settings={"size": config.size, "lowercase": config.lowercase, "strip_accents": config.strip_accents},
        parents={f"documents_{name}": f"documents/{name}" for name in corpora},
    )


def _tokens(recipe: Recipe, name: str, base: Path) -> Stage:
    from bert_core.tokens.words import segmenter_digest

    lexicons = resolve_paths(recipe.words.lexicons, base) if recipe.words.lexicons else []
    return Stage(
        id=f"tokens/{name}",
        kind="tokens",
        settings={
            "segmenter": recipe.words.segmenter,
            "segmenter_digest": segmenter_digest(recipe.words.segmenter),
            "lexicons": [file.name for file in lexicons],
        },
        raw={file.name: digest_of_file(file.path) for file in lexicons},
        parents={"documents": f"documents/{name}", "vocabulary": "vocabulary"},
        source=tuple(file.path for file in lexicons),
    )


def _examples(recipe: Recipe, name: str, transfer: TransferConfig) -> list[Stage]:
    """The examples of a stage, and those of its long phase where it has one."""
    corpus = TASK_TEXTS if name == "task_transfer" else str(transfer.corpus)
    configs = {f"examples/{name}": transfer.examples}
    if transfer.long_phase is not None:
        configs[f"examples/{name}/long"] = transfer.long_examples()
    return [
        Stage(
            id=stage_id,
            kind="examples",
            settings={"examples": config.plain(), "seed": recipe.seed},
            parents={"tokens": f"tokens/{corpus}", "vocabulary": "vocabulary"},
            source=config,
        )
        for stage_id, config in configs.items()
    ]


def _transfer(recipe: Recipe, name: str, transfer: TransferConfig, before: str | None, base: Path) -> Stage:
    parents = {"examples": f"examples/{name}", "vocabulary": "vocabulary"}
    if transfer.long_phase is not None:
        parents["long_examples"] = f"examples/{name}/long"
    raw: dict[str, str] = {}
    start: Path | str | None = None
    settings = {
        "transfer": _without(transfer.plain(), "corpus", "tasks", "examples", "save_every_steps", "keep_checkpoints"),
        "seed": recipe.seed,
    }
    masking = settings["transfer"]["masking"]
    del masking["thesaurus"]
    if transfer.masking.thesaurus is not None:
        file = find_file(transfer.masking.thesaurus, base, "masking.thesaurus")
        masking["thesaurus"] = file.name
        raw = {f"thesaurus/{file.name}": digest_of_file(file.path)}
    if before is not None:
        parents["start"] = before
        settings["model"] = {"dropout": recipe.model.dropout}
    else:
        start, digests = _model_start(recipe.model, base)
        settings["model"] = _model_settings(recipe)
        raw |= digests
    return Stage(id=name, kind="transfer", settings=settings, raw=raw, parents=parents, source=start)


def _labelled(recipe: Recipe, name: str, task: TaskConfig, base: Path) -> Stage:
    settings = {
        "family": task.family,
        "labels": task.labels,
        "max_train_examples": task.max_train_examples,
        "max_tokens": task.fine_tune.max_tokens,
        "tags": task.fine_tune.tags,
        "seed": recipe.seed,
    }
    if task.family == "extractive_qa":
        answers = task.fine_tune.answers
        settings |= {"max_question_tokens": answers.max_question_tokens, "stride_tokens": answers.stride_tokens}
    augmentation, raw, thesaurus = _augmentation(recipe, name, task, base)
    return Stage(
        id=f"labelled/{name}",
        kind="labelled",
        settings=settings | augmentation,
        raw=raw,
        parents={"split": f"split/{name}", "vocabulary": "vocabulary"},
        source=(name, thesaurus),
    )


def _augmentation(
    recipe: Recipe, name: str, task: TaskConfig, base: Path
) -> tuple[dict[str, Any], dict[str, str], Path | None]:
    """What augmentation adds to the settings and raw files of labelled examples, and its thesaurus; nothing if off."""
    from bert_core.tokens.words import segmenter_digest

    config = task.augmentation
    if not config.copies:
        return {}, {}, None
    settings = _without(config.plain(), "thesaurus") | {"segmenter": segmenter_digest(recipe.words.segmenter)}
    if config.thesaurus is None:
        return {"augmentation": settings}, {}, None
    file = find_file(config.thesaurus, base, f"tasks.{name}.augmentation.thesaurus")
    settings["thesaurus"] = file.name
    return {"augmentation": settings}, {f"thesaurus/{file.name}": digest_of_file(file.path)}, file.path


def _fine_tunes(recipe: Recipe, name: str, task: TaskConfig, base: Path) -> list[Stage]:
    """The task's own fine-tuning first, then its references."""
    chain = starting_point(recipe, task.start)
    stages = [fine_tune_stage(recipe, name, f"fine_tune/{name}", chain, recipe.seed, base)]
    for reference in task.compare:
        stage_id = f"fine_tune/{name}/{reference if reference in REFERENCES else f'from_{reference}'}"
        if reference in REFERENCES:
            settings: dict[str, Any] = {"labels": task.labels}
            if reference == "tfidf":
                settings["seed"] = recipe.seed
            if reference == "overlap":
                settings = {"scoring": task.fine_tune.answers.scoring}
            stages.append(
                Stage(
                    id=stage_id,
                    kind=reference,
                    settings=settings,
                    parents={"labelled": f"labelled/{name}"},
                    source=name,
                )
            )
        else:
            start = reference if reference == "random" else starting_point(recipe, reference)
            if start != chain:
                stages.append(fine_tune_stage(recipe, name, stage_id, start, recipe.seed, base))
    return stages


def starting_point(recipe: Recipe, wanted: str) -> str:
    """Return the stage whose checkpoint stands for `wanted`: itself, else the last before it, else `model`."""
    order = ["pretrain", "domain_transfer", "task_transfer"]
    if wanted == "random":
        return wanted
    earlier = [stage for stage in order[: order.index(wanted) + 1] if stage in recipe.transfers()]
    return earlier[-1] if earlier else "model"


def fine_tune_stage(recipe: Recipe, name: str, stage_id: str, start: str, seed: int, base: Path) -> Stage:
    """Describe a fine-tuning.

    Args:
        recipe: checked settings.
        name: of the task.
        stage_id: of the stage.
        start: id of a transfer stage, `model` for the recipe's starting model, `random` for random weights.
        seed: draws the head, random weights, the order of the examples and dropout.
        base: folder that relative paths of the recipe start from.
    """
    task = recipe.tasks[name]
    fine_tune, of_tricks = _fine_tune_settings(name, task, base)
    settings = {
        "family": task.family,
        "labels": task.labels,
        "fine_tune": fine_tune,
        "model": {"dropout": recipe.model.dropout},
        "seed": seed,
        "random_weights": start == "random",
    }
    parents = {"labelled": f"labelled/{name}", "vocabulary": "vocabulary"}
    raw: dict[str, str] = {}
    source: Path | str | None = None
    if start in ("random", "model"):
        source, raw = _model_start(recipe.model, base)
        settings["model"] = _model_settings(recipe)
        if start == "random":  # only the sizes of the starting model are read
            raw = {key: digest for key, digest in raw.items() if key.endswith("config.json")}
    else:
        parents["start"] = start
    return Stage(
        id=stage_id,
        kind="fine_tune",
        settings=settings,
        raw=raw | of_tricks,
        parents=parents,
        source=(name, source),
    )


def _fine_tune_settings(name: str, task: TaskConfig, base: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The settings that a fine-tuning reads, without the parts that are off, and the digests of the files they name."""
    config = task.fine_tune
    settings, raw = config.plain(), {}
    if not config.distillation.is_on:
        del settings["distillation"]
    elif config.distillation.path is not None:
        del settings["distillation"]["path"]
        raw = _teacher_digests(base / config.distillation.path, f"tasks.{name}.fine_tune.distillation.path")
    if config.knowledge.triples is None:
        del settings["knowledge"]
    else:
        file = find_file(config.knowledge.triples, base, f"tasks.{name}.fine_tune.knowledge.triples")
        settings["knowledge"]["triples"] = file.name
        raw[f"triples/{file.name}"] = digest_of_file(file.path)
    return settings, raw


def _teacher_digests(folder: Path, setting: str) -> dict[str, str]:
    """Digest what a teacher is read from."""
    names = ("config.json", "model.safetensors", "vocab.txt")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise RequestError(
            f"{setting} {str(folder)!r} lacks {', '.join(missing)}; expected a fine-tuned model's folder"
        )
    return {f"teacher/{name}": digest_of_file(folder / name) for name in names}


def _model_settings(recipe: Recipe) -> dict[str, Any]:
    """Sizes count for random weights only; a starting model brings its own."""
    part = recipe.model.plain()
    return {"dropout": part["dropout"]} if recipe.model.start else _without(part, "start")


def _start_folder(model: ModelConfig, base: Path) -> Path | None:
    """The folder of `model.start`; None for random weights and for a hub name."""
    if model.start is None:
        return None
    folder = base / model.start
    if folder.is_dir():
        return folder
    if model.start.count("/") <= 1 and not model.start.startswith((".", "/", "~")) and not folder.parent.is_dir():
        return None
    raise RequestError(
        f"model.start {model.start!r} is no folder; expected a transformers BERT folder or a hub name such as "
        "'google-bert/bert-base-chinese'"
    )


def _model_start(model: ModelConfig, base: Path) -> tuple[Path | str | None, dict[str, str]]:
    """Where the first weights come from, and the digests that stand for them."""
    folder = _start_folder(model, base)
    if folder is None:
        return model.start, ({f"hub/{model.start}": "latest"} if model.start else {})
    names = ("config.json", "model.safetensors")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise RequestError(f"model.start {str(folder)!r} lacks {', '.join(missing)}; expected a transformers folder")
    return folder, {f"start/{name}": digest_of_file(folder / name) for name in names}


def _corpora_in_use(recipe: Recipe) -> list[str]:
    names = [
        TASK_TEXTS if stage == "task_transfer" else str(transfer.corpus)
        for stage, transfer in recipe.transfers().items()
    ]
    return list(dict.fromkeys(names))


def _without(part: dict[str, Any], *keys: str) -> dict[str, Any]:
    unknown = [key for key in keys if key not in part]
    if unknown:
        raise RecipeError(f"settings {unknown} do not exist in {sorted(part)}")
    return {key: value for key, value in part.items() if key not in keys}
