"""Requests that get no decisions: the status that says why, and one line."""

from __future__ import annotations

from wisecommittee.errors import UsageError, WiseCommitteeError
from wisecommittee.text import one_line

MOST_TEXT = 500  # letters of the line
REASONS = {408: "timeout", 500: "server", 503: "overload", 504: "timeout"}  # by status; else "request"


class Refusal(WiseCommitteeError):
    """A request that gets no decisions.

    status : of HTTP. text : what is wrong and what is expected. retry : seconds after which to try again.
    """

    def __init__(self, status: int, text: str, *, retry: int | None = None) -> None:
        super().__init__(text)
        self.status, self.retry = status, retry

    @classmethod
    def of(cls, error: Exception) -> Refusal:
        """The refusal of a request during which this error was raised.

        Errors about the request are its sender's to mend (422); those of members and those that nobody expected are the
        server's (500), and the latter do not tell what they saw.
        """
        if isinstance(error, Refusal):
            return error
        if isinstance(error, UsageError):
            return cls(422, str(error))
        if isinstance(error, WiseCommitteeError):
            return cls(500, str(error))
        return cls(500, "the server failed on this request; its log says more")

    @property
    def reason(self) -> str:
        """Who or what is to blame: the request, the server, a time-out or an overload."""
        return REASONS.get(self.status, "request")

    @property
    def line(self) -> str:
        text = one_line(str(self))
        return text if len(text) <= MOST_TEXT else f"{text[: MOST_TEXT - 3]}..."
