"""What is wrong with bytes that came from a broker."""


class Malformed(Exception):
    """Bytes that do not follow the format; the text says what is wrong with them."""
