"""Two tensors of 32 MiB over all chips of a mesh, sharded on both of its dimensions; their sum; a product; all freed.

On a mesh of 2 x 4 each of the two takes 4,194,304 bytes of a chip, a factor of the product 524,288 bytes, and the
product 1,048,576 bytes.
"""

import ttnn
from checkpoints import checkpoint, close_mesh, mesh_shape, open_mesh


def over_the_mesh(mesh, *shape):
    on_host = ttnn.zeros(shape, dtype=ttnn.bfloat16, layout=ttnn.TILE_LAYOUT)
    config = ttnn.MeshMapperConfig([ttnn.PlacementShard(0), ttnn.PlacementShard(1)], ttnn.MeshShape(*mesh_shape()))
    return ttnn.distribute_tensor(on_host, ttnn.create_mesh_mapper(mesh, config), mesh)


mesh = open_mesh()
checkpoint("opened", mesh)

first = over_the_mesh(mesh, 8, 8, 512, 512)
checkpoint("one tensor", mesh, {"first": first})
second = over_the_mesh(mesh, 8, 8, 512, 512)
checkpoint("two tensors", mesh, {"first": first, "second": second})

total = ttnn.add(first, second)
checkpoint("their sum", mesh, {"total": total})

left = over_the_mesh(mesh, 8, 8, 256, 128)
right = over_the_mesh(mesh, 8, 8, 128, 256)
# On one row of cores: from 0.80, ttnn takes a mock T3K's grid for one row larger than it is.
product = ttnn.matmul(left, right, core_grid=ttnn.CoreGrid(y=1, x=8))
checkpoint("a product", mesh, {"left": left, "right": right, "product": product})

for tensor in (first, second, total, left, right, product):
    ttnn.deallocate(tensor)
checkpoint("all freed", mesh)

mesh.disable_and_clear_program_cache()
checkpoint("cache cleared", mesh)

close_mesh(mesh)
checkpoint("closed")
