"""Puts access control into the app: who asks, the limits, login, administration, other origins."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from goldpath.serving.access.clients import Access
from goldpath.serving.access.limits import Limits
from goldpath.serving.access.login import login
from goldpath.serving.access.passwords import PasswordChecker
from goldpath.serving.access.routes import admin_routers
from goldpath.serving.security import SecurityHeaders, security_headers
from goldpath.settings import Settings
from goldpath.settings.access import DISCOVERY, AccessSettings


def install_access_control(
    app: FastAPI, settings: Settings, access: Access, limits: Limits
) -> Callable[[], None]:
    """Give the app the routes of access and the headers of answers.

    Users log in here where no identity provider is named, or where `access.local_login` says so.

    Args:
        app: The app; its other middlewares are added afterwards, so that they see every answer.
        settings: The sections `access` and `serving`.
        access: Says who asks.
        limits: Counts tries to log in.

    Returns:
        What ends its threads.
    """
    wanted = settings.access
    checker = PasswordChecker()
    if wanted.has_local_login:
        app.include_router(login(access, limits, checker))
    else:
        _document_provider(app, wanted)
    for router in admin_routers(settings):
        app.include_router(router)
    if wanted.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(wanted.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-API-Key", "X-Request-Id"],
            expose_headers=["Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-Id"],
        )
    app.add_middleware(SecurityHeaders, headers=security_headers(settings))
    return checker.close


def _document_provider(app: FastAPI, access: AccessSettings) -> None:
    """Name the identity provider in the app's document, where it named this service's login."""
    make = app.openapi
    scheme = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    if not access.oidc_jwks_url:
        address = access.oidc_issuer.rstrip("/") + DISCOVERY
        scheme = {"type": "openIdConnect", "openIdConnectUrl": address}

    def openapi() -> dict[str, Any]:
        document = make()
        document["components"]["securitySchemes"]["OAuth2PasswordBearer"] = scheme
        return document

    app.openapi = openapi  # type: ignore[method-assign]
