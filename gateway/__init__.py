"""Borderpost: an LLM gateway with cost, compliance and data-residency controls.

The map of the package; read this first.

=================  ==============================================================
``pipeline.py``    the spine: one call from parse to record, read top to bottom
``core/``          pure steps and values: decide, redact, route, meter, settle …
``ports.py``       what the spine asks of the outside world
``adapters/``      one file or folder per technology behind a port
``policy/``        files → an immutable snapshot with a hash; check, test, explain
``api/``           one file per surface; auth; the table from code to status
``console/``       the web pages
``reports/``       spend and evidence, from the ledger
``settings.py``    process settings, read once
``app.py``         the composition root: only wiring
``cli/``           the ``borderpost`` command
=================  ==============================================================

Imports point inward: ``app, cli → api, console, reports, adapters, policy →
pipeline → ports → core``. A behaviour is three hops away: ``api`` → ``pipeline``
→ a step in ``core``.
"""

__version__ = "0.1.0"
