"""Where training runs, in which format, and how near it comes to what the machine can do."""

import dataclasses
import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bert_core.errors import RequestError
from bert_core.model.encoder import BertConfig
from bert_core.model.flops import training_flops
from bert_core.progress import silent
from bert_core.training import device as device_module
from bert_core.training import machine
from bert_core.training.batches import DrawnBatch
from bert_core.training.device import Device, choose_device
from bert_core.training.loop import train_transfer
from bert_core.training.machine import ProcessorSpeed, cuda_peak, processor_speed
from bert_core.training.ranks import ALONE
from bert_core.training.speed import Speed
from bert_core.training.stopping import StopFlag
from tests.training.two_ranks import make_job

CPU = Device(torch.device("cpu"), None)


def test_flops_of_one_token_are_those_of_the_docstring():
    config = BertConfig(vocab_size=10, hidden_size=1, num_hidden_layers=1, num_attention_heads=1, intermediate_size=1)
    assert training_flops(config, np.array([1]), 0) == 54
    assert training_flops(config, np.array([1]), 1) == 54 + 3 * (2 + 20)
    assert training_flops(config, np.array([2]), 0) == 3 * (2 * (8 + 4) + 4 * 4 + 2)
    assert training_flops(config, np.array([1]), 0, 1) == 54 + 3 * (2 * 202 + 2 + 20)


def test_flops_are_about_six_for_each_weight_and_token():
    config = BertConfig(
        vocab_size=100, hidden_size=256, num_hidden_layers=8, num_attention_heads=4, intermediate_size=1024
    )
    weights = 8 * (4 * 256**2 + 2 * 256 * 1024)
    assert training_flops(config, np.full(4, 32), 0) == pytest.approx(6 * weights * 128, rel=0.05)


def test_speed_is_tokens_and_arithmetic_over_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(device_module, "processor_speed", lambda: ProcessorSpeed(2700.0, 1.0, 1.0, 1.0))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    config = BertConfig(vocab_size=10, hidden_size=1, num_hidden_layers=1, num_attention_heads=1, intermediate_size=1)
    from bert_core.model.pretraining import TargetCounts

    ids = np.zeros(1, np.int64)
    batch = DrawnBatch([], 0, TargetCounts(mlm=0, pairs=0), ids, 1, ids, np.array([0, 1]))
    speed = Speed(config, CPU, 1)
    assert speed.over_last(5) == {"tokens_per_second": 0.0}
    speed.add(batch, 0.5)
    speed.add(batch, 0.1)
    assert speed.over_last(1) == pytest.approx({"tokens_per_second": 10.0, "mfu": 54 / 0.1 / 5400})
    assert speed.over_last(None) == pytest.approx({"tokens_per_second": 2 / 0.6, "mfu": 108 / 0.6 / 5400})
    assert speed.seconds == pytest.approx(0.6)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_that_is_not_there_is_refused_and_cpu_is_not(tmp_path: Path, pretraining_folders: tuple[Path, Path]):
    with pytest.raises(RequestError, match=r"device 'cuda' was asked for, but .*; ask for 'cpu' or 'auto'"):
        choose_device("float32", "cuda")
    assert str(choose_device("bfloat16", "cpu")) == "cpu, bfloat16 autocast"
    job = make_job(tmp_path, *pretraining_folders, "job", processes=1)
    (tmp_path / "job.json").write_text(job.to_json(), encoding="utf-8")
    command = [sys.executable, "-m", "bert_core.training", str(tmp_path / "job.json"), "--device", "cuda"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    event = json.loads(done.stdout)
    assert (done.returncode, event["kind"]) == (2, "RequestError")
    assert "device 'cuda' was asked for" in event["message"]


@pytest.mark.parametrize(("layer_seconds", "expected"), [((2.0, 1.0), "bfloat16"), ((1.0, 1.0), "float32")])
def test_bfloat16_on_cpu_is_chosen_by_the_measurement_and_said(
    layer_seconds: tuple[float, float], expected: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(device_module, "processor_speed", lambda: ProcessorSpeed(1.0, 1.0, *layer_seconds))
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    with caplog.at_level(logging.INFO):
        chosen = choose_device(device="cpu")
    assert str(chosen).startswith(f"cpu, {expected}")
    assert f"{expected} on this processor: a layer takes" in caplog.text
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert str(choose_device(device="cpu")) == "cpu, float32"


def test_the_processor_is_measured_once_a_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("BERTLINE_CACHE", str(tmp_path))
    measured = []
    monkeypatch.setattr(machine, "_measure", lambda: measured.append(1) or [1.0, 2.0, 3.0, 4.0])
    for _ in range(2):
        processor_speed.cache_clear()  # as in another process
        assert processor_speed() == ProcessorSpeed(1.0, 2.0, 3.0, 4.0)
    processor_speed.cache_clear()
    assert measured == [1]


def test_a_measurement_gives_times_and_rates_above_zero():
    num_threads = torch.get_num_threads()
    assert all(value > 0 for value in machine._measure())
    assert torch.get_num_threads() == num_threads


def test_the_peak_of_a_cuda_device_goes_by_its_name():
    assert cuda_peak("NVIDIA H100 80GB HBM3") == 989e12
    assert cuda_peak("NVIDIA GeForce GT 710") == 0.0


@pytest.mark.parametrize("objective", ["nsp", "sop"])
def test_the_objective_of_pairs_is_logged_under_its_own_name_with_speed_beside(
    tmp_path: Path, pretraining_folders: tuple[Path, Path], objective: str
):
    job = make_job(tmp_path, *pretraining_folders, "job", steps=2)
    examples = job.transfer.examples.model_copy(update={"objective": objective})
    job = dataclasses.replace(job, transfer=job.transfer.model_copy(update={"examples": examples}))
    counts = train_transfer(job, silent, StopFlag(), ALONE)
    rows = [json.loads(line) for line in (job.output_folder / "metrics.jsonl").read_text().splitlines()]
    other = "sop" if objective == "nsp" else "nsp"
    assert all(f"{objective}_loss" in row and f"{objective}_accuracy" in row for row in rows)
    assert not any(key.startswith(other) for row in rows for key in row)
    assert counts[f"held_out_{objective}_accuracy"] >= 0
    live = [json.loads(line) for line in (job.runs_folder / "live.jsonl").read_text().splitlines()]
    trained = [row for row in live if row["split"] == "train"]
    assert all(row["tokens_per_second"] > 0 and row["mfu"] > 0 for row in trained)
    assert counts["mfu"] > 0
