"""How far a registered pose can be trusted.

Its errors, their prediction, and the verdict with its reasons.
"""
