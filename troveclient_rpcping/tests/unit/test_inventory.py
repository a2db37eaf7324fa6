# SPDX-License-Identifier: Apache-2.0

"""The management listing."""

import dataclasses
import itertools
import json
from typing import Any
import urllib.parse
import uuid

import testtools

from troveclient_rpcping import exceptions
from troveclient_rpcping import inventory
from troveclient_rpcping import reply as replies
from troveclient_rpcping import verdict as verdicts
from troveclient_rpcping.tests import base


def row(number: int, **fields: Any) -> dict[str, Any]:
    """Return a row of Trove's listing, with the fields that matter here."""
    return {
        'id': str(uuid.UUID(int=number)),
        'name': f'db-{number}',
        'status': 'ACTIVE',
        'operating_status': 'HEALTHY',
        'tenant_id': base.PROJECT,
        'datastore': {'type': 'mysql', 'version': '8.0'},
        'service_status_updated': '2026-11-22T10:00:00',
        'deleted': False,
        **fields,
    }


class Trove:
    """Lists as Trove does: pages by offset, 20 rows unless told otherwise.

    ``before_page`` is called with the offset of each page before it is read:
    it may change the order of the rows.
    """

    def __init__(self, rows: list[dict[str, Any]], cap: int = 100_000):
        self.rows = rows
        self.cap = cap
        self.paths: list[str] = []
        self.before_page: Any = lambda offset: None

    def __call__(self, path: str) -> replies.Reply:
        self.paths.append(path)
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(path).query))
        offset = int(query.get('marker', 0))
        limit = min(int(query.get('limit', 20)), self.cap)
        self.before_page(offset)
        rows = self.rows[offset : offset + limit]
        if len(rows) < limit:
            return page(*rows)
        href = (
            f'http://trove/v1.0/x/mgmt/instances?limit={limit}'
            f'&marker={offset + limit}&deleted=false'
        )
        return page(*rows, links=link(href))


def page(*rows: Any, **fields: Any) -> replies.Reply:
    """Return a page of the listing."""
    body = json.dumps({'instances': list(rows), **fields})
    return replies.Reply(200, {}, body.encode())


def link(href: str) -> list[dict[str, str]]:
    return [{'rel': 'next', 'href': href}]


class ListInstancesTest(testtools.TestCase):
    def assert_fails(self, reply: replies.Reply | replies.NoReply) -> Any:
        return self.assert_fails_by(lambda path: reply)

    def assert_fails_by(self, fetch: Any) -> Any:
        return self.assertRaises(
            exceptions.ListingFailed, inventory.list_instances, fetch
        )

    def test_one_large_page_is_asked_for(self) -> None:
        """The page has clustered instances, and no deleted ones."""
        trove = Trove([row(number) for number in range(300)])
        self.assertEqual(300, len(inventory.list_instances(trove)))
        self.assertEqual(
            [
                '/mgmt/instances?deleted=false&include_clustered=true'
                '&limit=1000'
            ],
            trove.paths,
        )

    def test_a_row_becomes_an_instance(self) -> None:
        """The instance has the fields of the long columns."""
        (instance,) = inventory.list_instances(Trove([row(7)]))
        self.assertEqual(
            inventory.Instance(
                id=str(uuid.UUID(int=7)),
                name='db-7',
                project_id=base.PROJECT,
                datastore='mysql 8.0',
                status='ACTIVE',
                last_heartbeat='2026-11-22T10:00:00',
            ),
            instance,
        )

    def test_an_instance_that_moves_between_pages_is_neither_missed_nor_twice(
        self,
    ) -> None:
        """An update moves an instance to the front of the listing.

        The server caps the size of a page.
        """
        trove = Trove([row(number) for number in range(50)], cap=20)
        moved: list[dict[str, Any]] = []

        def move_the_last_to_the_front(offset: int) -> None:
            if offset == 20 and not moved:
                moved.append(trove.rows.pop())
                trove.rows.insert(0, moved[0])

        trove.before_page = move_the_last_to_the_front
        instances = inventory.list_instances(trove)
        self.assertTrue(moved)
        self.assertCountEqual(
            [str(uuid.UUID(int=number)) for number in range(50)],
            [instance.id for instance in instances],
        )

    def test_smaller_pages_are_tried_where_large_ones_are_refused(
        self,
    ) -> None:
        """The URL for Nova gets too long, and Trove answers 403."""
        trove = Trove([row(number) for number in range(150)])

        def fetch(path: str) -> replies.Reply:
            if 'limit=1000' in path:
                return replies.Reply(403, {}, b'"Unknown Error (HTTP 414)"')
            return trove(path)

        self.assertEqual(150, len(inventory.list_instances(fetch)))

    def test_a_listing_that_fails_says_why(self) -> None:
        """The error has the cause in Nova, the rights or the connection."""
        for reply, reason, words in (
            (
                replies.Reply(403, {}, b'"nova is broken (HTTP 500)"'),
                verdicts.Reason.COMPUTE_ERROR,
                'nova is broken',
            ),
            (
                replies.Reply(
                    401, {}, b'{"x": {"message": "No \\u001b[1madmin"}}'
                ),
                verdicts.Reason.DENIED,
                'No admin',
            ),
            (
                replies.Reply(502, {}, b'<html>'),
                verdicts.Reason.GATEWAY,
                'HTTP 502',
            ),
            (
                replies.NoReply(replies.Failure.CONNECTION, 'refused'),
                verdicts.Reason.CONNECTION,
                'refused',
            ),
        ):
            error = self.assert_fails(reply)
            self.assertEqual(reason, error.reason)
            self.assertIn(words, str(error))
        error = self.assert_fails(
            replies.Reply(500, {'x-openstack-request-id': 'req-7'})
        )
        self.assertEqual(
            (None, 'req-7'), (error.instance_id, error.request_id)
        )

    def test_a_listing_out_of_a_cache_is_refused(self) -> None:
        """Its heartbeats and statuses may be old."""
        self.assert_fails(
            dataclasses.replace(page(row(1)), headers={'age': '40'})
        )

    def test_malformed_listings_are_refused(self) -> None:
        """The listing fails as a whole, rather than lose instances."""
        for body in (
            b'',
            b'{}',
            b'[]',
            b'null',
            b'{"instances": 5}',
            b'[' * 200_000,
        ):
            self.assert_fails(replies.Reply(200, {}, body))
        for odd in (5, {'id': 5}):
            self.assert_fails(page(odd))
        for href in (
            'http://x?marker=0',
            'x?marker=-5',
            'http://[',
            f'x?marker={"9" * 5000}',
            'x?marker=',
            'x?marker=1e3',
            'x',
        ):
            self.assert_fails(page(row(1), links=link(href)))
        self.assert_fails(dataclasses.replace(page(row(1)), complete=False))

    def test_odd_fields_count_as_missing(self) -> None:
        """A row needs only its ID."""
        odd = row(1, name=5, datastore='x', status=None, tenant_id=[])
        (instance,) = inventory.list_instances(Trove([odd]))
        self.assertEqual(
            inventory.Instance(
                odd['id'], last_heartbeat=instance.last_heartbeat
            ),
            instance,
        )

    def test_an_endless_listing_is_given_up(self) -> None:
        """Empty pages end the listing. Too many instances or pages fail it.

        The offsets grow without end, even if the rows repeat.
        """
        offsets = itertools.count(1)

        def endless(*rows: Any) -> replies.Reply:
            return page(*rows, links=link(f'x?marker={next(offsets)}'))

        self.assertEqual([], inventory.list_instances(lambda path: endless()))
        many = [{'id': str(number)} for number in range(200_001)]
        for rows in (many, [row(1)]):
            self.assert_fails_by(lambda path, rows=rows: endless(*rows))


class InstanceTest(testtools.TestCase):
    """The facts that a sweep reads in a row."""

    def listed(
        self, headers: dict[str, str], **fields: Any
    ) -> inventory.Instance:
        reply = page(row(7, **fields))
        (instance,) = inventory.list_instances(
            lambda path: dataclasses.replace(reply, headers=headers)
        )
        return instance

    def test_a_heartbeat_is_as_old_as_trove_says(self) -> None:
        """The Date of the reply counts, not the clock of this machine."""
        date = {'date': 'Sun, 22 Nov 2026 10:01:30 GMT'}
        for text, age in (
            ('2026-11-22T10:00:00', 90.0),
            ('2026-11-22T10:01:29.500000', 0.5),
            ('2026-11-22T10:01:00+00:00', 30.0),
            ('2026-11-22T12:01:00+02:00', 30.0),
            ('2026-11-22T10:02:00', -30.0),
        ):
            instance = self.listed(date, service_status_updated=text)
            self.assertEqual(age, instance.heartbeat_age, text)
            self.assertEqual(text, instance.last_heartbeat)

    def test_an_age_needs_both_times(self) -> None:
        """The heartbeat is then neither stale nor fresh."""
        good = 'Sun, 22 Nov 2026 10:01:30 GMT'
        cases: tuple[tuple[dict[str, str], Any], ...] = (
            ({}, '2026-11-22T10:00:00'),
            ({'date': 'now'}, '2026-11-22T10:00:00'),
            ({'date': ''}, '2026-11-22T10:00:00'),
            ({'date': good}, None),
            ({'date': good}, 'yesterday'),
            ({'date': good}, 1_700_000_000),
            ({'date': 'Sun, 22 Nov 2026 10:01:30'}, '2026-11-22T10:00:00'),
        )
        for headers, heartbeat in cases:
            instance = self.listed(headers, service_status_updated=heartbeat)
            self.assertIsNone(instance.heartbeat_age, str(headers))
            self.assertFalse(instance.is_stale or instance.is_fresh)

    def test_after_three_missed_heartbeats_it_is_stale(self) -> None:
        """An agent sends a heartbeat every 30 s.

        In RESTART_REQUIRED, Trove does not record heartbeats.
        """
        for age, status, stale, fresh in (
            (0.0, 'ACTIVE', False, True),
            (90.0, 'ACTIVE', False, True),
            (90.1, 'ACTIVE', True, False),
            (3600.0, 'RESTART_REQUIRED', False, False),
            # The clocks differ, so the age proves nothing.
            (-0.1, 'ACTIVE', False, False),
        ):
            row = inventory.Instance('x', status=status, heartbeat_age=age)
            self.assertIs(stale, row.is_stale, str(age))
            self.assertIs(fresh, row.is_fresh, str(age))

    def test_trove_does_not_ask_a_busy_guest(self) -> None:
        """Its status in the listing says so."""
        busy = {'BUILD', 'REBOOT', 'RESIZE', 'PROMOTE', 'EJECT', 'UPGRADE'}
        for status in (*busy, 'ACTIVE', 'ERROR', 'RESTART_REQUIRED', None):
            instance = inventory.Instance('x', status=status)
            self.assertIs(status in busy, instance.is_busy, str(status))

    def test_a_shutdown_counts_only_with_a_server(self) -> None:
        """Trove also writes SHUTDOWN if Nova does not know the server."""
        for server, busy in (({'id': 'x'}, True), (None, False), ('x', False)):
            instance = self.listed({}, status='SHUTDOWN', server=server)
            self.assertIs(busy, instance.server is not None)
            self.assertIs(busy, instance.is_busy)

    def test_a_server_has_a_host_and_a_status(self) -> None:
        """An empty value, or one that is not text, is missing."""
        for server, expected in (
            (
                {'id': 's', 'name': 'x', 'host': 'node-1', 'status': 'ACTIVE'},
                inventory.Server('s', 'node-1', 'ACTIVE'),
            ),
            ({'id': 's', 'host': ''}, inventory.Server('s')),
            ({'id': 7, 'host': ['x'], 'status': {}}, inventory.Server()),
            (None, None),
            ('s', None),
        ):
            self.assertEqual(expected, self.listed({}, server=server).server)

    def test_no_agent_can_answer_in_a_server_that_is_off(self) -> None:
        """Nova's status counts, not Trove's."""
        off = {'SHUTOFF', 'PAUSED', 'SUSPENDED'}
        off |= {'SHELVED', 'SHELVED_OFFLOADED'}
        for status in (*off, 'ACTIVE', 'ERROR', 'UNKNOWN', 'shutoff', None):
            row = self.listed({}, server={'id': 's', 'status': status})
            self.assertIs(status in off, row.is_off, str(status))
        self.assertFalse(self.listed({}, status='SHUTOFF', server=None).is_off)


class IsIdTest(testtools.TestCase):
    def test_a_canonical_uuid_is_an_id_and_all_else_a_name(self) -> None:
        """The case does not matter, but the hyphens do."""
        for text, expected in {
            base.GUEST: True,
            base.GUEST.upper(): True,
            base.GUEST.replace('-', ''): False,
            f'{{{base.GUEST}}}': False,
            f'{base.GUEST}\n': False,
            f' {base.GUEST}': False,
            'db-1': False,
            '': False,
        }.items():
            self.assertEqual(expected, inventory.is_id(text), repr(text))
