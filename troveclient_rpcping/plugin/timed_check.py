# SPDX-License-Identifier: Apache-2.0

"""One check of the plugin, which ends at its deadline.

A thread does the work, and the main thread waits for it until the deadline. So
a name server, a Keystone or a disk that hangs holds up the work, but neither
the deadline nor a signal.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import io
import sys
import threading
import time
import traceback

from troveclient_rpcping import durations
from troveclient_rpcping import exceptions
from troveclient_rpcping import plaintext
from troveclient_rpcping.cli import arguments as cli_arguments
from troveclient_rpcping.cli import survey as surveys
from troveclient_rpcping.plugin import cloud as clouds
from troveclient_rpcping.plugin import command_line
from troveclient_rpcping.plugin import main
from troveclient_rpcping.plugin import output
from troveclient_rpcping.plugin import thresholds

# The first two stages of the work. A login may fail in both.
_LOGIN = ('reading the options', 'logging in')

# The longest wait without a look for signals, in seconds. If the kernel gives
# the signal to another thread, the signal does not interrupt the wait.
_TICK = 0.1

# Seconds for the sweep to report the results that it holds back, after a
# signal: less than the grace after a second signal.
_HANDOVER = 1.0

# The packages whose exceptions have a sentence as their text.
_WITH_SENTENCES = ('keystoneauth1', 'openstack', 'troveclient')


class Check:
    """One check.

    :param argv: the command line, without the program.
    :param started: when the plugin began, on this clock.
    :param clock: returns the time in seconds.
    """

    def __init__(
        self,
        argv: Sequence[str],
        started: float,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._argv = clouds.without_empty(argv)
        self._clock = clock
        self._started = started
        # These count until the command line is parsed.
        self._options = command_line.first_look(self._argv)
        self._help = io.StringIO()
        self._stage = _LOGIN[0]
        # None until the command line is parsed.
        self._cloud: clouds.Cloud | None = None
        # None until the guests are chosen.
        self._survey: surveys.Survey | None = None
        self._failure: BaseException | None = None
        self._ended, self._done = threading.Event(), threading.Event()

    def outcome(self) -> tuple[thresholds.State, list[str]]:
        """Make the check, and return the state and the lines to print."""
        trouble = self._wait()
        if isinstance(self._failure, SystemExit) and not self._failure.code:
            # The plugin shows its help, and has checked nothing.
            return thresholds.State.UNKNOWN, self._help.getvalue().splitlines()
        if self._survey is None:
            sentence = trouble or self._out_of_time()
            line = output.first_line(thresholds.State.UNKNOWN, sentence)
            return thresholds.State.UNKNOWN, [line, *self._traceback()]
        why = 'the check ended before an answer came'
        report = output.Report(
            self._survey.findings(why if trouble else self._out_of_time()),
            self._options,
            self._clock() - self._started,
        )
        state = report.state
        sentence = '; '.join([report.sentence, *self._survey.left_out])
        if trouble:
            state = thresholds.State.UNKNOWN
            sentence = f'{trouble}; {sentence}'
        return state, [
            output.first_line(state, sentence, report.performance),
            *report.guests(self._options.verbose),
            *self._traceback(),
        ]

    def _wait(self) -> str:
        """Wait for the work; return why it failed, if not for lack of time."""
        try:
            threading.Thread(target=self._work, daemon=True).start()
            # The command line may change the deadline.
            while self._left and not self._done.wait(min(_TICK, self._left)):
                pass
        except main.Ended as ended:
            self._ended.set()
            if self._survey is not None:
                self._done.wait(_HANDOVER)
            return f'{ended} while {self._stage}'
        if self._failure is None:
            return ''
        return f'{self._stage} failed: {self._words(self._failure)}'

    def _words(self, failure: BaseException) -> str:
        """Return the text of a failure."""
        text, kind = str(failure), type(failure)
        if isinstance(failure, SystemExit):
            return 'wrong usage (see --help)'
        theirs = kind.__module__.startswith('keystoneauth1')
        if self._cloud and (theirs or self._stage in _LOGIN):
            explained = self._cloud.explained(failure)
            if explained:
                return explained
        if text and kind.__module__.startswith(_WITH_SENTENCES):
            return text
        return f'{kind.__name__}: {text}'

    @property
    def _left(self) -> float:
        end = self._started + float(self._options.deadline)
        return max(0.0, end - self._clock())

    def _work(self) -> None:
        try:
            self._check()
        except BaseException as error:
            self._failure = error
        finally:
            self._done.set()

    def _check(self) -> None:
        chosen = clouds.Cloud(self._argv)
        with (
            contextlib.redirect_stdout(self._help),
            # The parser of keystoneauth prints there.
            contextlib.redirect_stderr(io.StringIO()),
        ):
            options = self._options = command_line.parse(chosen, self._argv)
        self._cloud = chosen
        chosen.choose(options)
        survey = surveys.Survey(
            cli_arguments.selection(options),
            cli_arguments.plan(options),
            stdin=sys.stdin,
            project_id=chosen.project_id,
            # Two tenants may give their instances the same name.
            strict=False,
        )
        self._stage = _LOGIN[1]
        manager = chosen.client().mgmt_instances
        self._stage = 'choosing the guests'
        if not survey.choose(manager, self._time_for_work):
            # A check without a guest checks nothing.
            file = plaintext.one_line(str(options.from_file))
            raise exceptions.NoTargetError(f'{file} names no instance')
        self._stage = 'pinging'
        self._survey = survey
        survey.ping(
            manager,
            lambda *_: None,
            deadline=self._time_for_work,
            cancel=self._ended,
        )

    @property
    def _time_for_work(self) -> float:
        """Seconds for listing and pings; the rest remains for the report."""
        left = self._left
        return max(0.001, left - min(2.0, left / 5))

    def _out_of_time(self) -> str:
        within = durations.human(self._options.deadline)
        return f'the time of {within} was up while {self._stage}'

    def _traceback(self) -> list[str]:
        if self._failure is None or self._options.verbose < 3:
            return []
        text = ''.join(traceback.format_exception(self._failure))
        return [output.clean(line) for line in plaintext.lines(text)]
