# SPDX-License-Identifier: Apache-2.0

"""The commands of the runbooks in the documentation run, and work."""

import os
import pathlib
import re
import shutil
import stat
import sys
import textwrap

from troveclient_rpcping.tests.functional import base

ROOT = pathlib.Path(base.__file__).parents[3]
PAGE = ROOT / 'doc' / 'source' / 'user' / 'runbooks.rst'

BLOCK = re.compile(
    r'^\.\. code-block:: bash\n   :name: runbook-(\S+)\n\n((?:   .*\n|\n)+)',
    re.MULTILINE,
)

# The sandbox has no Nova. This script notes each reboot of a server, and
# restarts the agent of db-healthy.
OPENSTACK = """\
#!/bin/bash
if [ "$1 $2" = 'server reboot' ]; then
    echo "$4" >>{rebooted}
    guest() {{ PYTHONPATH={root} {python} -m sandbox guest db-healthy "$1"; }}
    guest dead
    {{ sleep 2; [ -n "$STAYS_DEAD" ] || guest answering; }} >/dev/null 2>&1 &
    exit 0
fi
exec {openstack} "$@"
"""


def runbooks() -> dict[str, str]:
    """Return the commands of the page, by their names."""
    found = BLOCK.findall(PAGE.read_text())
    return {name: textwrap.dedent(commands) for name, commands in found}


class RunbookTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.here = self.folder()
        programs = self.here / 'bin'
        programs.mkdir()
        openstack = programs / 'openstack'
        openstack.write_text(
            OPENSTACK.format(
                root=ROOT,
                python=sys.executable,
                openstack=base.program('openstack'),
                rebooted=self.here / 'bin' / 'rebooted',
            )
        )
        openstack.chmod(openstack.stat().st_mode | stat.S_IXUSR)
        path = [
            str(programs),
            str(ROOT / 'contrib' / 'cron'),
            str(pathlib.Path(sys.executable).parent),
            os.environ['PATH'],
        ]
        self.env = {
            **self.sandbox.env(),
            'PATH': os.pathsep.join(path),
            'folder': str(self.here),
            'instance': 'db-healthy',
            'PATIENCE': '4',
        }
        (self.here / 'contrib').symlink_to(ROOT / 'contrib')

    def follow(self, name: str, **env: str) -> base.Run:
        """Run the commands of one runbook."""
        return base.run(
            *('bash', '-c', runbooks()[name]),
            cwd=self.here,
            env={**self.env, **env},
        )

    def test_every_runbook_is_run_here(self) -> None:
        """A new runbook needs a test."""
        source = pathlib.Path(__file__).read_text()
        for name in runbooks():
            self.assertIn(f"self.follow('{name}'", source)

    def test_after_a_reboot_the_agent_is_waited_for(self) -> None:
        """A guest that was down before does not stop the runbook."""
        for before in ('answering', 'dead'):
            self.sandbox.set_guest('db-healthy', before)
            run = self.follow('reboot')
            self.assertEqual(0, run.status, run.stderr)
            self.assertIn('reachable', run.stdout)
        self.assertEqual([self.server()] * 2, self.rebooted())

    def server(self) -> str:
        """Return the ID of the server of db-healthy."""
        return str(self.sandbox.guests['db-healthy'].server_id)

    def rebooted(self) -> list[str]:
        file = self.here / 'bin' / 'rebooted'
        return file.read_text().split() if file.exists() else []

    def test_nothing_is_rebooted_without_a_verdict(self) -> None:
        """A name may have a typing error, or Nova may be broken."""
        healthy = 'db-healthy', self.id_of('db-healthy')
        for nova, instances in (('ok', ['db-helathy']), ('broken', healthy)):
            self.sandbox.set_nova(nova)
            for runbook in ('reboot', 'ansible'):
                for instance in instances:
                    run = self.follow(runbook, instance=instance)
                    self.assertNotEqual(0, run.status)
                    self.assertEqual([], self.rebooted())

    def test_a_maintenance_waits_for_the_guests_that_answered_before(
        self,
    ) -> None:
        """It does not wait for the guests that were dead before."""
        self.follow('maintenance-before')
        ids = (self.here / 'before').read_text().split()
        self.assertEqual(6, len(ids))
        self.assertNotIn(self.id_of('db-dead'), ids)
        run = self.follow('maintenance-after')
        self.assertEqual(0, run.status, run.stderr)

    def test_the_nightly_sweep_leaves_the_failures(self) -> None:
        """A later ping takes these files."""
        run = self.follow('nightly')
        self.assertEqual(3, run.status, run.stderr)
        failed = (self.here / 'failed').read_text().split()
        self.assertEqual(3, len(failed))
        self.assertIn(self.id_of('db-dead'), failed)
        self.assertEqual(['bad', 'failed'], self.files())
        # db-unready is unknown: ping it again, and do not repair it. The
        # patience is too short for the proof that db-dead is dead.
        bad = (self.here / 'bad').read_text().split()
        self.assertIn(self.id_of('db-failing'), bad)
        self.assertNotIn(self.id_of('db-unready'), bad)
        run = self.follow('nightly-repair')
        self.assertEqual(0, run.status, run.stderr)
        self.assertIn('db-failing', run.stdout)
        run = self.follow('nightly-again')
        self.assertEqual(3, run.status)
        self.assertIn('3 guests: 0 reachable', run.stderr)

    def files(self) -> list[str]:
        return sorted(
            each.name for each in self.here.iterdir() if each.is_file()
        )

    def nightly(self, *arguments: str, **env: str) -> base.Run:
        """Run the script as cron does, with another PATH."""
        return base.run(
            str(ROOT / 'contrib' / 'cron' / 'trove-guest-rpc-nightly'),
            *arguments,
            cwd='/',
            env={**self.sandbox.env(), 'PATH': '/usr/bin:/bin', **env},
        )

    def leave_old_files(self) -> None:
        for name in ('failed', 'bad'):
            (self.here / name).write_text('old\n')

    def test_cron_finds_openstack_by_its_path(self) -> None:
        """The PATH of cron is short."""
        self.leave_old_files()
        run = self.nightly(
            str(self.here),
            OPENSTACK=str(base.program('openstack')),
            PATIENCE='1',
        )
        self.assertEqual(('', ''), (run.stdout, run.stderr))
        # A busy machine has no verdict within this patience, and ends with 1.
        self.assertIn(run.status, (1, 3))
        self.assertEqual(['bad', 'failed'], self.files())
        self.assertNotIn('old', (self.here / 'failed').read_text())

    def test_a_night_without_a_sweep_leaves_no_file_to_act_on(self) -> None:
        """The old files are removed; one line names the cause."""
        stub = self.here / 'bin' / 'fails'
        stub.write_text('#!/bin/sh\nexit 1\n')
        stub.chmod(0o755)
        for openstack, words in (
            ('', 'openstack is not found in /usr/bin:/bin: set OPENSTACK'),
            ('/nosuch/openstack', '/nosuch/openstack is not found'),
            (str(stub), r'there was no sweep \(exit status 1\)'),
        ):
            self.leave_old_files()
            run = self.nightly(str(self.here), OPENSTACK=openstack)
            self.assertEqual(1, run.status)
            self.assertRegex(
                run.stderr, rf'\Atrove-guest-rpc-nightly: {words}.*\n\Z'
            )
            self.assertEqual([], self.files())

    def test_a_night_without_rights_leaves_no_file_to_act_on(self) -> None:
        """The API refuses the listing, and the old files are removed."""
        self.leave_old_files()
        run = self.follow('nightly', OS_CLOUD='sandbox-member')
        self.assertEqual(1, run.status)
        self.assertEqual([], self.files())

    def test_a_wrong_folder_is_said(self) -> None:
        """The script ends before it pings."""
        for arguments, status, words in (
            ((), 2, 'give one folder'),
            (('a', 'b'), 2, 'give one folder'),
            (('/nosuch',), 1, 'there is no folder /nosuch'),
        ):
            run = self.nightly(*arguments, OPENSTACK='/bin/false')
            self.assertEqual(status, run.status)
            self.assertIn(words, run.stderr)

    def test_a_night_in_which_all_is_well_leaves_empty_files(self) -> None:
        """The files are empty, because no guest needs a repair."""
        self.leave_old_files()
        run = self.nightly(str(self.here), OPENSTACK='/bin/true')
        self.assertEqual((0, ''), (run.status, run.stderr))
        self.assertEqual(['bad', 'failed'], self.files())
        for name in self.files():
            self.assertEqual('', (self.here / name).read_text())

    def test_a_second_try_in_vain_leaves_what_the_first_found(self) -> None:
        """The second sweep fails, for example because Keystone does."""
        stub = self.here / 'bin' / 'fails-again'
        stub.write_text(
            '#!/bin/sh\n'
            'case "$*" in *--all*) ;; *) exit 1 ;; esac\n'
            'echo ID-7 error\n'
            'echo ID-8 unknown\n'
            'exit 3\n'
        )
        stub.chmod(0o755)
        self.leave_old_files()
        run = self.nightly(str(self.here), OPENSTACK=str(stub))
        self.assertEqual(1, run.status)
        self.assertIn('could not be asked again (exit status 1)', run.stderr)
        self.assertEqual('ID-7\nID-8\n', (self.here / 'failed').read_text())
        # The bad guests may be well by now: repair nothing.
        self.assertEqual('', (self.here / 'bad').read_text())
        self.assertEqual(['bad', 'failed'], self.files())

    def test_the_playbook_goes_on_when_the_agent_is_back(self) -> None:
        """It stops at a guest that does not come back."""
        run = self.follow('ansible')
        self.assertEqual(0, run.status, run.stdout + run.stderr)
        playbook = shutil.which('ansible-playbook', path=self.env['PATH'])
        guests = '{"guests": ["db-healthy"], "patience": 5}'
        run = base.run(
            *(playbook or '', 'contrib/ansible/reboot.yaml', '-e', guests),
            cwd=self.here,
            env={**self.env, 'STAYS_DEAD': 'yes'},
        )
        self.assertNotEqual(0, run.status)
        self.assertIn('unreachable', run.stdout)

    def test_the_bus_is_told_from_the_guest(self) -> None:
        """It shows the bad guests of the same datastore."""
        self.sandbox.set_guest('db-healthy', 'dead')
        run = self.follow('bus-or-guest')
        self.assertEqual(3, run.status, run.stderr)
        self.assertIn('Last Heartbeat', run.stdout)
        self.assertIn('3 of 3 pings lost', run.stdout)
        self.assertNotIn('db-clustered', run.stdout)

    def test_a_script_knows_what_to_do(self) -> None:
        """The exit status is enough."""
        for instance, words in (
            ('db-healthy', 'go on\n'),
            ('db-dead', 'repair the guest\n'),
            ('db-unready', 'look at the control plane\n'),
        ):
            run = self.follow('script', instance=instance)
            self.assertEqual((words, ''), (run.stdout, run.stderr))

    def test_a_cron_job_feeds_the_textfile_collector(self) -> None:
        """The file is complete; the exit status is that of the ping."""
        run = self.follow('textfile')
        self.assertEqual((3, ''), (run.status, run.stderr))
        text = (self.here / 'trove_guest_rpc.prom').read_text()
        self.assertIn('trove_guest_rpc_guests{verdict="reachable"} 6.0', text)

    def test_the_plugin_warns_of_a_bad_guest(self) -> None:
        """The warning is one line."""
        self.sandbox.set_guest('db-healthy', 'dead')
        run = self.follow('check')
        self.assertRegex(run.stdout, '^TROVE GUEST RPC [A-Z]+ - .*bad=1;')
        self.assertEqual(1, len(run.stdout.splitlines()))
