"""Write the two tables of a finished run into README.md and README.zh-CN.md, between their result markers.

    python docs/fill_results.py [RECIPE] [--machine "2 CPU cores, no GPU"] [--machine-zh "2 个 CPU 核"]

The tables are read from the sealed manifests of the recipe's workspace (`bert_core/report/tables.py`), the same
numbers as `bertline run` prints and the report shows. A run with a stage that does not stand is refused, so that a
table never mixes two runs.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from bert_core.errors import BertlineError
from bert_core.report.formats import duration
from bert_core.report.scores import ScoreRow, score_rows
from bert_core.report.tables import StageRow, markdown_table
from bert_core.stages.line import LineRequest, open_line
from flows.terminal import manifests_of, rows_of

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- result:begin -->", "<!-- result:end -->"
READMES = {"README.md": "en", "README.zh-CN.md": "zh"}

_CHINESE = {
    "stage": "阶段",
    "rows": "行数",
    "steps": "步数",
    "loss": "损失",
    "MLM accuracy": "MLM 准确率",
    "NSP accuracy": "NSP 准确率",
    "time": "耗时",
    "size": "大小",
    "task": "任务",
    "starts from": "起点",
    "accuracy": "准确率",
    "macro F1": "宏平均 F1",
    "MCC": "MCC",
    "entity F1": "实体 F1",
    "precision": "精确率",
    "recall": "召回率",
    "answer F1": "答案 F1",
    "exact match": "完全匹配",
    "test examples": "测试样本",
}
_NOTES = {
    "en": "{num_stages} stages, {time} of building added up{machine}. ★ marks the best of a task.",
    "zh": "共 {num_stages} 个阶段，各阶段耗时合计 {time}{machine}。★ 为该任务的最好成绩。",
}


def result_text(scores: Sequence[ScoreRow], stages: Sequence[StageRow], language: str, machine: str = "") -> str:
    """Return the tables of scores and stages, with one line about the run.

    Args:
        scores: of the fine-tuned models and references of a finished run.
        stages: what each stage made, parents first.
        language: `en` or `zh`.
        machine: what it ran on, in words; empty to leave it out.
    """
    tables = [markdown_table(scores), markdown_table(stages)]
    if language == "zh":
        tables = [_in_chinese(table) for table in tables]
    where = {"en": f", on {machine}", "zh": f"（{machine}）"}[language] if machine else ""
    time = duration(sum(row.seconds for row in stages))
    if language == "zh":
        time = _chinese_times(time)
    note = _NOTES[language].format(num_stages=len(stages), time=time, machine=where)
    return "\n".join([*(table for table in tables if table), note]) + "\n"


def fill(text: str, result: str) -> str:
    """Put a result between the markers of a page.

    Raises:
        ValueError: the page has not the two markers, once each and in order.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"expected {BEGIN!r} and then {END!r}, once each")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{result}{END}{after}"


def _in_chinese(table: str) -> str:
    """Put the headings and words of a table into Chinese; numbers and ids stay."""
    first, *rest = table.splitlines(keepends=True)
    cells = [_CHINESE.get(cell.strip(), cell.strip()) for cell in first.strip().strip("|").split("|")]
    body = "".join(rest).replace("(this run)", "（本次）")
    return f"| {' | '.join(cells)} |\n{_chinese_times(body)}"


def _chinese_times(text: str) -> str:
    return re.sub(r"(\d) min\b", r"\1 分", re.sub(r"(\d) s\b", r"\1 秒", text))


def main() -> None:
    """Fill both pages from the workspace of a recipe."""
    parser = argparse.ArgumentParser(description="Write the tables of a finished run into the two READMEs.")
    parser.add_argument("recipe", nargs="?", default="recipes/demo.yaml", help="path of the recipe that was run")
    parser.add_argument("--machine", default="", help="what it ran on, in English words")
    parser.add_argument("--machine-zh", default="", help="the same in Chinese words")
    arguments = parser.parse_args()
    try:
        line = open_line(LineRequest(recipe=arguments.recipe))
    except BertlineError as error:
        sys.exit(str(error))
    found = manifests_of(line)
    missing = [stage.id for stage in line.stages.values() if stage.kind != "slices" and stage.id not in found]
    if missing:
        sys.exit(f"{arguments.recipe}: {', '.join(missing)} do not stand; run `bertline run {arguments.recipe}` first")
    scores, stages = score_rows(list(found.values())), rows_of(line)
    for name, language in READMES.items():
        path = ROOT / name
        machine = arguments.machine if language == "en" else arguments.machine_zh
        result = result_text(scores, stages, language, machine)
        path.write_text(fill(path.read_text(encoding="utf-8"), result), encoding="utf-8")


if __name__ == "__main__":
    main()
