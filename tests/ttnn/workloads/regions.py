"""Device memory without a tensor: trace region, global semaphores, global circular buffers; and L1_SMALL."""

import ttnn
from checkpoints import checkpoint, close_mesh, cores, open_mesh, sharded, tensor

mesh = open_mesh(l1_small_size=16384, trace_region_size=65536)
checkpoint("nothing yet", mesh)

semaphore = ttnn.create_global_semaphore(mesh, cores(2, 2), 0)
checkpoint("a semaphore", mesh)

receiver = ttnn.CoreCoord(1, 0)
receivers = ttnn.CoreRangeSet({ttnn.CoreRange(receiver, receiver)})
queue = ttnn.create_global_circular_buffer(mesh, [(ttnn.CoreCoord(0, 0), receivers)], 2048)
checkpoint("a global circular buffer", mesh)

small = tensor(mesh, 1, 1, 64, 32, memory=sharded("HEIGHT", cores(2), (32, 32), ttnn.BufferType.L1_SMALL))
checkpoint("a tensor in L1_SMALL", mesh, {"small": small})

trace = ttnn.begin_trace_capture(mesh, cq_id=0)  # without ops: mock devices cannot record one
ttnn.end_trace_capture(mesh, trace, cq_id=0)
checkpoint("an empty trace", mesh)

ttnn.release_trace(mesh, trace)
del semaphore
checkpoint("trace and semaphore gone", mesh)

del queue, small
checkpoint("nothing left", mesh)
close_mesh(mesh)
