"""Data specs -> batches in a fixed order. May be added: a source of data."""
