"""The page in a browser, and its server."""
