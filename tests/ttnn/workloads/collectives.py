"""Ops that run a program per chip, from threads of the runtime, and leave semaphores in the program cache."""

import sys
from importlib.metadata import version

import ttnn
from checkpoints import checkpoint, close_mesh, emit, mesh_shape, open_mesh


def not_applicable(reason):
    emit("not_applicable", reason=reason)
    sys.exit(77)


rows, columns = mesh_shape()
if columns == 1:
    not_applicable("one chip has none to exchange with")
if version("ttnn") < "0.75":
    not_applicable("mock devices have no fabric before ttnn 0.75")

ttnn.set_fabric_config(ttnn.FabricConfig.FABRIC_1D)
mesh = open_mesh()
on_host = ttnn.zeros((1, 1, 32, 32 * rows * columns), dtype=ttnn.bfloat16, layout=ttnn.TILE_LAYOUT)
slices = ttnn.distribute_tensor(on_host, ttnn.shard_tensor_to_mesh_mapper(mesh, 3), mesh)
checkpoint("a slice per chip", mesh, {"slices": slices})

gathered = ttnn.all_gather(slices, dim=3, cluster_axis=1)
checkpoint("gathered along each row", mesh, {"gathered": gathered})

scattered = ttnn.reduce_scatter(gathered, dim=3, cluster_axis=1)
checkpoint("reduced along each row", mesh, {"scattered": scattered})

gathered = ttnn.all_gather(slices, dim=3, cluster_axis=1)
checkpoint("gathered again", mesh, {"gathered": gathered})

del slices, gathered, scattered
checkpoint("what the cache keeps", mesh)
mesh.clear_program_cache()
checkpoint("nothing left", mesh)
close_mesh(mesh)
