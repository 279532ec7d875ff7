"""How fast the whole of it is: real processes, real database, real HTTP. `python -m benchmarks <name>`."""
