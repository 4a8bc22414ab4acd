"""Storage locations, atomic writes, worker processes, and details of the machine and code."""
