"""Who does the work of a search (threads here, dask workers elsewhere) and how much of it there is."""
