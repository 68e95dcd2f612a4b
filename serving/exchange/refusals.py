"""What Kite answers when it says no: an error type the client knows, an HTTP code and a sentence."""

from pipelines.domain.errors import TradeSageError


class KiteError(TradeSageError):
    """Raised anywhere behind the HTTP edge, which answers it as `{"status": "error", ...}`.

    `error_type` is a class name of `kiteconnect.exceptions`; one it lacks (MarginException, HoldingException) reaches
    the caller of the official client as GeneralException.
    """

    def __init__(self, error_type: str, http_status: int, message: str):
        super().__init__(message)
        self.error_type, self.http_status, self.message = error_type, http_status, message


def token_error(message: str = "Incorrect `api_key` or `access_token`.") -> KiteError:
    return KiteError("TokenException", 403, message)


def input_error(message: str) -> KiteError:
    return KiteError("InputException", 400, message)


def order_error(message: str) -> KiteError:
    return KiteError("OrderException", 400, message)


def margin_error(message: str) -> KiteError:
    return KiteError("MarginException", 400, message)


def holding_error(message: str) -> KiteError:
    return KiteError("HoldingException", 400, message)


def too_many_requests() -> KiteError:
    return KiteError("NetworkException", 429, "Too many requests")


def not_found(message: str = "Route not found") -> KiteError:
    return KiteError("GeneralException", 404, message)
