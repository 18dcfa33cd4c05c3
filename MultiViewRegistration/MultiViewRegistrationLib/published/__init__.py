"""Published refinements, as their authors describe them."""
