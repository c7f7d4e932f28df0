"""Thousands of damaged and hostile files, made from seeds: the product says in one line what is wrong, or is right.

One kind of thing per file (stores, tables, committees, checkpoints): what is sound, what is done to a copy of it, what
the product is asked about the copy. A case is a kind and a seed: `make fuzz-case KIND=stores SEED=17` shows one.
"""
