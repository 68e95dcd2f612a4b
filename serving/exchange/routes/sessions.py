"""Log-in and log-out."""

from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse

from serving.exchange import answers
from serving.exchange.refusals import token_error
from serving.exchange.routes.edge import Edge, form, success


def add_routes(app: FastAPI, edge: Edge) -> None:
    sessions, venue = edge.sessions, edge.venue

    @app.get("/connect/login")
    async def login(request: Request, api_key: str) -> RedirectResponse:
        """Paper logs in by itself; the redirect carries the request token, as Kite's does."""
        query = {"request_token": sessions.log_in(api_key), "action": "login", "type": "login", "status": "success"}
        return RedirectResponse(f"{request.base_url}paper/redirected?{urlencode(query)}", status_code=302)

    @app.get("/paper/redirected")
    async def redirected(request_token: str) -> JSONResponse:
        """Where a real application would take over."""
        return success({"request_token": request_token})

    @app.post("/session/token")
    async def token(request: Request) -> JSONResponse:
        fields = await form(request)
        api_key = fields.get("api_key", "")
        access_token = sessions.exchange(api_key, fields.get("request_token", ""), fields.get("checksum", ""))
        return success(answers.session(api_key, access_token, venue.clock))

    @app.post("/session/refresh_token")
    async def renew(request: Request) -> JSONResponse:
        """Kite gives refresh tokens to approved platforms only; here nobody has one."""
        await form(request)
        raise token_error("Invalid `refresh_token`.")

    @app.delete("/session/token")
    async def log_out(api_key: str, access_token: str = "", refresh_token: str = "") -> JSONResponse:
        if refresh_token and not access_token:
            raise token_error("Invalid `refresh_token`.")
        if not sessions.knows(api_key, access_token):
            raise token_error()
        sessions.log_out(access_token)
        return success(True)
