"""What the workloads share: opening a mesh, placing tensors, and printing what ttnn itself says is live.

Each line on stdout is a JSON object. Its `kind` is `open`, `close`, `checkpoint`, or a note of the workload.
A checkpoint is ttnn's own accounting of one mesh, never the tracker's. A mesh has one allocator, whose answer
holds for each of its chips:

    seq         counts the checkpoints of a process; a forked child goes on from its parent's
    per_bank    bytes in each bank, by memory type
    blocks      the allocated blocks, [offset in the bank, bytes], by memory type; null where ttnn cannot tell
    tensors     those that the workload chose to show

At a checkpoint the tracker, if it is loaded, gets a mark named `seq`. With CHECKPOINT_STABLE=1 the lines
leave out process and time, which differ from run to run.
"""

import ctypes
import itertools
import json
import os
import time
from importlib.metadata import version

import ttnn

MEMORY_TYPES = ("DRAM", "L1", "L1_SMALL", "TRACE")
STABLE = os.environ.get("CHECKPOINT_STABLE") == "1"

_mark = getattr(ctypes.CDLL(None), "tt_memtrace_mark", None)
_seq = itertools.count(1)


def emit(kind, **fields):
    if not STABLE:
        fields = {"pid": os.getpid(), "t_ns": time.time_ns(), **fields}
    print(json.dumps({"kind": kind, **fields}), flush=True)


def checkpoint(name, mesh=None, tensors=None):
    """Prints what ttnn holds on `mesh`; without one, only that this point was reached."""
    seq = next(_seq)
    fields = {} if mesh is None else _accounting(mesh)
    if tensors:
        fields["tensors"] = [{"name": name, **_describe(tensor)} for name, tensor in tensors.items()]
    if _mark:
        _mark(str(seq).encode())
    emit("checkpoint", name=name, seq=seq, **fields)


def _accounting(mesh):
    per_bank, blocks = {}, {}
    for name in MEMORY_TYPES:
        view = ttnn.get_memory_view(mesh, getattr(ttnn.BufferType, name))
        per_bank[name] = {
            "banks": view.num_banks,
            "allocated": view.total_bytes_allocated_per_bank,
            "size": view.total_bytes_per_bank,
            "largest_free": view.largest_contiguous_bytes_free_per_bank,
        }
        blocks[name] = _allocated_blocks(view)
    return {
        "mesh_id": mesh.id(),
        "devices": list(mesh.get_device_ids()),
        "per_bank": per_bank,
        "blocks": blocks,
        "cached_programs": mesh.num_program_cache_entries(),
    }


def _allocated_blocks(view):
    try:
        table = view.block_table
    except TypeError:  # ttnn 0.68 to 0.72 cannot convert it
        return None
    return sorted(
        [int(block["address"]), int(block["size"])] for block in table if block["allocated"] == "yes"
    )


def _describe(tensor):
    fields = {"shape": list(tensor.shape), "dtype": str(tensor.dtype), "allocated": tensor.is_allocated()}
    if fields["allocated"]:
        memory = tensor.memory_config()
        fields["buffer_type"] = memory.buffer_type.name
        fields["layout"] = memory.memory_layout.name
        for field in ("address", "unique_id", "num_pages", "page_size", "aligned_page_size"):
            if hasattr(tensor, "buffer_" + field):  # which, depends on the version of ttnn
                fields[field] = getattr(tensor, "buffer_" + field)()
    return fields


def mesh_shape():
    """All chips of the board, laid out as they lie there."""
    chips = ttnn.get_num_devices()
    return {1: (1, 1), 2: (1, 2), 8: (2, 4), 32: (8, 4)}[chips]


def open_mesh(**options):
    shape = mesh_shape()
    mesh = ttnn.open_mesh_device(ttnn.MeshShape(*shape), **options)
    emit(
        "open",
        mesh_id=mesh.id(),
        shape=shape,
        devices=list(mesh.get_device_ids()),
        arch=str(mesh.arch()),
        ttnn=version("ttnn"),
    )
    return mesh


def close_mesh(mesh):
    mesh_id = mesh.id()
    ttnn.close_mesh_device(mesh)
    emit("close", mesh_id=mesh_id)


def tensor(mesh, *shape, memory=ttnn.DRAM_MEMORY_CONFIG, dtype=ttnn.bfloat16, layout=ttnn.TILE_LAYOUT):
    return ttnn.empty(shape, dtype=dtype, layout=layout, device=mesh, memory_config=memory)


def cores(columns, rows=1):
    """The cores in the first columns and rows of the grid."""
    last = ttnn.CoreCoord(columns - 1, rows - 1)
    return ttnn.CoreRangeSet({ttnn.CoreRange(ttnn.CoreCoord(0, 0), last)})


def sharded(how, grid, shard, buffer_type=ttnn.BufferType.L1):
    """A memory config: HEIGHT, WIDTH or BLOCK shards of the given shape over the given cores."""
    layout = getattr(ttnn.TensorMemoryLayout, how + "_SHARDED")
    return ttnn.MemoryConfig(
        layout, buffer_type, ttnn.ShardSpec(grid, shard, ttnn.ShardOrientation.ROW_MAJOR)
    )
