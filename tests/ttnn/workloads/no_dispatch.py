"""Graph captures that run nothing: what is made in one has no memory, what is freed in one keeps it."""

import sys
from pathlib import Path

import ttnn
from checkpoints import checkpoint, close_mesh, open_mesh, tensor

# A capture imports torch. Only after ttnn, which would take a torch that it finds for a complete one.
sys.path.insert(0, str(Path(__file__).parent / "stand_in"))

mesh = open_mesh()
kept, freed = tensor(mesh, 1, 1, 64, 64), tensor(mesh, 1, 1, 32, 64)
checkpoint("two real ones", mesh, {"kept": kept, "freed": freed})

ttnn.graph.begin_graph_capture(ttnn.graph.RunMode.NO_DISPATCH)
imagined = tensor(mesh, 1, 1, 256, 256)
also_imagined = tensor(mesh, 1, 1, 96, 64, memory=ttnn.L1_MEMORY_CONFIG)
total = ttnn.add(kept, kept)
checkpoint("three imagined", mesh, {"kept": kept})
del also_imagined
ttnn.deallocate(freed)
checkpoint("a real one freed in the capture", mesh, {"kept": kept})
ttnn.graph.end_graph_capture()

checkpoint("capture over", mesh, {"kept": kept})
del imagined, total
checkpoint("imagined ones dropped after it", mesh, {"kept": kept})

ttnn.graph.begin_graph_capture(ttnn.graph.RunMode.NORMAL)
real = ttnn.add(kept, kept)
ttnn.graph.end_graph_capture()
checkpoint("a capture that runs", mesh, {"kept": kept, "real": real})

del kept, real
checkpoint("only what the first capture retains", mesh)
close_mesh(mesh)
checkpoint("closed")
