"""The tables and figures of the papers, computed for a store: one file per analysis, pure values, nothing drawn.

May be added: an analysis, a function of a Study that returns frozen values; report/ shows them.
"""
