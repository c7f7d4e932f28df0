"""Model specs -> loaded modules with weights, preprocessing and multiply-adds. May be added: a source, a from_*.py
file.
"""
