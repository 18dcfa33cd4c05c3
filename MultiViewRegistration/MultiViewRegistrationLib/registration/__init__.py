"""Finding the pose of a CT, or of its bones, in X-rays."""
