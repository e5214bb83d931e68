"""Telling words: what an app's reviews say more often now than in the time before."""
