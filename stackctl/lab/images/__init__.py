"""Container images that the lab builds from Debian and PyPI packages, and the small servers inside them."""
