"""The embedded demo model: a small server that answers like a vendor, so that all can be tried.

It stands on the vendor's side of the wire: nothing of the gateway imports it but
``borderpost demo``, and it imports nothing of the gateway.

* :mod:`gateway.demo.shapes` says one answer in each vendor dialect (pure),
* :mod:`gateway.demo.prompts` reads what a request asked for (pure),
* :mod:`gateway.demo.model` serves them over real HTTP.
"""
