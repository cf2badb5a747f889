"""Puts access control into the app: who asks, the limits, login, administration, other origins."""

from collections.abc import Callable

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from ...settings import Settings
from ..security import SecurityHeaders, security_headers
from .clients import Access
from .limits import Limits
from .login import login
from .passwords import PasswordChecker
from .routes import admin_routers


def install_access_control(
    app: FastAPI, settings: Settings, access: Access, limits: Limits
) -> Callable[[], None]:
    """Give the app the routes of access and the headers of answers.

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
    app.include_router(login(access, limits, checker))
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
