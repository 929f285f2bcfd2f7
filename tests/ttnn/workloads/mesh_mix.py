"""Tensors replicated to all chips and sharded over them, and submeshes at the addresses of their parent."""

import ttnn
from checkpoints import checkpoint, close_mesh, emit, mesh_shape, open_mesh, tensor

mesh = open_mesh()
rows, columns = mesh_shape()

on_host = ttnn.zeros((rows * columns, 1, 32, 64), dtype=ttnn.bfloat16, layout=ttnn.TILE_LAYOUT)
checkpoint("on the host only", mesh)

copies = ttnn.distribute_tensor(on_host, ttnn.replicate_tensor_to_mesh_mapper(mesh), mesh)
slices = ttnn.distribute_tensor(on_host, ttnn.shard_tensor_to_mesh_mapper(mesh, 0), mesh)
checkpoint("replicated and sharded", mesh, {"copies": copies, "slices": slices})

total = ttnn.add(slices, slices)
ttnn.deallocate(copies)
checkpoint("a sum in, the copies out", mesh, {"slices": slices, "total": total})

for shape, offset in [((1, columns), (0, 0)), ((1, 1), (rows - 1, columns - 1))]:
    submesh = mesh.create_submesh(ttnn.MeshShape(*shape), ttnn.MeshCoordinate(*offset))
    emit("submesh", mesh_id=submesh.id(), parent=mesh.id(), devices=list(submesh.get_device_ids()))
    local = tensor(submesh, 1, 1, 64, 64)
    checkpoint("a submesh", submesh, {"local": local})
    checkpoint("its parent", mesh, {"slices": slices})
    del local
    checkpoint("a submesh with nothing left", submesh)
    mesh_id = submesh.id()
    del submesh
    emit("close", mesh_id=mesh_id)

back = ttnn.from_device(total)
checkpoint("read back", mesh, {"total": total})

del slices, total, copies
checkpoint("nothing left", mesh)
close_mesh(mesh)
checkpoint("closed")
