"""Cached outputs from elsewhere -> store: arrays, answers, segmentations."""
