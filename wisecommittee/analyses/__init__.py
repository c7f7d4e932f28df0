"""What the papers' tables and figures say, computed for a store: one file per analysis, pure values, nothing drawn.

May be added: an analysis, a function of a Study that returns frozen values; how they look is the report's business.
"""
