"""What the panel and the page show and do, as plain data and methods."""
