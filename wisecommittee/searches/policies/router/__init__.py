"""The search for routers: cascades by the model that they begin with, and which of them fits a unit's features."""
