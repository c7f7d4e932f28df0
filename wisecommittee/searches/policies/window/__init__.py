"""The search for windows: two thresholds a stage, on the probability of the positive class
(committees/policies/window.py).
"""
