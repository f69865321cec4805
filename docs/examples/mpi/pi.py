"""Pi from the area of a quarter circle, its strips shared among the ranks of MPI."""
from mpi4py import MPI

STRIPS = 1_000_000

world = MPI.COMM_WORLD
mine = range(world.rank, STRIPS, world.size)
area = sum((1 - ((i + 0.5) / STRIPS) ** 2) ** 0.5 for i in mine) / STRIPS
pi = 4 * world.allreduce(area, op=MPI.SUM)
if world.rank == 0:
    print(f"{world.size} ranks: pi = {pi:.6f}", flush=True)
