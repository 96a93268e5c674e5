"""The line as a deployment: a server, two process pools, a worker for each, two runs; all of it ends with the test."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
PREFECT = [sys.executable, "-m", "prefect"]
RUN_SECONDS = 600.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A Prefect server with deployments and workers."""

    def __init__(self, folder: Path, processes: ExitStack) -> None:
        self._folder = folder
        self._processes = processes
        port = free_port()
        self.api = f"http://127.0.0.1:{port}/api"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        self.environment = {
            **inherited,
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": self.api,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
        }
        self.start("server", "server", "start", "--host", "127.0.0.1", "--port", str(port))

    def start(self, name: str, *arguments: str) -> None:
        """Start a process that is stopped, by its id, with the test."""
        log = self._processes.enter_context((self._folder / f"{name}.log").open("wb"))
        process = subprocess.Popen(
            [*PREFECT, *arguments],
            env=self.environment,
            cwd=self._folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

        def stop() -> None:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

        self._processes.callback(stop)

    def wait_until_healthy(self) -> None:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"{self.api}/health", timeout=2):
                    return
            except OSError:
                time.sleep(0.3)
        pytest.fail((self._folder / "server.log").read_text(errors="replace")[-2000:])

    def prefect(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*PREFECT, *arguments],
            env=self.environment | settings,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def ask(self, path: str, question: dict[str, Any] | None = None) -> Any:
        data = None if question is None else json.dumps(question).encode()
        request = urllib.request.Request(f"{self.api}/{path}", data, {"Content-Type": "application/json"})
        until = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code != 503 or time.monotonic() > until:  # 503: SQLite is busy writing events
                    raise
                time.sleep(1)

    def run(self, deployment: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Run a deployment and return its flow run once it has ended."""
        found = self.ask(f"deployments/name/{deployment}")
        run = self.ask(f"deployments/{found['id']}/create_flow_run", {"parameters": parameters})
        until = time.monotonic() + RUN_SECONDS
        while time.monotonic() < until:
            run = self.ask(f"flow_runs/{run['id']}")
            if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                return run
            time.sleep(1)
        pytest.fail(f"{deployment} is {run['state_name']} after {RUN_SECONDS:.0f} s")

    def task_states(self, run: dict[str, Any], num_runs: int) -> dict[str, str]:
        """Names of the states of a run's task runs, once all have arrived."""
        question = {"flow_runs": {"id": {"any_": [run["id"]]}}}
        until, runs = time.monotonic() + 30, []
        while time.monotonic() < until:
            runs = self.ask("task_runs/filter", question)
            if len(runs) == num_runs and all(task["state_type"] == "COMPLETED" for task in runs):
                break
            time.sleep(0.5)
        return {task["name"]: task["state_name"] for task in runs}

    def reasons(self, run: dict[str, Any]) -> list[str]:
        """Messages of the stages that a run built."""
        runs = self.ask("task_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})
        return [f"{task['name']} {task['state']['message']}" for task in runs if task["state_name"] == "Built"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with ExitStack() as processes:
        server = Server(folder, processes)
        server.wait_until_healthy()
        for pool in ("data", "training"):
            done = server.prefect("work-pool", "create", pool, "--type", "process")
            assert done.returncode == 0, done.stdout + done.stderr
        done = server.prefect("--no-prompt", "deploy", "--all")
        assert done.returncode == 0, done.stdout + done.stderr
        for pool in ("data", "training"):
            server.start(f"worker-{pool}", "worker", "start", "--pool", pool, "--name", f"{pool}-1")
        yield server


def test_deployments_carry_an_absolute_folder(server: Server) -> None:
    deployment = server.ask("deployments/name/transfer/line")
    assert deployment["pull_steps"] == [{"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}]
    assert [schedule["active"] for schedule in deployment["schedules"]] == [False]


def test_a_deploy_from_a_folder_that_does_not_exist_fails(server: Server, tmp_path: Path) -> None:
    done = server.prefect("--no-prompt", "deploy", "-n", "line", BERTLINE_DIR=str(tmp_path / "nowhere"))
    assert done.returncode != 0
    deployment = server.ask("deployments/name/transfer/line")
    assert deployment["pull_steps"][0]["prefect.deployments.steps.set_working_directory"]["directory"] == str(ROOT)


def test_the_parameter_form_describes_every_field(server: Server) -> None:
    schema = server.ask("deployments/name/transfer/line")["parameter_openapi_schema"]
    assert list(schema["properties"]) == ["recipe", "overrides", "from_stage", "only_stage", "force"]
    assert all(field["description"] for field in schema["properties"].values())


def test_a_worker_of_the_data_pool_ingests(server: Server, shared_tiny_recipe: Path) -> None:
    run = server.run("ingest/ingest", {"recipe": str(shared_tiny_recipe)})
    assert run["state_name"] == "Completed", run["state"]["message"]
    states = server.task_states(run, 7)
    assert sorted(states.values()) == ["Built"] * 6 + ["Planned"]


def test_the_whole_line_runs_on_a_worker_and_then_reuses_everything(server: Server, shared_tiny_recipe: Path) -> None:
    first = server.run("transfer/line", {"recipe": str(shared_tiny_recipe)})
    assert first["state_name"] == "Completed", first["state"]["message"]
    states = server.task_states(first, 22)
    assert states["documents/reviews"] == "Reused"  # the ingest flow built it
    assert states["pretrain"] == states["fine_tune/mood"] == "Built"
    artifacts = server.ask("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [first["id"]]}}})
    keys = {artifact["key"] for artifact in artifacts}
    assert {"tiny-plan", "tiny-results", "tiny-examples-pretrain-sample", "tiny-fine-tune-mood-counts"} <= keys
    assert "tiny-pretrain-curve" in keys
    plan = next(artifact for artifact in artifacts if artifact["key"] == "tiny-plan")
    assert "```mermaid" in plan["data"]

    second = server.run("transfer/line", {"recipe": str(shared_tiny_recipe)})
    assert second["state_name"] == "Completed", second["state"]["message"]
    states = server.task_states(second, 22)
    assert server.reasons(second) == []
    assert sorted(states.values()) == ["Planned", "Reported"] + ["Reused"] * 20


def test_a_failed_stage_fails_the_run_with_its_message(server: Server, shared_tiny_recipe: Path) -> None:
    parameters = {"recipe": str(shared_tiny_recipe), "overrides": ["corpora.general.paths=[nowhere.txt]"]}
    run = server.run("ingest/ingest", parameters)
    assert run["state_name"] == "Failed"
    assert "nowhere.txt" in run["state"]["message"]
