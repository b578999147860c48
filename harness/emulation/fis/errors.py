"""The refusals of FIS."""

from moto.fis.exceptions import FISException


class ValidationException(FISException):
    """A request that FIS refuses; the message names what is wrong with it."""

    code = 400

    def __init__(self, message: str) -> None:
        super().__init__("ValidationException", message)
