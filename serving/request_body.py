"""A request's body that was read on the way: whoever comes after reads it again."""

from starlette.types import Message, Receive


def given_again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `body` first, whole, and then what `receive` has."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
