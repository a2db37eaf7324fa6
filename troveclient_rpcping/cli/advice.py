# SPDX-License-Identifier: Apache-2.0

"""What is wrong, for each reason, and where to look next."""

from __future__ import annotations

from troveclient_rpcping import exceptions
from troveclient_rpcping import plaintext
from troveclient_rpcping import verdict as verdicts

_ADVICE = {
    verdicts.Reason.AGENT_TIMEOUT: (
        'Check that the server runs, that the agent runs in it, and that it '
        'is connected to the message bus.'
    ),
    verdicts.Reason.AGENT_ERROR: (
        'Look into the log of the agent in the guest.'
    ),
    verdicts.Reason.DENIED: (
        'Only an administrator may ping; check the credentials in use.'
    ),
    verdicts.Reason.RATE_LIMITED: 'Try again in a minute.',
    verdicts.Reason.COMPUTE_ERROR: 'Look at Nova, not at the guest.',
    verdicts.Reason.API_ERROR: (
        'Look for the ID of the guest in the log of trove-api.'
    ),
    verdicts.Reason.GATEWAY: (
        'Check that trove-api runs, and that it reaches Keystone.'
    ),
    verdicts.Reason.CONNECTION: (
        'Check that trove-api runs, the endpoint in the catalog, and the way '
        'there: proxies and certificates.'
    ),
    verdicts.Reason.BAD_RESPONSE: (
        'Check what stands between here and the Trove API.'
    ),
}

_PROJECT_ADVICE = (
    'The project in the URL of the endpoint must be that of the login: check '
    'the endpoint in the catalog, or where an endpoint is set in its place.'
)

_STATEMENTS = {
    verdicts.Reason.AGENT_TIMEOUT: (
        'Trove asked, and the guest agent did not answer in time.'
    ),
    verdicts.Reason.NO_SUCH_METHOD: (
        'The guest agent answered that it does not know the ping: its image '
        'is old. RPC works.'
    ),
    verdicts.Reason.AGENT_ERROR: (
        'The guest agent failed the ping: "{detail}".'
    ),
    verdicts.Reason.NOT_FOUND: 'There is no such instance, or it was deleted.',
    verdicts.Reason.NOT_READY: (
        'Trove cannot ask it now: "{detail}". It is being built or changed, '
        'or its server is gone: compare with "openstack server list '
        '--all-projects".'
    ),
    verdicts.Reason.SERVER_OFF: (
        '{detail}. If it should run, "openstack server event list" says who '
        'stopped it.'
    ),
    verdicts.Reason.DENIED: 'The API refuses this user: "{detail}".',
    verdicts.Reason.RATE_LIMITED: (
        'The rate limit of the API refused the ping, and the guest was not '
        'asked.'
    ),
    verdicts.Reason.COMPUTE_ERROR: (
        'Trove could not look up the server in Nova, so the guest was never '
        'asked: "{detail}".'
    ),
    verdicts.Reason.API_ERROR: (
        'The Trove API failed, and the guest may not have been asked: '
        '"{detail}".'
    ),
    verdicts.Reason.GATEWAY: (
        'A proxy or a filter in front of the Trove API answered in its place: '
        '"{detail}".'
    ),
    verdicts.Reason.TIMEOUT: '{detail}. The guest may be well.',
    verdicts.Reason.MESSAGE_BUS: (
        '{detail}. The guest may be well: look at the workers of trove-api '
        'and at the nodes of the message bus (RabbitMQ), and repair no guest.'
    ),
    verdicts.Reason.CONNECTION: 'The Trove API cannot be reached: "{detail}".',
    verdicts.Reason.BAD_RESPONSE: (
        'The answer is not one that Trove gives: "{detail}".'
    ),
    verdicts.Reason.NOT_ASKED: 'The sweep ended early: "{detail}".',
}

# These statuses say more than their reasons.
_BY_STATUS = {
    # Trove itself answers 401 to a user who is not an administrator.
    403: (
        'The API, or a proxy in front of it, refuses the request: "{detail}". '
        'Check the credentials in use, and what stands between here and the '
        'Trove API.'
    ),
    504: (
        'A proxy in front of the Trove API did not wait for its answer: '
        '"{detail}". Let it wait longer than Trove does for a dead guest '
        '(agent_call_low_timeout); and check the message bus (RabbitMQ), '
        'without which trove-api hangs.'
    ),
}

# The advice after a failed listing.
_OF_LISTINGS = {
    verdicts.Reason.DENIED: _ADVICE[verdicts.Reason.DENIED],
    verdicts.Reason.RATE_LIMITED: _ADVICE[verdicts.Reason.RATE_LIMITED],
    verdicts.Reason.GATEWAY: _ADVICE[verdicts.Reason.GATEWAY],
    verdicts.Reason.CONNECTION: _ADVICE[verdicts.Reason.CONNECTION],
    verdicts.Reason.COMPUTE_ERROR: (
        'Trove asks Nova for its servers: look at Nova.'
    ),
}

# After these failures of the listing a ping may still succeed.
_LISTING_ALONE = {verdicts.Reason.TIMEOUT, verdicts.Reason.API_ERROR}
_IDS_ADVICE = (
    'Guests that are named by their IDs need no listing, unless there is '
    '--long or a file of metrics.'
)


def explanation(result: verdicts.PingResult) -> str:
    """Say why a guest is not reachable, and where to look next.

    :raises ValueError: the guest is reachable.
    """
    reason = result.reason
    if reason is None:
        raise ValueError('a reachable guest needs no explanation')
    if verdicts.is_about_project(result.message):
        text = f'The API refuses the request: "{{detail}}". {_PROJECT_ADVICE}'
    elif result.message.startswith('This machine has no '):
        text = 'The API was not asked: "{detail}".'
    elif result.http_status in _BY_STATUS:
        text = _BY_STATUS[result.http_status]
    else:
        text = f'{_STATEMENTS[reason]} {_ADVICE.get(reason, "")}'.rstrip()
    return text.format(detail=plaintext.escaped(result.detail).rstrip('.'))


def after_listing(error: exceptions.ListingFailed, *, ids: bool) -> str:
    """Say where to look after a failed listing; empty for nothing.

    :param ids: whether the user could have given IDs.
    """
    if verdicts.is_about_project(str(error)):
        return _PROJECT_ADVICE
    if ids and (error.reason in _LISTING_ALONE or error.came):
        return _IDS_ADVICE
    return _OF_LISTINGS.get(error.reason, '')
