"""The parts of Benchmarks/run: one module a row, and what they share."""
