"""The quality of the models: every data set, cell, seed, option and variant, in tables that one command writes."""
