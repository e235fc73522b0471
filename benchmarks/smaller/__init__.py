"""Smaller networks, beside Torch-Pruning and Only-Train-Once: `python -m benchmarks.smaller`."""
