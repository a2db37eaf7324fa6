# SPDX-License-Identifier: Apache-2.0

"""Configuration of the release notes."""

project = 'troveclient-rpcping Release Notes'
author = 'The troveclient-rpcping developers'
copyright = f'2026, {author}'

extensions = ['openstackdocstheme', 'reno.sphinxext']
html_theme = 'openstackdocs'
openstackdocs_auto_name = False
openstackdocs_use_storyboard = False
master_doc = 'index'
