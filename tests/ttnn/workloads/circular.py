"""Circular buffers of several ops, as ttnn's own graph capture tells them; shards in L1; and a tensor in their way."""

import re
import sys
from pathlib import Path

import ttnn
from checkpoints import checkpoint, close_mesh, cores, emit, open_mesh, sharded, tensor

# A capture imports torch. Only after ttnn, which would take a torch that it finds for a complete one.
sys.path.insert(0, str(Path(__file__).parent / "stand_in"))

OPS = {
    "add": lambda a: ttnn.add(a, a),
    "matmul": lambda a: ttnn.matmul(a, a),
    "softmax": lambda a: ttnn.softmax(a, dim=-1),
    "layer_norm": lambda a: ttnn.layer_norm(a),
}


def rectangles(core_range_set):
    corners = [int(corner) for corner in re.findall(r"\d+", core_range_set)]
    return [corners[i : i + 4] for i in range(0, len(corners), 4)]


def circular_buffers(graph):
    """What the capture saw: the device as ttnn numbers it, rectangles of cores, address and bytes."""
    for node in graph:
        if node["node_type"] != "circular_buffer_allocate":
            continue
        params = node["params"]
        yield {
            "device": int(params["device_id"]),
            "cores": rectangles(params["core_range_set"]),
            "address": int(params["address"]),
            "size_bytes": int(params["size"]),
            "globally_allocated": params["globally_allocated"] == "1",
        }


mesh = open_mesh()
small = tensor(mesh, 1, 1, 64, 64, memory=ttnn.L1_MEMORY_CONFIG)
held = {}
for name, op in OPS.items():
    ttnn.graph.begin_graph_capture(ttnn.graph.RunMode.NORMAL)
    try:
        held[name] = op(small)
    except RuntimeError as error:  # some ops do not fit the grid of some mock boards
        emit("refused", op=name, said=str(error).splitlines()[0])
    graph = ttnn.graph.end_graph_capture()
    # Threads of the runtime lay out the programs of one workload, in any order.
    emit("circular", op=name, buffers=sorted(circular_buffers(graph), key=str))
    checkpoint(name, mesh)

apart = ttnn.CoreRangeSet(
    {ttnn.CoreRange(ttnn.CoreCoord(x, y), ttnn.CoreCoord(x + 1, y)) for x, y in ((0, 0), (3, 2))}
)
shards = {
    "HEIGHT": sharded("HEIGHT", apart, (32, 128)),
    "WIDTH": sharded("WIDTH", cores(2), (128, 64)),
    "BLOCK": sharded("BLOCK", cores(2, 2), (64, 64)),
    "HEIGHT with idle cores": sharded("HEIGHT", cores(4, 2), (32, 128)),
}
for name, memory in shards.items():
    held[name] = tensor(mesh, 1, 1, 128, 128, memory=memory)
    grid = held[name].memory_config().shard_spec.grid
    emit("sharded", name=name, address=held[name].buffer_address(), cores=rectangles(str(grid)))
checkpoint("sharded", mesh)

# Nearly all that is left of L1: now the cached program of the add has no room any more.
view = ttnn.get_memory_view(mesh, ttnn.BufferType.L1)
pages = (view.largest_contiguous_bytes_free_per_bank - 4096) // 2048 * view.num_banks
held["large"] = tensor(mesh, 1, 1, 32, 32 * pages, memory=ttnn.L1_MEMORY_CONFIG)
checkpoint("hardly any L1 left", mesh)
try:
    held["again"] = ttnn.add(small, small)
except RuntimeError as error:
    (said,) = [line for line in str(error).splitlines() if "clash with L1 buffers" in line]
    emit("clash", said=said)
checkpoint("after the clash", mesh)

held.clear()
del small
mesh.clear_program_cache()
checkpoint("no program left", mesh)
close_mesh(mesh)
