"""Tracking a structure through the frames of a sequence."""
