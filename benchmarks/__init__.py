"""What is measured: speed beside the ceiling of the machine, and tasks with known answers. `python -m benchmarks`."""
