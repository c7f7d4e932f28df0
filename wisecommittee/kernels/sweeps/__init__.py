"""Kernels that count what every vector of threshold levels reaches."""
