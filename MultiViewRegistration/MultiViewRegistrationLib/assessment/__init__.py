"""How far a registered pose can be trusted: its errors, their prediction, and the verdict with its reasons."""
