# SPDX-License-Identifier: Apache-2.0

"""Guests outside the selection that may answer."""

from collections.abc import Collection
import json
from typing import Any

import testtools

from troveclient_rpcping import fixture
from troveclient_rpcping import inventory
from troveclient_rpcping import reply as replies
from troveclient_rpcping.sweep import witnesses as sweep_witnesses


def row(
    name: str, age: float | None = 5.0, **fields: Any
) -> inventory.Instance:
    return inventory.Instance(
        name, status='ACTIVE', heartbeat_age=age, **fields
    )


def page(*names: str, more: bool = False) -> replies.Reply:
    body: dict[str, Any] = {'instances': [{'id': name} for name in names]}
    if more:
        body['links'] = [{'rel': 'next', 'href': 'http://x?marker=5'}]
    return replies.Reply(200, {}, json.dumps(body).encode())


def witnesses(
    rows: Collection[inventory.Instance] | None = None, asked: str = ''
) -> sweep_witnesses.Witnesses:
    return sweep_witnesses.Witnesses(rows, lambda id_: id_ in set(asked))


class ReadingTest(testtools.TestCase):
    def test_the_listing_is_read_page_by_page(self) -> None:
        """Each page is requested once, after the reply to the last.

        A page that the rate limit refused is requested again.
        """
        found = witnesses()
        self.assertIs(sweep_witnesses.Listing.UNREAD, found.listing)
        first = found.page()
        assert first is not None
        self.assertNotIn('marker', first.path)
        self.assertIs(sweep_witnesses.Listing.READING, found.listing)
        self.assertIsNone(found.page())
        found.again(first.path)
        again = found.page()
        assert again is not None
        self.assertEqual(first.path, again.path)
        found.read(page('a', more=True))
        second = found.page()
        assert second is not None
        self.assertIn('marker=5', second.path)

    def test_the_listing_is_read_once(self) -> None:
        """Each listing makes Trove ask Nova."""
        found = witnesses()
        found.page()
        found.read(page('a'))
        self.assertIs(sweep_witnesses.Listing.ENDED, found.listing)
        self.assertIsNone(found.page())
        row = found.row('a')
        assert row is not None
        self.assertEqual('a', row.id)
        self.assertIsNone(found.row('b'))

    def test_a_listing_that_the_caller_has_is_not_read(self) -> None:
        """The caller's listing may be empty."""
        for rows in ([row('a'), row('b')], []):
            found = witnesses(rows, 'a')
            self.assertIsNone(found.page())
            self.assertIs(sweep_witnesses.Listing.ENDED, found.listing)
            self.assertEqual(bool(rows), found.next(0.0) is not None)

    def test_a_listing_that_cannot_be_read_has_no_witness(self) -> None:
        """An API without a listing is a stub, which is another case."""
        for reply, state in (
            (
                replies.NoReply(replies.Failure.TIMEOUT, 'x'),
                sweep_witnesses.Listing.ENDED,
            ),
            (
                replies.NoReply(replies.Failure.CONNECTION, 'x'),
                sweep_witnesses.Listing.ENDED,
            ),
            (fixture.api_error(), sweep_witnesses.Listing.ENDED),
            (fixture.denied(), sweep_witnesses.Listing.ENDED),
            (fixture.gateway(), sweep_witnesses.Listing.ENDED),
            (replies.Reply(200, {}, b'{}'), sweep_witnesses.Listing.ENDED),
            (fixture.agent_error(), sweep_witnesses.Listing.ENDED),
            (replies.Reply(404), sweep_witnesses.Listing.MISSING),
            (replies.Reply(405), sweep_witnesses.Listing.MISSING),
            (replies.Reply(501), sweep_witnesses.Listing.MISSING),
            (fixture.reachable(), sweep_witnesses.Listing.MISSING),
            (fixture.agent_timeout(), sweep_witnesses.Listing.MISSING),
        ):
            found = witnesses()
            found.page()
            found.read(reply)
            if found.listing is sweep_witnesses.Listing.READING:
                # A smaller page may do.
                self.assertIsNotNone(found.page())
                found.read(reply)
            self.assertIs(state, found.listing, str(reply))
            self.assertTrue(found.exhausted)
            self.assertIsNone(found.next(0.0))


class TurnsTest(testtools.TestCase):
    def witnesses(
        self, *rows: inventory.Instance, asked: str = ''
    ) -> sweep_witnesses.Witnesses:
        found = witnesses(rows, asked)
        found.page()
        return found

    def called(self, found: sweep_witnesses.Witnesses) -> list[str]:
        """Return the witnesses that are pinged, in their order."""
        names = []
        for now in range(100):
            guest = found.next(float(now))
            if guest is not None:
                names.append(guest.instance_id)
        return names

    def test_a_guest_that_cannot_answer_is_not_a_witness(self) -> None:
        """Nor is a guest that is pinged already.

        The ping of an impossible ID could not be sent.
        """
        found = self.witnesses(
            *map(row, ['a', 'b', 'c', 'd', '..', 'a/b']),
            inventory.Instance('e', status='BUILD'),
            row('f', server=inventory.Server(status='SHUTOFF')),
            asked='bd',
        )
        self.assertCountEqual('ac', self.called(found))

    def test_the_freshest_heartbeat_comes_first(self) -> None:
        """A guest with a heartbeat in the future, or none, comes late."""
        found = self.witnesses(
            row('stale', 3600),
            row('future', -500),
            row('fresh', 20),
            row('unheard', None),
            row('freshest', 3),
        )
        names = self.called(found)
        self.assertEqual(['freshest', 'fresh'], names[:2])
        self.assertEqual('stale', names[-1])

    def test_at_most_eight_are_pinged(self) -> None:
        """If eight are silent, the guests are not the cause."""
        found = self.witnesses(*(row(str(n)) for n in range(50)))
        self.assertEqual(8, len(self.called(found)))
        self.assertEqual(8, found.asked)

    def test_there_is_a_pause_between_them(self) -> None:
        """Each witness may hold a worker of trove-api."""
        found = self.witnesses(row('a'), row('b'))
        self.assertIsNotNone(found.next(10.0))
        self.assertIsNone(found.next(10.4))
        self.assertIsNotNone(found.next(10.5))

    def test_a_witness_that_the_rate_limit_refused_is_pinged_again(
        self,
    ) -> None:
        """It is pinged after the pause, before the others."""
        found = self.witnesses(row('a'), row('b'))
        guest = found.next(0.0)
        assert guest is not None
        self.assertEqual(row('a'), guest.row)
        found.refused(guest, 7.0)
        self.assertEqual(0, found.asked)
        self.assertIsNone(found.next(6.9))
        self.assertEqual(guest, found.next(7.0))

    def test_they_are_exhausted_when_the_last_one_kept_silent(self) -> None:
        """They are not exhausted while a ping is due or under way."""
        found = witnesses()
        self.assertFalse(found.exhausted)
        found = self.witnesses(row('a'))
        self.assertFalse(found.exhausted)
        found.next(0.0)
        self.assertFalse(found.exhausted)
        found.mute += 1
        self.assertTrue(found.exhausted)
        self.assertTrue(self.witnesses().exhausted)
