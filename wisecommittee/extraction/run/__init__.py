"""One extraction: its settings, its plan, the passes over the data, and the way of rows into the store."""
