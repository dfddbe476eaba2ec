"""Who there is: tenants with their admins, users and apps, and partners who work in many."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import Final

from pipeline.simulate.audit_records import Form
from pipeline.simulate.delivery import Kind
from pipeline.simulate.dice import guid, one_in

_FIRST_NAMES: Final = (
    *("Dana", "Chloé", "Jürgen", "Priya", "Marco", "Ines", "Tove", "Samuel", "Lea", "Hugo"),
    *("Ximena", "Victor", "Rosa", "Anna", "Łukasz", "Mei", "Omar", "Siobhan", "Kofi", "Yuki"),
)
_LAST_NAMES: Final = (
    *("Keller", "Rossi", "Petrov", "O'Brien", "Larsen", "Novák", "Costa", "Meier", "Dubois"),
    *("Santos", "Sato", "Lindqvist", "Schmidt", "Okafor", "Baumann", "Tan", "Haddad", "Marin"),
)
_COMPANIES: Final = (
    *("Alpine Ski House", "Bellows College", "Coho Winery", "Datum", "Fourth Coffee"),
    *("Graphic Design Institute", "Humongous Insurance", "Lamna Healthcare", "Litware"),
    *("Lucerne Publishing", "Margie's Travel", "Munson's Pickles", "Nod Publishers"),
    *("Proseware", "Relecloud", "School of Fine Art", "Southridge Video", "Trey Research"),
    *("VanArsdel", "Wide World Importers", "Wingtip Toys", "Woodgrove Bank"),
)
_APPS: Final = (
    *("Remote Helper", "Company Portal", "7-Zip", "VPN Client", "Endpoint Agent", "PDF Reader"),
    *("Time Tracker", "Inventory Scan.ps1", "Password Manager", "Screen Share", "Übersetzer"),
)
PARTNER_TENANT: Final = "6f1d7c52-93b8-4a0e-a5d4-2c8e70b91f36"
PARTNER_DOMAIN: Final = "northwind-partners.example.org"

_OWN_TOPICS: Final[Mapping[Kind, Kind]] = MappingProxyType({kind: kind for kind in Kind})
_ONE_DEFENDER_HUB: Final[Mapping[Kind, Kind]] = MappingProxyType(
    {**_OWN_TOPICS, Kind.BEHAVIOR_ENTITIES: Kind.IDENTITY_INFO}
)
_ONE_MONITOR_HUB: Final[Mapping[Kind, Kind]] = MappingProxyType(
    {**_OWN_TOPICS, Kind.GRAPH_ACTIVITY: Kind.AUDIT}
)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in a directory."""

    upn: str
    object_id: str
    display_name: str

    @property
    def short_name(self) -> str:
        """The UPN before its @, as BehaviorEntities has it."""
        return self.upn.partition("@")[0]

    @property
    def domain(self) -> str:
        """The UPN behind its @."""
        return self.upn.partition("@")[2]


@dataclass(frozen=True, slots=True)
class AppEntry:
    """An app that can be assigned."""

    name: str
    object_id: str


@dataclass(frozen=True, slots=True)
class Tenant:
    """A customer; `share` is its part of all traffic, `routes` says which topic takes a table."""

    id: str
    name: str
    domain: str
    share: float
    admins: tuple[Person, ...]
    users: tuple[Person, ...]
    apps: tuple[AppEntry, ...]
    routes: Mapping[Kind, Kind]
    audit_form: Form


def draw_person(chance: Random, domain: str) -> Person:
    """Draw somebody of that domain; nobody has a name twice."""
    first, last = chance.choice(_FIRST_NAMES), chance.choice(_LAST_NAMES)
    upn = f"{first}.{last}{chance.randrange(100_000)}@{domain}"
    return Person(upn, guid(chance), f"{first} {last}")


def draw_tenants(chance: Random, count: int, people: int) -> tuple[Tenant, ...]:
    """Draw tenants whose sizes differ as those of a provider's customers do.

    Args:
        chance: where the draws come from.
        count: how many tenants.
        people: how many users they have together, roughly.
    """
    weights = [chance.lognormvariate(0.0, 1.1) for _ in range(count)]
    shares = [weight / sum(weights) for weight in weights]
    return tuple(_draw_tenant(chance, number, share, people) for number, share in enumerate(shares))


def draw_partners(chance: Random) -> tuple[Person, ...]:
    """Draw the partner's technicians: the same accounts in every tenant that they serve."""
    return tuple(draw_person(chance, PARTNER_DOMAIN) for _ in range(4))


def make_tenant(chance: Random, name: str, admin: Person, app: str) -> Tenant:
    """Make a tenant of that name with one admin, one app and plain routes, for a story."""
    return Tenant(
        id=guid(chance),
        name=name,
        domain=admin.domain,
        share=0.0,
        admins=(admin,),
        users=(draw_person(chance, admin.domain),),
        apps=(AppEntry(app, guid(chance)),),
        routes=_OWN_TOPICS,
        audit_form=Form.OBJECT,
    )


def _draw_tenant(chance: Random, number: int, share: float, people: int) -> Tenant:
    name = _COMPANIES[number % len(_COMPANIES)]
    slug = "".join(letter for letter in name.lower() if letter.isalnum())
    domain = f"{slug}{number}.example.org"
    routes = _OWN_TOPICS
    if one_in(chance, 6):
        routes = _ONE_DEFENDER_HUB
    elif one_in(chance, 12):
        routes = _ONE_MONITOR_HUB
    return Tenant(
        id=guid(chance),
        name=f"{name} {number}",
        domain=domain,
        share=share,
        admins=tuple(draw_person(chance, domain) for _ in range(chance.randint(2, 6))),
        users=tuple(draw_person(chance, domain) for _ in range(max(3, round(people * share)))),
        apps=_draw_apps(chance, chance.randint(3, len(_APPS))),
        routes=routes,
        audit_form=chance.choices(list(Form), weights=(70, 10, 4, 16))[0],
    )


def _draw_apps(chance: Random, count: int) -> tuple[AppEntry, ...]:
    return tuple(
        AppEntry(f"{name} {chance.randint(1, 12)}.{chance.randint(0, 9)}", guid(chance))
        for name in chance.sample(_APPS, count)
    )
