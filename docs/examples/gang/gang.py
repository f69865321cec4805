"""Ranks average an array and are compared: trainyard.training in a job, with nothing compiled."""
import time

import numpy

from trainyard import training

gang = training.init()
values = numpy.full(4, gang.rank + 1.0, dtype=numpy.float32)
gang.all_reduce(values, op="mean")
begin = time.monotonic()
time.sleep(0.3 if gang.rank == gang.size - 1 else 0.1)  # the last rank has more to do
busy = time.monotonic() - begin
gang.barrier()
gang.report_times(1, busy, time.monotonic() - begin - busy)
print(f"rank {gang.rank} of {gang.size}: mean {values[0]}")
