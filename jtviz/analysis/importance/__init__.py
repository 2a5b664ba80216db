"""How much of a model is needed: measured over a data set."""
