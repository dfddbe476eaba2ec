"""The errors of Masswatch.

    MasswatchError
    ├── ConfigError         a setting or policy is wrong: exit code 3
    ├── Unreachable         something we need does not answer: exit code 4
    │   ├── BrokerUnavailable
    │   │   └── BrokerRefuses     it answers, but not to this user: exit code 3
    │   └── StoreUnavailable
    │       └── StoreRefuses      the same
    └── LostOwnership       another worker has taken this partition over, or may have

Every text says where: what: what to do.
"""


class MasswatchError(Exception):
    """Anything that Masswatch raises on purpose."""


class ConfigError(MasswatchError):
    """One or more settings are wrong; the text names them all, a line each."""


class Unreachable(MasswatchError):
    """Something that we need does not answer."""


class BrokerUnavailable(Unreachable):
    """Kafka does not answer, or did not confirm a delivery."""


class BrokerRefuses(BrokerUnavailable):
    """Kafka lets this user not in, or not do this; it is waited for, as somebody may allow it."""


class StoreUnavailable(Unreachable):
    """The fact store does not answer, or did not confirm every write."""


class StoreRefuses(StoreUnavailable):
    """The fact store lets this user not in, or not do this."""


class LostOwnership(MasswatchError):
    """A transaction was fenced or its outcome is unknown: drop what was decided, start again."""
