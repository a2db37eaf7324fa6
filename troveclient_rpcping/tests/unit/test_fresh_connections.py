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


"""The pings that take a new connection, and so may reach any worker."""

import uuid

import testtools

from troveclient_rpcping import fixture
from troveclient_rpcping.engine.questions import Answer
from troveclient_rpcping.engine.questions import Question
from troveclient_rpcping.reply import Reply
from troveclient_rpcping.sweep.capacity import Capacity
from troveclient_rpcping.sweep.queue import Guest
from troveclient_rpcping.sweep.repeat import Times
from troveclient_rpcping.sweep.sweep import Sweep


class FreshConnectionTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        guests = [Guest(str(uuid.UUID(int=n))) for n in range(20)]
        self.sweep = Sweep(
            guests,
            Times(1, 1.0),
            Capacity(64),
            timeout=30.0,
            now=0.0,
            listing=[],
        )

    def ask(self, now: float) -> Question:
        """Send the next pings."""
        question = self.sweep.next(now)
        assert question is not None
        return question

    def answer(self, question: Question, reply: Reply, now: float) -> None:
        """Report the answers at once."""
        self.sweep.answered(Answer(question, reply, 0.1, now))

    def test_answers_that_come_go_on_by_the_same_connection(self) -> None:
        """The first pings open a connection, which is then kept."""
        first = self.ask(0.0)
        self.assertFalse(first.fresh)
        self.answer(first, fixture.reachable(), 0.1)
        self.assertFalse(self.ask(0.2).fresh)

    def test_while_no_agent_answers_other_workers_are_tried(self) -> None:
        """All kept connections may lead to a worker without the bus."""
        first, second = self.ask(0.0), self.ask(0.0)
        self.answer(first, fixture.reachable(), 0.1)
        self.answer(second, fixture.agent_timeout(), 3.0)
        following = []
        while (question := self.sweep.next(3.0)) is not None:
            following.append(question)
        self.assertTrue(following)
        self.assertTrue(all(question.fresh for question in following))
