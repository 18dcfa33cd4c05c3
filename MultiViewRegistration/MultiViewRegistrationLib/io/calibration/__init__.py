"""Calibrations of X-ray views by other programs."""
