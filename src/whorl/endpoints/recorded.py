"""An endpoint that answers from memory: what it was not asked then is an error now."""

from collections.abc import Mapping

from whorl.endpoints.exchange import EndpointError, EndpointName, Question, Reply


class Recorded:
    """Replies that were given before, looked up by the question.

    Parameters
    ----------
    exchanges : replies by `Question.digest`
    name : the endpoint that gave them, or another name
    """

    def __init__(self, exchanges: Mapping[str, Reply], *, name: EndpointName) -> None:
        self._exchanges = dict(exchanges)
        self._name = name

    @property
    def name(self) -> EndpointName:
        """What it is."""
        return self._name

    async def ask(self, question: Question) -> Reply:
        """The reply that was recorded.

        Raises
        ------
        EndpointError
            ``unknown_question``, if none was.
        """
        reply = self._exchanges.get(question.digest)
        if reply is None:
            raise EndpointError(
                "unknown_question",
                f"expected one of the {len(self._exchanges)} recorded questions, found {question.digest}, which was "
                "never asked or never answered; ask the endpoint itself",
            )
        return reply

    async def close(self) -> None:
        """Nothing to release."""
