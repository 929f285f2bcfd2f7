"""Refusals of the stock runtime: each is an event with the runtime's own figures, and the program notices nothing."""

import json
import re

import pytest
from test_tracker import captures, lines, on_board, tracked, workload

BOARDS = ["N150", "T3K", "P150"]


@pytest.fixture(scope="module", params=BOARDS)
def run(request, tmp_path_factory):
    cwd = tmp_path_factory.mktemp("failures")
    result = tracked(workload("refusals"), cwd, board=request.param, CHECKPOINT_STABLE="1")
    assert result.returncode == 0, result.stderr
    plain = on_board(workload("refusals"), cwd, board=request.param, CHECKPOINT_STABLE="1")
    (capture,) = captures(cwd)
    return capture, result.stdout, plain.stdout


def refusals(stdout):
    return [line for line in map(json.loads, stdout.splitlines()) if line["kind"] == "refused"]


def failures(capture):
    """By refusal: the programs of one workload are refused together, each on a thread of the runtime."""
    header, *rest = lines(capture)
    groups = []
    for event in [line for line in rest if line["kind"] == "failure"]:
        is_more = event["tid"] != header["pid"] and groups and groups[-1][-1]["tid"] != header["pid"]
        groups[-1].append(event) if is_more else groups.append([event])
    return groups


def test_the_program_sees_what_it_sees_without_the_tracker(run):
    _, with_tracker, without = run
    assert with_tracker == without


def test_every_refusal_is_an_event_with_the_figures_of_its_message(run):
    capture, stdout, _ = run
    told = refusals(stdout)
    assert [line["what"] for line in told][-2:] == ["add", "matmul"], told
    recorded = failures(capture)
    assert len(recorded) == len(told) >= 5
    for line, group in zip(told, recorded, strict=True):
        said, event = line["said"], group[0]
        if "clash" in said:
            kind = "dataflow_buffer_clash" if "dataflow" in said else "circular_buffer_clash"
            (program,) = map(int, re.findall(r"in program (\d+) clash", said))
            assert {(event["failure"], event["mesh_id"]) for event in group} == {(kind, 0)}
            assert program in [event["program"] for event in group]
        elif "Out of Memory" in said:
            size, memory = re.search(r"allocate (\d+) B (\w+) buffer", said).groups()
            (per_bank,) = re.findall(r"bank needs to store (\d+) B", said)
            assert event["failure"] == "allocation"
            assert (event["size_bytes"], event["per_bank_bytes"], event["type"]) == (int(size), int(per_bank), memory)
        else:  # there is no L1_SMALL
            assert (event["failure"], event["type"], event["per_bank_bytes"]) == ("allocation", "L1_SMALL", None)
