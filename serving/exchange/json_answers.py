"""The two forms of every JSON answer: success with data, or an error with Kite's type and a sentence."""

from typing import Any

from starlette.responses import JSONResponse

from serving.exchange.refusals import KiteError


def success(content: Any) -> JSONResponse:
    return JSONResponse({"status": "success", "data": content})


def refusal(error: KiteError) -> JSONResponse:
    body = {"status": "error", "message": error.message, "data": None, "error_type": error.error_type}
    return JSONResponse(body, status_code=error.http_status)
