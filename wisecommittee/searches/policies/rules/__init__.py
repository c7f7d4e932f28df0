"""Rules by group of units, fitted over a sweep of prices: what the searches for labels and for agreement share."""
