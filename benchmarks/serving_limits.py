"""What no service under the same Uvicorn can beat: an app without a model.

python serving_limits.py fastapi|asgi PORT
"""

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from pydantic import create_model
from serving_rows import CATEGORIES, NUMBERS

ANSWER = b'{"prediction":"no","probability":0.25}'


def fastapi_app() -> FastAPI:
    """A FastAPI endpoint that checks a body of twenty values by pydantic, and answers a model."""
    values: dict[str, Any] = dict.fromkeys(NUMBERS, (float | None, ...))
    values |= dict.fromkeys(CATEGORIES, (str, ...))
    features = create_model("Features", **values)
    body = create_model("Body", features=(features, ...))
    answer = create_model("Answer", prediction=(str, ...), probability=(float, ...))
    app = FastAPI()

    @app.post("/predict")
    async def predict(row: body) -> answer:  # type: ignore[valid-type]  # noqa: ARG001
        return answer(prediction="no", probability=0.25)

    return app


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body, and answers."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(ANSWER))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": ANSWER})


if __name__ == "__main__":
    app: Any = fastapi_app() if sys.argv[1] == "fastapi" else asgi_app
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[2]),
        access_log=False,
        log_level="warning",
        server_header=False,
        lifespan="off",
    )
