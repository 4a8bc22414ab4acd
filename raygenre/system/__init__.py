"""Storage locations, atomic writes, worker processes, and facts about machine and code."""
