"""The search for learned deferral: fit the gain of going on without each fold, search its thresholds like those of a
stored score, then fit to all units."""
