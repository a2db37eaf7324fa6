# SPDX-License-Identifier: Apache-2.0

"""The facts that are read in an HTTP reply."""

import testtools

from troveclient_rpcping import reply as replies


class ReplyTest(testtools.TestCase):
    def test_retry_after_is_seconds_or_nothing(self) -> None:
        """Only a finite number of 0 or more counts as seconds."""
        for text, seconds in {
            '1': 1.0,
            '0': 0.0,
            '2.5': 2.5,
            '-1': None,
            'nan': None,
            'inf': None,
            'Wed, 21 Oct 2026 07:28:00 GMT': None,
            '': None,
        }.items():
            reply = replies.Reply(413, {'retry-after': text})
            self.assertEqual(seconds, reply.retry_after, text)

    def test_the_request_id_is_troves(self) -> None:
        """It is read from the header that Trove sends."""
        reply = replies.Reply(204, {'x-openstack-request-id': 'req-1'})
        self.assertEqual('req-1', reply.request_id)
        self.assertIsNone(replies.Reply(204).request_id)

    def test_the_text_of_a_reply_without_a_fault_is_its_body(self) -> None:
        """The text is never None, and bytes outside UTF-8 are replaced."""
        self.assertEqual('', replies.Reply(500).text)
        self.assertEqual('a\ufffd', replies.Reply(500, {}, b'a\xff').text)

    def test_the_words_of_middleware_are_one_clean_line(self) -> None:
        """The middleware of Trove, Keystone and webob sends HTML."""
        webob = (
            b'{"message": "Access was denied to this resource.<br /><br />\\n'
            b'User with tenant id 7 &amp; cannot access this resource.'
            b'\\n\\n", "code": "403 Forbidden", "title": "Forbidden"}'
        )
        ksm = b'{"error": {"code": 401, "title": "x", "message": "Log in."}}'
        for status, body, words in (
            (
                403,
                webob,
                'HTTP 403: Access was denied to this resource. User with '
                'tenant id 7 & cannot access this resource.',
            ),
            (401, ksm, 'Log in.'),
            (400, b'{"badRequest": {"message": "<a> b"}}', '<a> b'),
            (502, b'<html>Bad Gateway</html>', None),
            (500, b'{"message": "<br />", "title": "x"}', None),
            (500, b'{"message": 7}', None),
            (500, b'["message"]', None),
        ):
            reply = replies.Reply(status, {}, body)
            self.assertEqual(words, reply.words, str(body))
        # Such a reply proves nothing.
        self.assertIsNone(replies.Reply(403, {}, webob).fault)

    def test_a_body_is_announced_by_a_length_or_a_coding(self) -> None:
        """A length of 0 announces no body."""
        for headers, announced in (
            ({}, False),
            ({'content-length': '0'}, False),
            ({'content-length': ' 0 '}, False),
            ({'content-length': '1'}, True),
            ({'content-length': '00'}, True),
            ({'content-length': ''}, True),
            ({'transfer-encoding': ''}, True),
            ({'content-length': '0', 'transfer-encoding': 'chunked'}, True),
        ):
            reply = replies.Reply(204, headers)
            self.assertIs(announced, reply.announces_body, str(headers))

    def test_a_cache_that_answers_says_so(self) -> None:
        """Its age, a warning, or the word of a cache shows a hit."""
        hit = {
            'age': ['1', '0, 7', 'old'],
            'warning': [
                *(f'11{number} - "Response is Stale"' for number in range(4)),
                '199 - "x", 110 proxy "Response is Stale"',
            ],
            'x-cache': [
                *('HIT', 'TCP_MEM_HIT', 'RefreshHit from cloudfront'),
                'MISS from a, Hit from cloudfront',
                'TCP_HIT from a23-1-2-3.deploy.example',
            ],
            'x-cache-lookup': ['HIT from squid:3128'],
            'x-cache-status': ['HIT', 'STALE', 'UPDATING', 'REVALIDATED'],
            'x-proxy-cache': ['HIT'],
            'cf-cache-status': ['HIT'],
            'cache-status': ['ExampleCache; hit'],
            'x-varnish': ['32770 3'],
        }
        for name, values in hit.items():
            for value in values:
                reply = replies.Reply(204, {name: value})
                self.assertEqual(f'{name}: {value}', reply.cached)

    def test_a_cache_that_passed_a_reply_on_is_harmless(self) -> None:
        """A cache reports a miss as well. Most replies met no cache."""
        missed = {
            'age': ['0', '0, 0'],
            'warning': ['199 - "x"', '214 - "Transformation Applied"'],
            'x-cache': [
                *('MISS', 'TCP_MISS', 'Miss from cloudfront'),
                'MISS from white-hitch.example',
            ],
            'x-cache-lookup': ['MISS from squid:3128'],
            'x-cache-status': ['BYPASS'],
            'cf-cache-status': ['DYNAMIC'],
            'cache-status': ['Example; fwd=miss', 'Example; fwd=stale'],
            'x-varnish': ['32770'],
            'cache-control': ['max-age=10'],
        }
        for name, values in missed.items():
            for value in values:
                self.assertEqual(
                    '', replies.Reply(204, {name: value}).cached, value
                )
        self.assertEqual('', replies.Reply(204).cached)


class HeadTest(testtools.TestCase):
    def test_a_head_is_a_status_and_fields(self) -> None:
        """A 1xx before the head and trailers after it do not count."""
        for head, status, fields in (
            ('HTTP/1.1 204 No Content||', 204, {}),
            ('HTTP/1.1 200 OK|A: b||', 200, {'a': 'b'}),
            ('HTTP/1.1 103 X|A: b||HTTP/1.1 204 X|C: d||', 204, {'c': 'd'}),
            ('HTTP/1.1 204 X|A: b||Trailer: c||', 204, {'a': 'b'}),
            # A field that comes twice, and a value of two lines.
            ('HTTP/1.1 400 X|A: b|a: c||', 400, {'a': 'b, c'}),
            ('HTTP/1.1 400 X|A: b| c||', 400, {'a': 'b, c'}),
            # A line without a colon, and a line that continues nothing.
            ('HTTP/1.1 400 X|A|B : c ||', 400, {'b': 'c'}),
            ('HTTP/1.1 400 X| a: b|C: d||', 400, {'c': 'd'}),
            # A head that breaks off, or is not one of HTTP.
            ('HTTP/1.1 204 X|A: b', None, {}),
            ('HTTP/1.1 100 X||', 100, {}),
            ('HTTP/1.1 2040 X||', None, {}),
            ('SSH-2.0-OpenSSH||', None, {}),
            ('', None, {}),
        ):
            lines = head.replace('|', '\r\n').encode().splitlines(True)
            self.assertEqual((status, fields), replies.parse_head(lines), head)
