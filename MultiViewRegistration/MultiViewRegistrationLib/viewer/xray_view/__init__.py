"""An X-ray in the page, with the CT over it: what is seen, and moving the CT with mouse and keys."""
