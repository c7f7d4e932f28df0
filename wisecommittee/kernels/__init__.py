"""Every jitted function of the project: numpy arrays in, numpy arrays out.

Nothing here raises, the callers have checked. May be added: a kernel with a naive twin in the tests. All compile
options live in jit.py.
"""
