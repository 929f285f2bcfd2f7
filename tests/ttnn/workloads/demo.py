"""A small model with a leak: a list that is never emptied keeps the output of every iteration."""

import ttnn
from checkpoints import cores, mesh_shape, sharded, tensor

ITERATIONS = 5
SHAPE = (1, 1, 128, 128)
HEIGHT_SHARDED = sharded("HEIGHT", cores(4), (32, 128))

history = []


def layer(x, weights):
    hidden = ttnn.to_memory_config(ttnn.matmul(x, weights), HEIGHT_SHARDED)
    return ttnn.add(hidden, hidden, memory_config=ttnn.DRAM_MEMORY_CONFIG)


def run_model(mesh):
    layers = [tensor(mesh, *SHAPE) for _ in range(2)]
    for iteration in range(1, ITERATIONS + 1):
        x = tensor(mesh, *SHAPE)
        for weights in layers:
            x = layer(x, weights)
        history.append(x)
        print(f"iteration {iteration}: output {tuple(x.shape)}")


def main():
    mesh = ttnn.open_mesh_device(ttnn.MeshShape(*mesh_shape()))
    print(f"two layers on {mesh.get_num_devices()} chip(s)")
    run_model(mesh)
    print(f"done; {len(history)} outputs are still held")
    ttnn.close_mesh_device(mesh)


main()
