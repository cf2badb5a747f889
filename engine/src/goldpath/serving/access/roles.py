"""What clients are called and what each may do."""

from dataclasses import dataclass

from goldpath.settings.access import ROLES as ROLES
from goldpath.settings.access import Role as Role

ANONYMOUS, ENVIRONMENT = "anonymous", "environment"


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks.

    Attributes:
        name: Of the key or of the user; `environment` for the key of the settings.
        roles: What the client may do.
    """

    name: str
    roles: frozenset[str]


EVERYBODY = Client(ANONYMOUS, frozenset(ROLES) - {"admin"})
OWNER = Client(ENVIRONMENT, frozenset(ROLES))
