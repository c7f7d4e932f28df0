"""Kernels of stage tables: predictions, correctness and confidences of every prefix."""
