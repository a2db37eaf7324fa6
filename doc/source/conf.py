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

"""Configuration of the documentation."""

project = 'troveclient-rpcping'
author = 'The troveclient-rpcping developers'
copyright = f'2026, {author}'

extensions = [
    'cliff.sphinxext',
    'openstackdocstheme',
    'sphinx.ext.autodoc',
    'sphinx.ext.doctest',
]

html_theme = 'openstackdocs'
# There is no repository that the theme knows: no "report a bug" link.
openstackdocs_auto_name = False
openstackdocs_use_storyboard = False

master_doc = 'index'
exclude_patterns: list[str] = []
pygments_style = 'native'

autodoc_member_order = 'bysource'
autodoc_typehints = 'description'
autodoc_typehints_description_target = 'documented'

autoprogram_cliff_application = 'openstack'
