"""The exchange's own routes, which Kite has not: its health, its clock and who beats it."""

import hmac

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from serving.exchange.fault_forms import fault_from
from serving.exchange.refusals import KiteError
from serving.exchange.routes.edge import Edge, json_body


def add_routes(app: FastAPI, edge: Edge) -> None:
    conductor, keys = edge.conductor, edge.keys
    venue = conductor.venue

    def check(request: Request) -> None:
        expected = f"Bearer {keys.admin_token}"
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), expected.encode()):
            raise KiteError("PermissionException", 401, "the /paper routes need the bearer token exchange_admin_token")

    @app.get("/healthz")
    async def health() -> JSONResponse:
        if conductor.failure is not None:
            return JSONResponse({"status": "failed", "message": conductor.failure}, status_code=503)
        return JSONResponse({"status": "ok"})

    @app.get("/paper/status")
    async def status(request: Request) -> JSONResponse:
        check(request)
        return JSONResponse(
            {
                "run": conductor.run_id,
                "clock": venue.clock.isoformat(),
                "state": venue.state.value,
                "step": venue.steps,
                "day": venue.session.day.isoformat(),
                "session_open": venue.session.open.isoformat(),
                "session_close": venue.session.close.isoformat(),
                "last_day": venue.last_day,
                "pace": conductor.pace,
                "tickers": len(conductor.subscribers),
                "opening_cash": str(venue.account.opening_cash),
                "cash": f"{venue.account.cash:.2f}",
                "charges": f"{venue.account.charges.total:.2f}",
                "charges_by_item": {name: str(amount) for name, amount in venue.account.charges.as_dict().items()},
            }
        )

    @app.post("/paper/continue")
    async def go_on(request: Request) -> JSONResponse:
        check(request)
        return JSONResponse(await conductor.go_on())

    @app.get("/paper/faults")
    async def faults(request: Request) -> JSONResponse:
        """What went wrong on purpose so far, and what waits to."""
        check(request)
        return JSONResponse(edge.faults.told())

    @app.post("/paper/faults")
    async def arm(request: Request) -> JSONResponse:
        """One fault, or a list of them of which either all are taken or none."""
        check(request)
        content = await json_body(request)
        wanted = [fault_from(one) for one in (content if isinstance(content, list) else [content])]
        edge.faults.arm(*wanted)
        return JSONResponse(edge.faults.told())

    @app.delete("/paper/faults")
    async def disarm(request: Request) -> JSONResponse:
        """Take back what waits and end the seeded schedule."""
        check(request)
        return JSONResponse({"taken_back": edge.faults.disarm()})
