# SPDX-License-Identifier: Apache-2.0

"""Choose guests, ping them, and collect their outcomes."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Generator
from collections.abc import Sequence
import contextlib
import dataclasses
import threading
from typing import Any
from typing import TextIO

from troveclient_rpcping import exceptions
from troveclient_rpcping import inventory
from troveclient_rpcping import limits
from troveclient_rpcping import management
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.cli import exclusions as cli_exclusions
from troveclient_rpcping.cli import targets
from troveclient_rpcping.outcomes import outcome as outcomes
from troveclient_rpcping.sweep import capacity as capacities


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to ping the guests.

    :param concurrency: the most pings in flight.
    :param timeout: seconds for each ping, in all.
    :param rate: the most pings a second; None for no limit.
    :param count: pings of each guest.
    :param stable: None, or ping each guest until it was reachable this many
        times in a row.
    :param interval: seconds from one ping of a guest to its next.
    """

    concurrency: int = limits.CONCURRENCY
    timeout: float = limits.TIMEOUT
    rate: float | None = None
    count: int = 1
    stable: int | None = None
    interval: float = limits.INTERVAL

    @property
    def waits(self) -> bool:
        """Whether to ping until every guest is reachable."""
        return self.stable is not None


class Survey:
    """The sweeps over one selection of guests.

    :param stdin: standard input; None if it is closed.
    :param project_id: asks Keystone for the ID of a project.
    :param always_list: list even for IDs alone, to know more about them.
    :param strict: see :class:`~troveclient_rpcping.cli.targets.Names`.
    :raises TargetError: standard input, or a file, cannot be read.
    """

    def __init__(
        self,
        selection: targets.Selection,
        plan: Plan,
        *,
        stdin: TextIO | None,
        project_id: Callable[[str], str],
        always_list: bool = False,
        strict: bool = True,
    ):
        self._selection = selection.with_pipe_read(stdin)
        self._plan = plan
        self._project_id = project_id
        self._always_list = always_list
        self._exclusions: cli_exclusions.Exclusions | None = None
        if selection.exclude or selection.exclude_status:
            self._exclusions = cli_exclusions.Exclusions(
                selection.exclude, selection.exclude_status
            )
        self._names = targets.Names(strict=strict)
        self._listed: list[inventory.Instance] | None = None
        self._collector = outcomes.Collector(())

    def choose(
        self,
        manager: management.Management,
        deadline: float | None = None,
        *,
        empty: bool = False,
    ) -> list[outcomes.Target]:
        """Find the guests, and forget the outcomes of the last sweep.

        :param deadline: seconds for the listing; None for no limit.
        :param empty: whether to return no guest if no instance fits.
        :returns: the guests; none for a file without a name.
        :raises NoTargetError: no instance fits, or all are left out.
        :raises TargetError: the guests cannot be found.
        """
        exclusions = self._exclusions
        if exclusions:
            exclusions.refresh()
        try:
            chosen = self._find(lambda: manager.list_all(deadline))
            if exclusions:
                chosen = exclusions.leave_out(chosen)
        except exceptions.NoTargetError:
            if not empty:
                raise
            chosen = []
        self._collector = outcomes.Collector(chosen, self._plan.stable)
        return chosen

    def ping(
        self,
        manager: management.Management,
        on_result: Callable[[verdicts.PingResult, outcomes.Series], None],
        *,
        deadline: float | None = None,
        capacity: capacities.Capacity | None = None,
        on_throttle: Callable[[limits.Throttle], None] | None = None,
        cancel: threading.Event | None = None,
    ) -> None:
        """Ping the chosen guests. After an exception the findings so far stay.

        :param on_result: is called for each result, with all pings of the
            same guest.
        :param deadline: seconds for all pings; None for no limit.
        :param capacity: see ``Management.rpc_ping_each``.
        :param on_throttle: see there.
        :param cancel: see there.
        """
        ping: Callable[..., Generator[verdicts.PingResult]] = (
            manager.rpc_ping_each
        )
        more: dict[str, Any] = {
            'count': self._plan.count,
            'capacity': capacity,
            'cancel': cancel,
        }
        if self._plan.waits:
            ping = manager.rpc_ping_until_reachable
            more = {'stable': self._plan.stable}
        pings = ping(
            self._collector.guests,
            concurrency=self._plan.concurrency,
            timeout=self._plan.timeout,
            rate=self._plan.rate,
            interval=self._plan.interval,
            deadline=deadline,
            listing=self._listed,
            on_throttle=on_throttle,
            **more,
        )
        with contextlib.closing(pings):
            for result in pings:
                on_result(result, self._collector.add(result))

    @property
    def left_out(self) -> Sequence[str]:
        """The sentences about the guests that were left out."""
        return self._exclusions.sentences if self._exclusions else ()

    def findings(self, why: str = '') -> outcomes.Findings:
        """Return the outcome of every guest that was chosen last.

        :param why: why guests without a result have none.
        """
        return self._collector.findings(why)

    def _find(
        self, list_all: Callable[[], list[inventory.Instance]]
    ) -> list[outcomes.Target]:
        selection = self._selection
        self._listed = None
        if not selection.all:
            named = selection.names()
            if (
                self._always_list
                or not all(map(inventory.is_id, named))
                or (self._exclusions and self._exclusions.needs_listing)
            ):
                self._listed = targets.listed(list_all, ids=True)
            return targets.resolve(named, self._listed or [], self._names)
        self._listed = targets.listed(list_all, ids=False)
        present = {instance.project_id for instance in self._listed}
        return targets.select(
            self._listed,
            # A project without an instance is not in the listing. Keystone
            # knows whether it exists.
            project_ids={
                each if each in present else self._project_id(each)
                for each in selection.project
            },
            datastores=selection.datastore,
            statuses=selection.status,
        )
