"""How good the models are: every set, cell, seed, option and variant, in one table that anybody can print again."""
