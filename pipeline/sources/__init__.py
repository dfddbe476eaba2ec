"""Turn the bytes of the sources into facts."""
