#    Licensed under the Apache License, Version 2.0 (the "License"); you may
#    not use this file except in compliance with the License. You may obtain
#    a copy of the License at
#
#         http://www.apache.org/licenses/LICENSE-2.0
#
#    Unless required by applicable law or agreed to in writing, software
#    distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
#    WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
#    License for the specific language governing permissions and limitations
#    under the License.

"""``tools/acceptance.sh`` against a real control plane."""

import pathlib
import re

from troveclient_rpcping.tests.functional import base

PROGRAM = pathlib.Path(__file__).parents[3] / 'tools' / 'acceptance.sh'


class TestCase(base.TestCase):
    def run_program(self, *argv: str) -> base.Run:
        return base.run(str(PROGRAM), *argv, env=self.sandbox.env())

    def results(self, run: base.Run) -> dict[str, str]:
        """Return the result of each claim, by its text in the table."""
        self.assertEqual('', run.stderr)
        for line in run.stdout.splitlines():
            self.assertLessEqual(len(line), 80)
        return dict(
            re.findall(
                r'^(\w.{27})  (held|DID NOT HOLD|not tried) ',
                run.stdout,
                re.MULTILINE,
            )
        )


@base.needs_rabbitmq
class AllHoldTest(TestCase):
    cloud = base.Cloud.WSGI

    def test_all_that_is_claimed_of_trove_holds(self) -> None:
        """The dead guest holds one of three workers meanwhile."""
        run = self.run_program(
            *(self.id_of('db-healthy'), self.id_of('db-clustered')),
            *('--dead', self.id_of('db-dead')),
            *('--member-cloud', 'sandbox-member'),
        )
        self.assertEqual({'held'}, set(self.results(run).values()), run.stdout)
        self.assertEqual(17, len(self.results(run)))
        self.assertEqual(0, run.status)


class FailureTest(TestCase):
    def test_what_does_not_hold_turns_the_row_and_the_exit_status(
        self,
    ) -> None:
        """The given guests and users are not what the arguments claim."""
        run = self.run_program(
            *(self.id_of('db-healthy'), self.id_of('db-failing')),
            *('--dead', self.id_of('db-clustered')),
            *('--member-cloud', 'sandbox'),
        )
        broken = [
            claim.partition(':')[0].strip()
            for claim, result in self.results(run).items()
            if result == 'DID NOT HOLD'
        ]
        self.assertEqual(
            [
                'Live guest',
                'Pings at once are answered',
                'Member is refused',
                'Dead guest',
                'Exit status 0',
            ],
            broken,
            run.stdout,
        )
        self.assertIn('disk is full', run.stdout)
        self.assertEqual(1, run.status)

    def test_without_a_login_nothing_is_tried(self) -> None:
        """The first row reports it, and the exit status is 1."""
        instance = self.id_of('db-healthy')
        self.sandbox.kill('keystone')
        run = self.run_program(instance)
        login, *others = self.results(run).values()
        self.assertEqual('DID NOT HOLD', login)
        self.assertEqual({'not tried'}, set(others))
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
