"""Parquet bytes <-> arrays, and the checks that keep damaged files away from pyarrow."""
