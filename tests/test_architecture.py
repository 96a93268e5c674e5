"""The rooms stay what they are: packages of this checkout, loadable entrypoints, a server that can start."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
DEPLOYMENTS: list[dict[str, Any]] = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
ROOMS = ("bert_core", "flows", "tasks")
NAMES = [deployment["name"] for deployment in DEPLOYMENTS]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_the_package_of_this_checkout(room: str) -> None:
    module = __import__(room)
    assert module.__file__ is not None
    assert Path(module.__file__) == ROOT / room / "__init__.py"


def test_no_package_lies_below_the_tests() -> None:
    assert sorted((ROOT / "tests").rglob("*/__init__.py")) == []


def test_no_file_of_flows_or_tasks_bears_the_name_of_a_library() -> None:
    names = {path.stem for room in ("flows", "tasks") for path in (ROOT / room).glob("*.py")} - {"__init__"}
    assert names & (set(sys.stdlib_module_names) | {"prefect", "typer", "rich", "torch", "datasets"}) == set()


def test_the_server_of_prefect_can_be_imported() -> None:
    import prefect.server.api.server as server

    assert callable(server.create_app)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=NAMES)
def test_every_entrypoint_loads_as_a_module(deployment: dict[str, Any]) -> None:
    from prefect.flows import load_flow_from_entrypoint

    entrypoint = deployment["entrypoint"]
    assert ":" not in entrypoint
    assert "/" not in entrypoint
    flow = load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)
    assert flow.fn.__module__ == entrypoint.rpartition(".")[0]


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=NAMES)
def test_the_parameters_of_a_deployment_are_valid_for_its_flow(deployment: dict[str, Any]) -> None:
    from prefect.flows import load_flow_from_entrypoint

    flow = load_flow_from_entrypoint(deployment["entrypoint"], use_placeholder_flow=False)
    validated = flow.validate_parameters(deployment["parameters"])
    assert validated.items() >= deployment["parameters"].items()
    assert set(deployment["parameters"]) <= set(flow.parameters.properties)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=NAMES)
def test_every_parameter_is_described_and_has_a_default(deployment: dict[str, Any]) -> None:
    from prefect.flows import load_flow_from_entrypoint

    flow = load_flow_from_entrypoint(deployment["entrypoint"], use_placeholder_flow=False)
    assert flow.parameters.required == []
    for name, schema in flow.parameters.properties.items():
        assert schema.get("description", "").endswith("."), f"{deployment['entrypoint']}: {name} has no sentence"


def test_deployments_use_the_two_pools_and_no_schedule_is_active() -> None:
    assert {deployment["work_pool"]["name"] for deployment in DEPLOYMENTS} == {"data", "training"}
    schedules = [schedule for deployment in DEPLOYMENTS for schedule in deployment.get("schedules", [])]
    assert [schedule["active"] for schedule in schedules] == [False]
    for deployment in DEPLOYMENTS:
        assert deployment["description"]
        assert "bertline" in deployment["tags"]


def _imports(path: Path) -> set[str]:
    """Top-level packages that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def test_flows_and_tasks_import_no_torch() -> None:
    for path in [*(ROOT / "flows").glob("*.py"), *(ROOT / "tasks").glob("*.py")]:
        assert _imports(path) & {"torch", "transformers", "pyarrow", "numba"} == set(), path.name


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("flows.cli", ["prefect", "torch", "transformers", "numba", "pyarrow", "matplotlib", "pandas"]),
        ("bert_core.stages.plan", ["prefect", "torch", "transformers", "numba", "matplotlib"]),
        ("flows.terminal", ["prefect", "torch", "transformers", "numba", "matplotlib"]),
        ("flows.inspection", ["prefect", "torch", "transformers", "matplotlib"]),
        ("flows.prediction", ["prefect", "torch", "transformers"]),
    ],
)
def test_a_module_that_must_answer_at_once_loads_nothing_heavy(module: str, unwanted: list[str]) -> None:
    code = f"import sys, {module}; print([name for name in {unwanted!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
