# SPDX-License-Identifier: Apache-2.0

"""Configuration of the documentation."""

import pathlib
import sys

from openstack.config import cloud_region

from troveclient_rpcping import client
from troveclient_rpcping import management
from troveclient_rpcping.sweep import capacity as capacities

sys.path.insert(0, str(pathlib.Path(__file__).parent / 'ext'))

# The library imports these modules for type checkers alone. With them autodoc
# finds the types of all parameters.
client.cloud_region = cloud_region
management.capacities = capacities

project = 'troveclient-rpcping'
author = 'The troveclient-rpcping developers'
copyright = f'2026, {author}'

extensions = [
    'cliff.sphinxext',
    'from_code',
    'openstackdocstheme',
    'sphinx.ext.autodoc',
]

# Keep the two hyphens of "--all".
smartquotes = False

html_theme = 'openstackdocs'
html_static_path = ['_static']
html_css_files = ['pages.css']
# No "report a bug" link: the theme must know the repository for it.
openstackdocs_auto_name = False
openstackdocs_use_storyboard = False

master_doc = 'index'
exclude_patterns: list[str] = []
pygments_style = 'native'
# Most literal blocks are output.
highlight_language = 'none'

autodoc_member_order = 'bysource'
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented'

autoprogram_cliff_application = 'openstack'

man_pages = [
    (f'man/{name}', name, description, '', 1)
    for name, description in (
        (
            'openstack-database-instance-rpc-ping',
            'ask whether Trove can reach the agents in its guests',
        ),
        (
            'openstack-database-instance-rpc-monitor',
            'ping the guests of Trove again and again, and print what changes',
        ),
        (
            'check_trove_guest_rpc',
            'monitoring plugin: can Trove reach the agents in its guests?',
        ),
    )
]
