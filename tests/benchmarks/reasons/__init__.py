"""Measures of the reasons: are the named words the ones that matter, what do they cost, are contradictions real?"""
