"""Seeded chance: the same seed gives the same draws on every machine."""

from random import Random


def dice(*seed: object) -> Random:
    """Return a source of chance that depends on nothing but its seed."""
    return Random("/".join(map(str, seed)))  # noqa: S311 - traffic is no secret


def guid(chance: Random) -> str:
    """Draw a random GUID in lower case, as Azure writes them."""
    digits = f"{chance.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def one_in(chance: Random, odds: int) -> bool:
    """Be true once in so many draws."""
    return chance.random() * odds < 1
