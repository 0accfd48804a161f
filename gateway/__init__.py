"""Borderpost: an LLM gateway with cost, compliance and data-residency controls.

The map of the package; read this first.

=================  ==============================================================
``pipeline.py``    the spine: one call from parse to record, read top to bottom
``outside.py``     … what it asks of the outside world, in one value
``replies.py``     … what it answers: a whole body, or events, and its headers
``detection.py``   … which detectors run for a call
``vaulting.py``    … tokens that stay the same through a conversation
``reserving.py``   … the hold of one try, or what the app's ladder allows instead
``queueing.py``    … waiting in line for what other calls hold
``attempts.py``    … one try: what it may cost at most, and its running reply
``book.py``        … every try one ledger row, every call exactly one record
``revoking.py``    … tries in flight that a new policy ends
``timing.py``      … ending what takes too long, once
``core/``          pure steps and values: decide, redact, route, meter, settle …
``ports.py``       what the spine asks of the outside world, as protocols
``adapters/``      one file or folder per technology behind a port
``policy/``        files → an immutable snapshot with a hash; check, test, explain
``api/``           one file per surface; auth; the table from code to status
``reports/``       what finance and auditors read, as documents in every format
``settings.py``    process settings, read once
``app.py``         the composition root: only wiring
``chosen.py``      … the parts that the settings choose: detectors, spans, metrics
``background.py``  … what runs beside the calls, and the last words
``standing.py``    … what ``/status`` says of the parts
``demo/``          a model vendor to try it with; the gateway imports nothing of it
``cli/``           the ``borderpost`` command
=================  ==============================================================

Money has a room in each of them:

=====================  ==========================================================
budgets and rates      ``core/budget, windows, wants, leasing``;
                       ``adapters/leases, slices``; ``api/budgets``
when one runs out      ``core/degrade, ladder``; ``reserving``, ``queueing``
a bill over its bound  ``core/overruns``; ``adapters/suspensions, alerts``
prices                 ``core/tariff, prices, reserved``; ``policy/*_prices``
own GPUs               ``core/gpu*``; ``adapters/gpu_windows``; ``reports/gpu``
what no call made      ``core/entries``; ``adapters/store_sql/entries``
books that close       ``core/books, periods, gl, rerate``; ``reports/closing,
                       correcting, statements, chargeback``
vendors' bills         ``adapters/vendor_costs/``; ``core/bill, reconcile,
                       variance``; ``reports/bills, reconcile``
FOCUS                  ``reports/focus*``
approval               ``policy/money, money_approval``
=====================  ==========================================================

Imports point inward: ``app, cli → background, chosen, standing → api, reports,
adapters, policy → pipeline → ports → core``. A behaviour is three hops away:
``api`` → ``pipeline`` → a step in ``core``.
"""

__version__ = "0.1.0"
