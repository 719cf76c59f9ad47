"""Speed, measured: `python -m benchmarks` prints a row a figure, with what it was measured on."""
