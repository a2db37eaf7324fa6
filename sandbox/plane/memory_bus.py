# SPDX-License-Identifier: Apache-2.0

"""The ``fake://`` driver of oslo.messaging, changed to behave like a broker.

The original (oslo_messaging/_drivers/impl_fake.py) differs in three points.
Its listeners poll their queues 20 times a second, so 1,000 idle guests would
keep a processor busy. It hands an exception to the caller as an object; a
broker carries a text with a traceback, and Trove's reply shows this text. It
has another text for a call that timed out; Trove's reply shows that text
until Trove 25.1.
"""

# mypy: disable-error-code="import-not-found, import-untyped, misc"

import threading
import time
from typing import Any
import uuid

import oslo_messaging
from oslo_messaging._drivers import common
from oslo_messaging._drivers import impl_fake
from trove import rpc


class _Message(impl_fake.FakeIncomingMessage):
    def reply(self, reply: Any = None, failure: Any = None) -> None:
        if failure:
            # amqpdriver.py does this at the two ends of a connection.
            text = common.serialize_remote_exception(failure)
            error = common.deserialize_remote_exception(
                text, rpc.get_allowed_exmods()
            )
            failure = (type(error), error, None)
        super().reply(reply, failure)


class _Exchange(impl_fake.FakeExchange):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._arrivals: dict[str, threading.Event] = {}

    def arrival(self, topic: str) -> threading.Event:
        """Return the event that is set when this topic gets a message."""
        return self._arrivals.setdefault(topic, threading.Event())

    def deliver_message(self, topic: str, *args: Any, **kwargs: Any) -> None:
        super().deliver_message(topic, *args, **kwargs)
        self.arrival(topic).set()


class _Listener(impl_fake.FakeListener):
    """A listener that waits for a message, and does not poll.

    All its targets have the same topic. The topic has no other listener.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        target = self._targets[0]
        exchange = self._exchange_manager.get_exchange(target.exchange)
        self._arrival = exchange.arrival(target.topic)

    def poll(
        self,
        timeout: float | None = None,
        batch_size: int = 1,
        batch_timeout: float | None = None,
    ) -> list[impl_fake.FakeIncomingMessage] | None:
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._stopped.is_set():
            self._arrival.clear()
            message = self._take()
            if message:
                return [message]
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                break
            self._arrival.wait(left)
        return None

    def _take(self) -> impl_fake.FakeIncomingMessage | None:
        for target in self._targets:
            exchange = self._exchange_manager.get_exchange(target.exchange)
            found = exchange.poll(target, self._pool)
            if found[1] is not None:
                return _Message(*found)
        return None

    def stop(self) -> None:
        super().stop()
        self._arrival.set()


class _Driver(impl_fake.FakeDriver):
    def _send(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super()._send(*args, **kwargs)
        except oslo_messaging.MessagingTimeout:
            # The words of amqpdriver.py.
            raise oslo_messaging.MessagingTimeout(
                'Timed out waiting for a reply to message ID '
                f'{uuid.uuid4().hex}'
            ) from None


def install() -> None:
    """Replace the driver ``fake://`` in this process."""
    impl_fake.FakeDriver = _Driver
    impl_fake.FakeExchange = _Exchange
    impl_fake.FakeListener = _Listener
