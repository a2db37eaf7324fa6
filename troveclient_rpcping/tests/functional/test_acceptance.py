# SPDX-License-Identifier: Apache-2.0

"""``tools/acceptance.sh`` against a real control plane."""

import pathlib
import re

from troveclient_rpcping.tests.functional import base

PROGRAM = pathlib.Path(__file__).parents[3] / 'tools' / 'acceptance.sh'


class TestCase(base.TestCase):
    def run_program(self, *argv: str) -> base.Run:
        return base.run(str(PROGRAM), *argv, env=self.sandbox.env())

    def results(self, run: base.Run) -> list[str]:
        """Return the result of each claim in the table."""
        self.assertEqual('', run.stderr)
        for line in run.stdout.splitlines():
            self.assertLessEqual(len(line), 80)
        return re.findall(
            r'(?m)^\w.{27}  (held|DID NOT HOLD|not tried) ', run.stdout
        )


@base.needs_rabbitmq
class AllHoldTest(TestCase):
    cloud = base.Cloud.WSGI_SMALL

    def test_all_that_is_claimed_of_trove_holds(self) -> None:
        """The dead guest holds one of three workers meanwhile."""
        run = self.run_program(
            *(self.id_of('db-healthy'), self.id_of('db-clustered')),
            *('--dead', self.id_of('db-dead')),
            *('--member-cloud', 'sandbox-member'),
        )
        self.assertEqual(['held'] * 17, self.results(run), run.stdout)
        self.assertEqual(0, run.status)


class FailureTest(TestCase):
    def test_without_a_login_nothing_is_tried(self) -> None:
        """The first row reports it, and the exit status is 1."""
        instance = self.id_of('db-healthy')
        self.sandbox.kill('keystone')
        run = self.run_program(instance)
        self.assertEqual(
            ['DID NOT HOLD', *['not tried'] * 16], self.results(run)
        )
        self.assertEqual(1, run.status)

    def test_wrong_usage_is_a_line_that_says_what_is_wrong(self) -> None:
        """The exit status is 2, and there is no table."""
        guest = self.id_of('db-healthy')
        for argv, words in (
            (('db-healthy',), 'is not the ID of an instance'),
            ((guest, '--dead', guest), 'cannot be well and dead'),
            (
                (guest, '--member-cloud', 'nosuch'),
                'Cloud nosuch was not found',
            ),
        ):
            run = self.run_program(*argv)
            self.assertIn(words, run.stderr.splitlines()[-1])
            self.assertEqual((2, ''), (run.status, run.stdout))
