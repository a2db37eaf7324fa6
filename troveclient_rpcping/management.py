# SPDX-License-Identifier: Apache-2.0

"""``mgmt_instances`` with the ping: the manager that Python users meet."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Generator
from collections.abc import Iterable
import threading
from typing import Any
from typing import TYPE_CHECKING
import uuid

from troveclient import base
from troveclient.v1 import management

from troveclient_rpcping import exceptions
from troveclient_rpcping import inventory
from troveclient_rpcping import limits
from troveclient_rpcping import transport
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.sweep import queue as queues
from troveclient_rpcping.sweep import repeat as repeats

if TYPE_CHECKING:
    # This import costs more than those of troveclient.
    from troveclient_rpcping.sweep import capacity as capacities


class Management(management.Management):  # type: ignore[misc]
    """troveclient's manager of all projects' instances, and the ping.

    Wrap a client that you have::

        Management(trove).rpc_ping(instance_id)

    or let troveclient put it in the place of its own::

        from troveclient import extension
        from troveclient.v1 import client
        from troveclient_rpcping import management

        trove = client.Client(session=session, extensions=[
            extension.Extension('mgmt_instances', management)])
        trove.mgmt_instances.rpc_ping(instance_id)

    or take :class:`troveclient_rpcping.client.Client`, which does so.
    """

    def rpc_ping(
        self, instance: Any, timeout: float | None = limits.TIMEOUT
    ) -> None:
        """Ask the guest agent of one instance for an answer, and wait.

        It sends one GET, and trusts Trove: no other guest confirms a timeout,
        as in :meth:`rpc_ping_each`. The caller must be an administrator of
        Trove (policy rule ``context_is_admin``), with a token for the project
        in the URL.

        :param instance: an ID, or an ``Instance`` of troveclient.
        :param timeout: seconds to wait for the connection, and for each
            piece of the reply. None: the timeout of the session. A server
            that sends piece after piece can hold this call longer. A sweep
            and the commands end each ping in time.
        :returns: None: the agent answered.
        :raises troveclient_rpcping.exceptions.GuestUnreachable:
            Trove says that its call to the agent timed out. One call alone
            is no proof: the message bus may have lost it.
        :raises troveclient_rpcping.exceptions.GuestError:
            the agent failed the ping.
        :raises troveclient_rpcping.exceptions.InvalidInstanceID:
            the text cannot be the ID of an instance.
        :raises troveclient_rpcping.exceptions.SessionRequired:
            the client was made without a keystoneauth session.
        :raises troveclient.apiclient.exceptions.HttpError:
            any other HTTP reply, as troveclient's own exception for its
            status. Nothing is known of the guest. Its ``reason`` is a
            :class:`~troveclient_rpcping.verdict.Reason`.
        :raises keystoneauth1.exceptions.ClientException:
            no reply, or no login. Nothing is known of the guest.
        :raises ValueError: the timeout is not a positive number.
        :raises TypeError: *instance* is neither an ID nor an ``Instance``.
        """
        if timeout is not None:
            # Sockets refuse larger numbers.
            timeout = min(
                limits.Limits(timeout=timeout).timeout, limits.LARGEST
            )
        instance_id = _id_of(instance)
        path = transport.ping_path(instance_id)
        reply = transport.get(self.api, path, timeout)
        result = verdicts.judge(reply, instance_id)
        if not result.ok:
            url = transport.endpoint(self.api.client) + path
            raise exceptions.from_result(result, reply, url)

    def rpc_ping_each(
        self,
        instances: Iterable[Any],
        *,
        concurrency: int = limits.CONCURRENCY,
        timeout: float = limits.TIMEOUT,
        rate: float | None = None,
        deadline: float | None = None,
        count: int = 1,
        interval: float = limits.INTERVAL,
        listing: Collection[inventory.Instance] | None = None,
        capacity: capacities.Capacity | None = None,
        on_throttle: Callable[[limits.Throttle], None] | None = None,
        cancel: threading.Event | None = None,
    ) -> Generator[verdicts.PingResult]:
        """Ping many instances at once, and yield each result as it comes.

        It never raises for a guest: a ping that fails has a result with a
        verdict and a reason. Closing the iterator ends the sweep.

        A timeout alone makes no guest ``unreachable``: the sweep pings it
        again, and pings guests that answer as controls meanwhile. If none of
        the guests answers, it reads the listing, and asks other guests as
        witnesses. The page "Verdicts" of the documentation has the rules.

        :param instances: IDs, ``Instance`` objects of troveclient, or rows of
            :meth:`list_all`, whose heartbeats make verdicts faster. May be a
            generator; it is read as the pings go out.
        :param concurrency: pings in flight at once, at the most. The sweep
            finds out how many the API serves without harm to others.
        :param timeout: seconds for each ping, in all. The time that the
            caller takes for a result does not count. It makes the round-trip
            times of the pings under way longer, though.
        :param rate: pings a second, at the most; None for no limit but the
            server's. When that refuses a ping, the ping is sent again later.
        :param deadline: seconds for the whole sweep; None for no limit. A
            guest without an answer by then is ``unknown``, ``not-asked``.
        :param count: pings for each instance.
        :param interval: seconds from one ping of an instance to its next.
            Other instances do not delay it.
        :param listing: the return value of :meth:`list_all`, if the caller
            has it. Otherwise the sweep reads the listing once, if guests are
            silent.
        :param capacity: replaces *concurrency*, and remembers what sweeps
            learnt about the API. A monitor gives each sweep the same object.
        :param on_throttle: is called with a
            :class:`~troveclient_rpcping.limits.Throttle` when the rate limit
            of the server refuses a ping.
        :param cancel: another thread sets this event to end the sweep. A
            guest without an answer by then is ``unknown``, ``not-asked``. A
            login, or a generator of instances, goes on to its end.
        :returns: an iterator of
            :class:`~troveclient_rpcping.verdict.PingResult`, *count* for each
            instance, each as soon as it is certain. An instance has fewer if
            it answered before and the sweep had to end.
        :raises ValueError: a limit is not a positive number.
        :raises TypeError: *instances* is not a list of instances. The items
            of a generator are checked when they are read.
        :raises troveclient_rpcping.exceptions.SessionRequired:
            the client was made without a keystoneauth session.
        :raises keystoneauth1.exceptions.ClientException: no login, before
            the first ping.
        """
        return self._sweep(
            instances,
            repeats.Times(count, interval),
            capacity=capacity,
            listing=listing,
            on_throttle=on_throttle,
            cancel=cancel,
            concurrency=concurrency,
            timeout=timeout,
            rate=rate,
            deadline=deadline,
        )

    def rpc_ping_until_reachable(
        self,
        instances: Iterable[Any],
        *,
        deadline: float | None = limits.WAIT,
        stable: int = 1,
        interval: float = limits.INTERVAL,
        concurrency: int = limits.CONCURRENCY,
        timeout: float = limits.TIMEOUT,
        rate: float | None = None,
        listing: Collection[inventory.Instance] | None = None,
        on_throttle: Callable[[limits.Throttle], None] | None = None,
    ) -> Generator[verdicts.PingResult]:
        """Ping instances until all are reachable, or the time is up.

        A reachable instance is not pinged again, except as a control. The
        iterator ends when all instances are reachable. It goes on while the
        control plane fails, and calls no instance unreachable for that. It
        ends at once for an instance that Trove does not know, and for all
        instances if the caller is not an administrator.

        The other parameters and the errors are those of :meth:`rpc_ping_each`.

        :param deadline: seconds for all; None for no limit.
        :param stable: how many times in a row an instance has to be
            reachable.
        :returns: an iterator of
            :class:`~troveclient_rpcping.verdict.PingResult`, one for each
            ping. The last result of an instance is its state at the end. With
            *stable* above 1, one ``reachable`` alone does not end the wait.
        """
        return self._sweep(
            instances,
            repeats.UntilReachable(stable, interval),
            listing=listing,
            on_throttle=on_throttle,
            concurrency=concurrency,
            timeout=timeout,
            rate=rate,
            deadline=deadline,
        )

    def _sweep(
        self,
        instances: Iterable[Any],
        repeat: repeats.Repeat,
        *,
        listing: Collection[inventory.Instance] | None,
        on_throttle: Callable[[limits.Throttle], None] | None,
        capacity: capacities.Capacity | None = None,
        cancel: threading.Event | None = None,
        **bounds: Any,
    ) -> Generator[verdicts.PingResult]:
        # Not at the top: importing the library must not import libcurl.
        from troveclient_rpcping.sweep import run

        if isinstance(instances, str | bytes):
            # Each letter would be an ID.
            raise TypeError(f'not a list of instances, but one: {instances!r}')
        guests: Iterable[queues.Guest] = map(_guest, instances)
        if isinstance(instances, Collection):
            # Check a list before the first ping.
            guests = list(guests)
        return run.ping(
            self.api,
            guests,
            limits.Limits(**bounds),
            repeat,
            capacity,
            on_throttle,
            listing=listing,
            cancel=cancel,
        )

    def list_all(
        self, deadline: float | None = None
    ) -> list[inventory.Instance]:
        """List the instances of all projects: each once, no deleted one.

        Unlike :meth:`list`, it reads all pages, and includes the members of
        clusters. It also finds instances that move from page to page.

        :param deadline: seconds for all pages; None: only each page has a
            limit.
        :raises troveclient_rpcping.exceptions.ListingFailed:
            no listing came, or none that can be read.
        :raises keystoneauth1.exceptions.ClientException: no login.
        :raises ValueError: the deadline is not a positive number.
        """
        from troveclient_rpcping.sweep import run

        limits.Limits(deadline=deadline)
        return inventory.list_instances(run.fetcher(self.api, deadline))


def _guest(instance: Any) -> queues.Guest:
    row = instance if isinstance(instance, inventory.Instance) else None
    return queues.Guest(_id_of(instance), row)


def _id_of(instance: Any) -> str:
    """Return the ID of an instance.

    :raises TypeError: *instance* is neither an ID nor an ``Instance``.
    """
    id_ = base.getid(instance)
    if not isinstance(id_, str | uuid.UUID):
        raise TypeError(
            f'neither the ID of an instance nor an Instance: {instance!r:.80}'
        )
    return str(id_)
