"""The search for policies with thresholds, and the next member, by predicted label (committees/policies/labels.py)."""
