"""The workers of a search (threads of this process, or dask workers) and an estimate of the work."""
