"""Pools too large to exhaust: beam search and greedy search, refined, without a proof.

May be added: another search method for a SearchSpace.
"""
